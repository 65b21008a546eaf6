"""Sources of rows: found, opened, decoded, and read record by record whatever they are."""

"""What becomes of rows in view of each other: copies, mixtures, splits, variations."""

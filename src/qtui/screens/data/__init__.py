"""The prepared data, row by row: as they were read, cleaned, put into the template, and tokens."""

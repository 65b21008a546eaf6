"""What is done to each row by itself, on all cores: recognised, cleaned, checked, sketched."""

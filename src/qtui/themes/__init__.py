"""One file a theme, and what reads them."""

"""Themes, one TOML file each: those that come with qtui lie here, the user's own beside the config.

`load` reads them.
"""

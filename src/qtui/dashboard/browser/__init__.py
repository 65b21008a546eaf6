"""The dashboard in a browser: `qtui web` serves it, and a process for each tab draws it."""

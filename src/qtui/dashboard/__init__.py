"""What the application stands on: the terminal and what is sent to it, readings, alerts, keys."""

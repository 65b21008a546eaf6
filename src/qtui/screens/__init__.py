"""One module, with its .tcss, per step of the work."""

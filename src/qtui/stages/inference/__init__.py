"""Talking to a model: engines that generate, and the server in front of them."""

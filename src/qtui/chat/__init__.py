"""Talking to a served model: client, conversations, judgements, and the server they need."""

"""What a record means: a conversation, a question and its answer, a text, a preference."""

"""From rows to what the model sees: template, tokens, labels, and how they fill batches."""

"""Fine-tuning: from a base model and prepared rows to an adapter that survives everything."""

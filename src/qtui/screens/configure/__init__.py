"""The form of a run file, with its fit, its YAML and a look at the data beside it."""

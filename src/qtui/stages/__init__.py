"""Everything heavy: the only place that imports torch and its friends, run by the worker."""

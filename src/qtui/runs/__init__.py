"""The run folder: the only place where front ends and workers meet."""

"""All runs of the workspace, and two of them compared."""

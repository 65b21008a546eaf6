"""Base models from the hub: `fetch` gives a local folder, or an error that names the way out.

`fetch` runs in the worker and is the only name for others; `download` is the process it starts.
"""

from qtui.stages.training.hub.fetch import fetch

__all__ = ["fetch"]

"""Which run to show when nobody said, and which are next to one. Reads the disk."""

from __future__ import annotations

from pathlib import Path

from qtui.errors import QtuiError
from qtui.runs.folder import Run, all_runs
from qtui.runs.lock import is_held


def newest(workspace: Path) -> Run | None:
    """The newest living run, else the newest; none in an empty workspace."""
    runs = all_runs(workspace)
    for run in runs:
        try:
            if is_held(run.lock):
                return run
        except QtuiError:  # another user's: it may well live, but it cannot be told
            continue
    return runs[0] if runs else None


def neighbour(workspace: Path, run: Run, by: int) -> Run | None:
    """The run that is older (1) or newer (-1) than `run`; none beyond the ends. When `run` is
    gone, the newest."""
    runs = all_runs(workspace)
    paths = [other.path for other in runs]
    at = paths.index(run.path) + by if run.path in paths else 0
    return runs[at] if 0 <= at < len(runs) else None

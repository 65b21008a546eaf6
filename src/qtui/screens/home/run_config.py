"""A run's settings as a run file of today: what a new run like it begins with.

Apart, because the models of the run file take longer to import than Home takes to be painted.
"""

from __future__ import annotations

from qtui.config.load import from_dict
from qtui.config.models import FineTuneConfig
from qtui.config.resumable import merged
from qtui.runs import overrides
from qtui.runs.folder import Run


def config_of(run: Run) -> FineTuneConfig:
    """The settings in force in `run`: its frozen config and what resumes changed of it.

    Raises `QtuiError` where they cannot be read, or this version does not know one of them.
    """
    changed = overrides.in_force(run)
    return from_dict(merged(run.spec.config, changed), file=f"the run.json of {run.name}")

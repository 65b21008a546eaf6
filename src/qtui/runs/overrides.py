"""Which settings a run has other than its frozen config: what its resumes changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtui.runs.events import ResumedEvent, SettingValue
from qtui.runs.tail import read

if TYPE_CHECKING:
    from qtui.runs.folder import Run

_RESUMED = b'{"type":"resumed"'


def in_force(run: Run) -> dict[str, SettingValue]:
    """Key to value, such as `training.batch_size` to 2; empty for a run as it was frozen.

    Looks at every line of the log, and decodes next to none. Raises `OSError` where the log
    cannot be read; there is none before the run has begun.
    """
    values: dict[str, SettingValue] = {}
    try:
        with open(run.events, "rb") as log:
            for line in log:
                if line.startswith(_RESUMED) and isinstance(event := read(line), ResumedEvent):
                    values |= event.overrides
    except FileNotFoundError:
        return {}
    return values

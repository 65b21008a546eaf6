"""Preparing data as a run of its own: begun, followed in words, called off; and who has such data.

What `qtui validate`, the configure screen and the data screen share, whether what comes of it is
kept or not. The run is one like others: whoever began it may leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qtui.errors import QtuiError
from qtui.runs import folder, launch
from qtui.runs.dataset import ROWS
from qtui.runs.events import ProgressEvent
from qtui.runs.folder import Run
from qtui.runs.series import History

if TYPE_CHECKING:
    from qtui.config.models import FineTuneConfig

KIND = "prepare"
STOP_SECONDS = 20.0


def begin(workspace: Path, config: FineTuneConfig, command: Sequence[str]) -> Run:
    """Make the run that prepares the data of `config`, and start its worker.

    Raises QtuiError when it does not start; then no folder is left.
    """
    from qtui.config.load import resolve_dict

    run = folder.create(workspace, kind=KIND, config=resolve_dict(config), command=command)
    try:
        launch.launch(run)
    except QtuiError:
        with suppress(QtuiError):
            folder.delete(run)
        raise
    return run


def call_off(run: Run) -> None:
    """End the worker and remove what it has made so far.

    Raises QtuiError when it does not end: then everything is left as it is.
    """
    with suppress(QtuiError):  # it has just ended
        launch.request_stop(run, save=False)
    launch.wait(run, timeout=STOP_SECONDS)
    folder.delete(run)


def prepared(run: Run) -> bool:
    """Whether the run's folder has prepared data, to their end."""
    return (run.data / "manifest.json").is_file() and (run.data / ROWS).is_file()


def newest_prepared(workspace: Path) -> Run | None:
    """The newest run that has prepared data."""
    return next((run for run in folder.all_runs(workspace) if prepared(run)), None)


@dataclass(frozen=True)
class Doing:
    """What a worker does now: in words, not cleaned, and how far it is (`total` 0: not known)."""

    words: str
    done: int = 0
    total: int = 0
    unit: str = ""

    def __str__(self) -> str:
        if not self.unit:
            return self.words
        of = f" of {self.total:,}" if self.total else ""
        return f"{self.words} {self.done:,}{of} {self.unit}"


def doing(history: History) -> Doing:
    """What the newest words of the log are, of its phase or of its progress within it."""
    phase = history.phase
    newest: ProgressEvent | None = max(
        history.progress.values(), key=lambda event: event.seq, default=None
    )
    if newest is not None and (phase is None or newest.seq > phase.seq):
        return Doing(newest.what, newest.done, newest.total, newest.unit)
    if phase is None:
        return Doing("starting the worker")
    words = phase.phase.replace("_", " ")
    return Doing(f"{words}: {phase.detail}" if phase.detail else words)

"""A look at the data before anything is trained: a worker prepares them, the report is kept.

The worker reads the rows as a run would (kind `prepare`), in a temporary workspace: what comes
back is what training would train on, and nothing of it stays. Shared by `qtui validate` and the
configure screen.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from qtui.config.load import resolve_dict
from qtui.config.models import FineTuneConfig
from qtui.errors import (
    GateError,
    ImpossibleError,
    InputError,
    QtuiError,
    StoppedError,
)
from qtui.runs import commands, folder, launch, series
from qtui.runs.dataset import Dataset, Part, StoredRow, StoredTokens
from qtui.runs.events import FailedEvent, Stop
from qtui.runs.folder import Run
from qtui.runs.lock import is_held
from qtui.runs.log import EventReader
from qtui.runs.preparing import KIND, doing
from qtui.runs.series import History
from qtui.runs.state import FINAL, status

TRAIN_EXTRA = ("torch", "transformers", "datasets", "trl", "peft")
"""Packages without which no data can be read as a run reads them."""

_POLL = 0.1
_PREVIEW_ROWS = 20
_STOP_SECONDS = 5.0  # less than the dashboard takes to close


@dataclass(frozen=True)
class PreviewRow:
    """A training row as the model will see it: `trained` are spans (start, end) of `text`."""

    text: str
    trained: list[tuple[int, int]]
    source: str = ""
    line: int | None = None
    tokens: int = 0
    trained_tokens: int = 0
    truncated: bool = False


@dataclass(frozen=True)
class Look:
    """What a worker found: its `report` on the data (see `stages.data.measure.Report`) as plain
    JSON types, and the first training rows."""

    report: dict[str, Any]
    rows: tuple[PreviewRow, ...]


def missing() -> list[str]:
    """Packages of the `[train]` extra that are not installed; with one missing no look works."""
    return [name for name in TRAIN_EXTRA if find_spec(name) is None]


def prepare(
    config: FineTuneConfig,
    *,
    command: Sequence[str],
    attend: Callable[[Run], object] = launch.wait,
) -> Look:
    """Let a worker prepare the data of `config`; returns what it found.

    `attend` gets the run once its worker lives, and returns when that is over; whatever it raises
    ends the worker. Raises what the worker says is wrong (InputError for the data,
    ImpossibleError, …), with a message that begins with `data: `.
    """
    with tempfile.TemporaryDirectory(prefix="qtui-validate-") as place:
        run = folder.create(Path(place), kind=KIND, config=resolve_dict(config), command=command)
        try:
            launch.launch(run)
            attend(run)
        except BaseException as error:
            # Nobody would ever look at this run again. After Ctrl-C it may be about to start.
            if isinstance(error, KeyboardInterrupt) or is_held(run.lock):
                _stop(run)
            raise
        end = series.load(run).end
        if isinstance(end, FailedEvent):
            raise _kind(end.exit_code)(f"data: {end.message}", remedy=end.remedy)
        try:
            text = (run.data / "report.json").read_bytes()
        except FileNotFoundError as error:
            raise QtuiError(
                "the worker ended without a report on the data", remedy="qtui doctor"
            ) from error
        report: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
        return Look(report, _rows(run))


class Looking(threading.Thread):
    """A look that goes on in a thread of its own, for a screen that must never wait.

    `done` is called at its end, on that thread, with the `Look` or with the error; after `cancel`
    it is not called. It is no daemon: whoever leaves while the worker is being stopped leaves no
    worker and no temporary folder behind.
    """

    def __init__(
        self,
        config: FineTuneConfig,
        command: Sequence[str],
        done: Callable[[Look | QtuiError], object],
    ) -> None:
        super().__init__(name="look-at-data", daemon=False)
        self.began = time.monotonic()
        """When it was asked for, by the monotonic clock."""
        self._config = config
        self._command = command
        self._done = done
        self._cancelled = threading.Event()
        self._doing = "starting the worker"

    @property
    def doing(self) -> str:
        """What the worker does now, in words; not cleaned."""
        return self._doing

    def cancel(self) -> None:
        """End the worker; returns at once."""
        self._cancelled.set()

    def run(self) -> None:
        found: Look | QtuiError
        try:
            found = prepare(self._config, command=self._command, attend=self._attend)
        except QtuiError as error:
            found = error
        except Exception as error:  # whoever waits must be told, whatever it was
            found = QtuiError(
                f"the data cannot be looked at: {error}",
                remedy="TMPDIR must name a folder with room for the prepared rows",
            )
        if not self._cancelled.is_set():
            self._done(found)

    def _attend(self, run: Run) -> None:
        reader, history = EventReader(run.events), History()
        while True:
            over = status(run) in FINAL and not is_held(run.lock)
            if events := reader.poll():
                history.feed(events)
                self._doing = str(doing(history))
            if over:
                return
            if self._cancelled.wait(_POLL):
                raise StoppedError("cancelled")


def _rows(run: Run) -> tuple[PreviewRow, ...]:
    """The first rows to train on."""
    found: list[PreviewRow] = []
    with Dataset(run.data) as data:
        number = data.next_of(Part.TRAIN, -1)
        while number is not None and len(found) < _PREVIEW_ROWS:
            row, seen = data.row(number), data.tokens(number)
            if seen is not None:
                found.append(_preview(row, seen))
            number = data.next_of(Part.TRAIN, number)
    return tuple(found)


def _preview(row: StoredRow, seen: StoredTokens) -> PreviewRow:
    length = len(seen.token_ids())
    return PreviewRow(
        text=seen.text,
        trained=seen.trained,
        source=row.source,
        line=row.line,
        tokens=length,
        trained_tokens=seen.trained_tokens,
        truncated=length > seen.kept,
    )


def _stop(run: Run) -> None:
    """Stop a worker, also one that has not come to life yet or is just leaving."""
    commands.append(run.commands, Stop(save=False))
    launch.wait(run, timeout=_STOP_SECONDS)


def _kind(exit_code: int) -> type[QtuiError]:
    """The error that ends the asking command as the worker ended."""
    kinds = (InputError, GateError, ImpossibleError, StoppedError)
    return next((kind for kind in kinds if kind.exit_code == exit_code), QtuiError)

"""Watches every living run of a workspace for alerts, from the files alone and lightly.

Of a run that is found living, the last megabytes of its log are read to know where it stands,
after that only what is new. What is over when a run is first seen is not told: only what is wrong
now. `AlertFeed` is asked and answers; `AlertWatch` asks it on a thread of its own. What the
machine's readings say is judged by `machine_alerts`, with the `runs` that a feed knows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from qtui.errors import QtuiError
from qtui.runs.alerts import Alert, RunAlerts
from qtui.runs.folder import Run, all_runs
from qtui.runs.lock import is_held
from qtui.runs.log import EventReader
from qtui.runs.polling import Poller

LOOK_BACK = 4 << 20
"""Bytes of a log that are read when its run is first seen living."""

_SCAN_SECONDS = 5.0
_SCAN_SHARE = 20  # a slow volume is scanned less often: at most a twentieth of the time


class _Watched:
    """A run that lives, or did at the last look."""

    def __init__(self, run: Run, now: float) -> None:
        self.run = run
        self.alerts = RunAlerts(run.id)
        self._reader = EventReader(run.events)
        self._reader.offset = _line_start(run.events, LOOK_BACK)
        for event in self._reader.poll():
            self.alerts.take(event, event.time)
        self.alerts.listen(now)

    def look(self, now: float) -> tuple[list[Alert], bool]:
        """New alerts, and whether a worker is still alive."""
        alive = is_held(self.run.lock)  # before the log: what a dying worker wrote is seen
        found = [alert for event in self._reader.poll() for alert in self.alerts.take(event, now)]
        return found + self.alerts.tick(now, alive=alive), alive


class AlertFeed:
    """The alerts of the runs in `workspace`, or of the run `only`. Not for two threads at once,
    but for `runs`, which is replaced whole."""

    def __init__(self, workspace: Path, *, only: Run | None = None) -> None:
        self.runs: tuple[RunAlerts, ...] = ()
        """What is known of each living run."""
        self._workspace = workspace
        self._only = only
        self._watched: dict[str, _Watched] = {}
        self._next_scan = 0.0

    @property
    def active(self) -> list[Alert]:
        """Alerts that were raised and have not cleared."""
        return [alert for run in self.runs for alert in tuple(run.active.values())]

    def look(self, now: float) -> list[Alert]:
        """What came up since the last look, at Unix time `now`.

        Raises `QtuiError` or `OSError` when the workspace cannot be read.
        """
        found: list[Alert] = []
        if now >= self._next_scan:
            began = time.monotonic()
            found += self._scan(now)
            took = time.monotonic() - began
            self._next_scan = now + max(_SCAN_SECONDS, _SCAN_SHARE * took)
        for name, watched in list(self._watched.items()):
            if not watched.run.path.is_dir():
                del self._watched[name]
                continue
            try:
                new, alive = watched.look(now)
            except (OSError, QtuiError):  # its own trouble: all others are still watched
                continue
            found += new
            over = watched.alerts.end is not None or "interrupted" in watched.alerts.active
            if over and not alive:
                del self._watched[name]
        self.runs = tuple(watched.alerts for watched in self._watched.values())
        return found

    def _scan(self, now: float) -> list[Alert]:
        """Take up runs that have come to life; those of their alerts that are on already."""
        found: list[Alert] = []
        for run in [self._only] if self._only is not None else all_runs(self._workspace):
            if run.id in self._watched or not _lives(run):
                continue
            try:
                watched = _Watched(run, now)
            except (OSError, QtuiError):
                continue
            if watched.alerts.end is None:
                found += watched.alerts.active.values()
                self._watched[run.id] = watched
        return found


def _lives(run: Run) -> bool:
    try:
        return is_held(run.lock)
    except QtuiError:  # another user's: whether it lives cannot be told, so it is not watched
        return False


def _line_start(path: Path, back: int) -> int:
    """The offset of the first whole line among the last `back` bytes of the file."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size <= back:
                return 0
            file.seek(size - back)
            file.readline()
            return file.tell()
    except FileNotFoundError:
        return 0


class AlertWatch:
    """Looks every `interval` seconds until closed, and hands over what came up.

    `deliver` is called on the thread of the watch. While the disk does not answer it is silent:
    whoever shows the runs says so.
    """

    def __init__(
        self, workspace: Path, deliver: Callable[[list[Alert]], object], *, interval: float = 1.0
    ) -> None:
        self._feed = AlertFeed(workspace)
        self._deliver = deliver
        self._poller = Poller("alerts", self._look, self._tell, interval)
        self._poller.start()

    @property
    def runs(self) -> tuple[RunAlerts, ...]:
        """What is known of each living run."""
        return self._feed.runs

    @property
    def active(self) -> list[Alert]:
        """Alerts of runs that were raised and have not cleared."""
        return self._feed.active

    def close(self) -> None:
        """Look no more; returns at once."""
        self._poller.close()

    def _look(self) -> list[Alert]:
        return self._feed.look(time.time())

    def _tell(self, found: list[Alert] | None, since: float | None, why: str) -> None:
        if found:
            self._deliver(found)

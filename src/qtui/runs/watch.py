"""Watches runs for a screen: what changed is read on other threads and handed over whole.

Nothing here knows Textual. Two watchers: `RunsWatcher` over all runs of a workspace, one summary
each, and `RunFollower` over one run, event by event. Both hand over only what is new, cost next to
nothing while nothing changes (a `stat` a run), and say "unavailable since" when the disk does not
answer. Their callbacks run on foreign threads, one call at a time; `close` returns at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from qtui.errors import NotFoundError, QtuiError
from qtui.runs import folder, lock
from qtui.runs.events import (
    OUT_OF_MEMORY,
    AnyEvent,
    FailedEvent,
    FinishedEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ResumedEvent,
)
from qtui.runs.folder import Run
from qtui.runs.log import EventReader
from qtui.runs.polling import Poller
from qtui.runs.series import History
from qtui.runs.state import RESTART_SECONDS, Status, derive
from qtui.runs.summary import Summary, summarize
from qtui.runs.trend import Trend
from qtui.terminal import clean_line

FIRST = 40
"""Runs that are handed over before the rest of a long list has been read: a screenful."""

TREND_GROWTH = 1.02
"""How much longer a log becomes before its trend is read anew: bars that flicker with every step
tell no more, and are sent over the line."""

_FROM_THE_LOG = frozenset({Status.COMPLETED, Status.STOPPED, Status.FAILED})


@dataclass(frozen=True)
class RunsSeen:
    """All runs, newest first. The summaries are shared: nobody changes them."""

    summaries: tuple[Summary, ...]
    unavailable_since: float | None = None
    """Unix seconds since when the runs cannot be read; `summaries` are then the last known."""
    why: str = ""
    whole: bool = True
    """False while older runs are still being read."""


@dataclass(frozen=True)
class _Glance:
    """What a summary was made from: while this holds, so does the summary."""

    file: tuple[int, int, int] | None
    held: bool
    run: Run
    events: str
    """The log's path, made once: a thousand of them a second take as long as all else."""
    summary: Summary
    trend_size: int
    """Bytes of the log that the trend was read from."""


class RunsWatcher:
    """Summaries of all runs of `workspace`, each made again only when its files changed."""

    def __init__(
        self, workspace: Path, deliver: Callable[[RunsSeen], None], *, interval: float = 1.0
    ) -> None:
        self._workspace = workspace
        self._deliver = deliver
        self._known: dict[str, _Glance] = {}
        self._last = RunsSeen((), whole=False)
        self._told = False
        self._poller = Poller("runs-watcher", self._look, self._tell, interval)
        self._poller.start()

    def look_now(self) -> None:
        """Look at once: after an action whose effect should be seen, or after a `rest`."""
        self._poller.look_now()

    def rest(self) -> None:
        """Look no more until `look_now`: nobody is watching."""
        self._poller.rest()

    def close(self) -> None:
        """Look no more; returns at once."""
        self._poller.close()

    def _look(self) -> RunsSeen:
        runs = folder.all_runs(self._workspace)
        parent = self._workspace / folder.FOLDER
        if not runs and self._known and not parent.is_dir():
            raise NotFoundError(f"{clean_line(str(parent))} is gone")
        first_look = not self._known
        now: dict[str, _Glance] = {}
        for run in runs[:FIRST] if first_look else runs:
            self._poller.alive()
            now[run.id] = _glance(run, self._known.get(run.id))
        self._known = now
        if len(now) < len(runs):
            self._poller.look_now()
        summaries = tuple(glance.summary for glance in now.values())
        return RunsSeen(summaries, whole=len(now) == len(runs))

    def _tell(self, seen: RunsSeen | None, since: float | None, why: str) -> None:
        if seen is None:
            seen = RunsSeen(self._last.summaries, since, why, self._last.whole)
        if seen != self._last or not self._told:
            self._last, self._told = seen, True
            self._deliver(seen)


def _glance(run: Run, known: _Glance | None) -> _Glance:
    events = str(run.events) if known is None else known.events
    file = _identity(events)
    ended = known is not None and known.summary.status in _FROM_THE_LOG
    # Before the log is read, as `state.status` does. An end in the log needs no lock.
    held = ended or _held(run)
    if known is not None and known.file == file and (ended or known.held == held):
        return known
    held = _held(run) if ended else held
    size = file[1] if file is not None else 0
    if known is None:
        return _Glance(file, held, run, events, summarize(run), size)
    run, before = known.run, known.summary  # it has read its run.json already
    same_log = known.file is not None and file is not None and known.file[0] == file[0]
    if same_log and known.trend_size <= size < known.trend_size * TREND_GROWTH:
        trend = Trend(before.trend, before.seconds_per_step)
        return _Glance(file, held, run, events, summarize(run, trend), known.trend_size)
    return _Glance(file, held, run, events, summarize(run), size)


def _identity(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _held(run: Run) -> bool:
    try:
        return lock.is_held(run.lock)
    except QtuiError:  # the summary tells why
        return False


@dataclass(frozen=True)
class Batch:
    """What is new in a run.

    The first has `history`, all that was logged until then, and so has one after the log was
    replaced by another; the follower does not touch it again. Those after it have `events`, to be
    fed to that history. A batch that says `unavailable_since` may come before the first.
    """

    status: Status
    history: History | None = None
    events: list[AnyEvent] = field(default_factory=list)
    unavailable_since: float | None = None
    """Unix seconds since when the run cannot be read."""
    why: str = ""


class RunFollower:
    """One run from the beginning of its log, then live. A line is seen `interval` s after it is
    written at the latest."""

    def __init__(
        self, run: Run, deliver: Callable[[Batch], None], *, interval: float = 0.1
    ) -> None:
        self._run = run
        self._deliver = deliver
        self._begin()
        self._free_since: float | None = None
        self._last = Batch(Status.QUEUED)
        self._poller = Poller(f"follow-{run.name}", self._look, self._tell, interval)
        self._poller.start()

    def look_now(self) -> None:
        """Look at once, also after a `rest`."""
        self._poller.look_now()

    def rest(self) -> None:
        """Look no more until `look_now`; what is logged meanwhile comes with the next batch."""
        self._poller.rest()

    def close(self) -> None:
        """Look no more; returns at once."""
        self._poller.close()

    def _begin(self) -> None:
        self._reader = EventReader(self._run.events)
        self._restarts = 0
        self._begun = False  # whether a history was handed over
        self._phase: Phase | None = None
        self._end: FinishedEvent | FailedEvent | None = None
        self._restarting = False

    def _look(self) -> Batch:
        try:
            return self._read()
        except OSError:
            self._begin()  # what was read so far is lost: it comes again as a new history
            raise

    def _read(self) -> Batch:
        held = lock.is_held(self._run.lock)  # before the log: see `state.status`
        history = None if self._begun else History()
        events: list[AnyEvent] = []
        for block in self._reader.blocks():
            if self._reader.restarts != self._restarts:  # another log: forget the one before
                self._restarts = self._reader.restarts
                self._phase, self._end, self._restarting = None, None, False
                history, events = History(), []
            self._poller.alive()
            self._account(block)
            if history is not None:
                history.feed(block)
            else:
                events += block
        if not events and not self._run.path.is_dir():
            raise NotFoundError(f"the folder of {clean_line(self._run.id)} is gone")
        self._begun = True
        return Batch(derive(self._phase, self._end, self._lives(held)), history, events)

    def _account(self, events: list[AnyEvent]) -> None:
        for event in events:
            if type(event) is MetricsEvent:
                continue  # nearly always, and a million times over
            if isinstance(event, PhaseEvent):
                self._phase, self._end, self._restarting = event.phase, None, False
            elif isinstance(event, ResumedEvent):
                self._end, self._restarting = None, event.reason == OUT_OF_MEMORY
            elif isinstance(event, FinishedEvent | FailedEvent):
                self._end = event

    def _lives(self, held: bool) -> bool:
        """Whether there is a worker; one that is executing itself anew counts, see `state`."""
        if held or not self._restarting:
            self._free_since = None
            return held
        self._free_since = self._free_since or time.monotonic()
        return time.monotonic() - self._free_since < RESTART_SECONDS

    def _tell(self, seen: Batch | None, since: float | None, why: str) -> None:
        last = self._last
        if seen is None:
            seen = Batch(last.status, None, [], since, why)
        same = (seen.status, seen.unavailable_since) == (last.status, last.unavailable_since)
        if seen.history is not None or seen.events or not same:
            self._last = seen
            self._deliver(seen)

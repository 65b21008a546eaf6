"""How fast a run goes, and so how long it still takes and how long it has lived.

Fed with the events of a log in their order; asks no clock of its own, so that a replay says the
same as the live run did. Speed is measured while training alone: what evaluations take is spread
over the steps, so that the time left neither jumps at an evaluation nor forgets the next ones.
"""

from __future__ import annotations

from collections import deque

from qtui.runs.events import (
    AnyEvent,
    FailedEvent,
    FinishedEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
)

WINDOW = 100
"""Reports of progress over which speed is measured: about a minute of a fast run."""

TURNS = frozenset({Phase.TRAINING, Phase.EVALUATING})
"""Training and evaluating take turns: what is counted goes on over the change."""


class _Count:
    """One thing that is counted: its newest report and the stretch over which speed is measured."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.reports: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        self.spread = 0.0  # seconds of the evaluations after the first step
        self.newest: ProgressEvent | None = None


class Pace:
    """Where a run stands on its way, by `take`.

    Attributes (read-only to others): `phase` and `detail` of what goes on (none before the first
    sign of life), `since` (Unix seconds at which it began), `ended`.
    """

    def __init__(self) -> None:
        self.phase: Phase | None = None
        self.detail = ""
        self.since = 0.0
        self.ended = False
        self._counts: dict[str, _Count] = {}
        self._paused = 0.0  # seconds of all evaluations that are over
        self._past = 0.0  # seconds of the lives before this one
        self._born: float | None = None
        self._seen = 0.0

    def take(self, event: AnyEvent) -> None:
        """Account for the next event of the log; kinds that say nothing here are passed over."""
        if type(event) is ProgressEvent:
            self._count(event)
        elif type(event) is PhaseEvent:
            self._enter(event)
        elif isinstance(event, ResumedEvent):
            self._counts.clear()
            self.ended = False
        elif isinstance(event, FinishedEvent | FailedEvent):
            self.ended = True
        else:
            return
        if self._born is None:
            self._born = event.time
        self._seen = event.time

    @property
    def progress(self) -> ProgressEvent | None:
        """The newest report of what is counted now; none while nothing is."""
        return self._now.newest if self._counts else None

    @property
    def _now(self) -> _Count:
        return next(reversed(self._counts.values()))

    def left(self) -> float | None:
        """Seconds until what is counted is done; `None` while that cannot be told."""
        progress = self.progress
        if progress is None or not progress.total or len(self._now.reports) < 2:
            return None
        (start, first), (end, last) = self._now.reports[0], self._now.reports[-1]
        if last <= first or end <= start:
            return None
        each = (end - start) / (last - first) + self._now.spread / (last - self._now.first)
        return max(progress.total - progress.done, 0) * each

    def lived(self, now: float | None = None) -> float:
        """Seconds in which a worker of the run was at work, over all its lives, until its last
        sign of life; `now` (Unix seconds) for a worker that lives."""
        if self._born is None:
            return 0.0
        until = self._seen if now is None or self.ended else max(now, self._seen)
        return self._past + until - self._born

    def _count(self, event: ProgressEvent) -> None:
        count = self._counts.get(event.what)
        if count is None:
            if self.phase is not Phase.EVALUATING:  # which counts something of its own meanwhile
                self._counts.clear()
            count = self._counts[event.what] = _Count(event.done)
        count.newest = event
        count.reports.append((event.time - self._paused, event.done))

    def _enter(self, event: PhaseEvent) -> None:
        if event.phase is Phase.INITIALIZING and self._born is not None:
            self._past += self._seen - self._born  # nobody worked between two lives
            self._born = event.time
        if not (event.phase in TURNS and self.phase in TURNS):
            self._counts.clear()
        elif self.phase is Phase.EVALUATING and event.phase is not Phase.EVALUATING:
            self._evaluated(max(event.time - self.since, 0.0))
        self.phase, self.detail, self.since = event.phase, event.detail, event.time
        self.ended = False

    def _evaluated(self, seconds: float) -> None:
        self._paused += seconds
        while len(self._counts) > 1:
            self._counts.popitem()
        for count in self._counts.values():
            if count.newest is not None and count.newest.done > count.first:
                count.spread += seconds

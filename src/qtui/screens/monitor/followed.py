"""A run on a screen: what its follower has told so far, and its curves ready to be drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from textual.message import Message

from qtui.runs.folder import Run
from qtui.runs.pyramid import Pyramid
from qtui.runs.series import History
from qtui.runs.state import Status
from qtui.runs.watch import Batch, RunFollower
from qtui.widgets.chart_drawing import trace

GIB = 1 << 30


class News(Message, bubble=False):
    """What a follower handed over, on its way from its thread to the screen."""

    def __init__(self, followed: Followed, batch: Batch) -> None:
        super().__init__()
        self.followed = followed
        self.batch = batch


class Followed:
    """Follows `run` until closed.

    `hand_over` is called on a foreign thread with this and each batch; whoever owns the screen
    then gives the batch to `take`. Attributes: `history` (none before the first batch),
    `status`, `unavailable_since` and `why` as in `Batch`.
    """

    def __init__(self, run: Run, hand_over: Callable[[Followed, Batch], None]) -> None:
        self.run = run
        self.history: History | None = None
        self.status = Status.QUEUED
        self.unavailable_since: float | None = None
        self.why = ""
        self._pyramids: dict[str, Pyramid] = {}
        self._gibibytes: dict[str, tuple[int, list[float | None]]] = {}
        self._traces: dict[tuple[str, int, bool], tuple[int, int, str]] = {}
        self._follower = RunFollower(run, lambda batch: hand_over(self, batch))

    def take(self, batch: Batch) -> None:
        """Account for a batch."""
        self.status = batch.status
        self.unavailable_since, self.why = batch.unavailable_since, batch.why
        if batch.history is not None:
            self.history = batch.history
            self._pyramids.clear()
            self._gibibytes.clear()
            self._traces.clear()
        if self.history is not None and batch.events:
            self.history.feed(batch.events)

    def curve(self, metric: str) -> Pyramid:
        """The curve of a metric with all that is known of it; asked for again, it is the same.

        Memory is in GiB, for an axis that can be read.
        """
        pyramid = self._pyramids.get(metric)
        if pyramid is None:
            pyramid = self._pyramids[metric] = Pyramid()
        if self.history is not None:
            steps, values = self.history.metric(metric)
            if metric.startswith("memory_"):
                values = self._in_gibibytes(metric, values, self.history.revision)
            pyramid.sync(steps, values, self.history.revision)
        return pyramid

    def _in_gibibytes(
        self, metric: str, values: list[float | None], revision: int
    ) -> list[float | None]:
        """A copy that grows with the values; made anew when they did anything but grow."""
        known = self._gibibytes.get(metric)
        if known is None or known[0] != revision:
            known = self._gibibytes[metric] = (revision, [])
        copy = known[1]
        copy += [None if value is None else value / GIB for value in values[len(copy) :]]
        return copy

    def latest(self, metric: str) -> float | None:
        """The newest value of a metric, as `curve` has it."""
        values = self.history.metric(metric)[1] if self.history is not None else []
        value = values[-1] if values else None
        return value / GIB if value is not None and metric.startswith("memory_") else value

    def trace(self, metric: str, width: int, *, unicode: bool) -> str:
        """The curve in one row of `width` cells, each dot the mean of its stretch.

        It is drawn anew when the curve has become a fiftieth longer: what moves a little with
        every step costs a slow line more than it tells.
        """
        steps, values = self.history.metric(metric) if self.history is not None else ([], [])
        revision = self.history.revision if self.history is not None else 0
        key = (metric, width, unicode)
        known = self._traces.get(key)
        if known is None or known[0] != revision or len(steps) > known[1] * 1.02:
            curve = Pyramid()
            curve.sync(*means(steps, values, 2 * width))
            known = (revision, len(steps), trace(curve, None, width, unicode=unicode))
            self._traces[key] = known
        return known[2]

    def rest(self) -> None:
        """Look no more until `wake`."""
        self._follower.rest()

    def wake(self) -> None:
        """Look at once, and go on."""
        self._follower.look_now()

    def close(self) -> None:
        """Follow no more; returns at once."""
        self._follower.close()


def means(
    steps: Sequence[int], values: Sequence[float | None], count: int
) -> tuple[list[int], list[float | None]]:
    """The means of `count` stretches of a curve, each at its last step; fewer points stay as they
    are. Values that are not finite are left out of the mean."""
    if len(steps) <= count:
        return list(steps), list(values)
    ends = [(number + 1) * len(steps) // count for number in range(count)]
    found: list[float | None] = []
    for start, end in pairwise([0, *ends]):
        finite = [value for value in values[start:end] if value is not None]
        found.append(sum(finite) / len(finite) if finite else None)
    return [steps[end - 1] for end in ends], found

"""A curve of any length, ready to be drawn at any zoom: minima and maxima of its blocks.

A chart asks for the least and the greatest value of each of its columns. A `Pyramid` answers from
blocks of 32 points, blocks of 32 such blocks and so on, so that a question costs the chart's
columns and not the curve's points, and no spike is lost. It takes up a series that grows at the
price of what is new, also when a resumed run goes back and replaces the end of its curves.

Values that are not finite are kept as gaps: they count in no minimum, and `gaps` says where they
are.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from qtui.runs.smoothing import smooth

BLOCK = 32
_SAMPLE = 1024  # values that stand for all when percentiles are asked for
_ANSWERS = 4
_SMOOTHINGS = 4  # smoothed copies kept for going to and fro between them

Column = tuple[float, float]
"""Least and greatest value of a column."""
_Answer = tuple[int, list[int], list[Column | None]]


class Pyramid:
    """The points of one metric: steps strictly ascending, values or `None` (not finite)."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._values: list[float | None] = []
        # Level 0 is the points themselves, with infinities for gaps (without gaps it is the list of
        # the values itself); every further level has one entry for each whole block below.
        self._lows: list[list[float]] = [self._values]  # type: ignore[list-item]
        self._highs: list[list[float]] = [self._values]  # type: ignore[list-item]
        self._gap_steps: list[int] = []
        self._revision: int | None = None
        self.version = 0
        """Changes with every change of the points."""
        self._smoothed: dict[float, Pyramid] = {}
        # The last answers of `columns`: points known then, where each column begins, and what
        # came out. A curve that grows changes its last columns only.
        self._asked: dict[tuple[float, float, int], _Answer] = {}

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def last(self) -> int | None:
        """The last step; none without points."""
        return self._steps[-1] if self._steps else None

    @property
    def latest(self) -> float | None:
        """The value at the last step; none without points or when it is not finite."""
        return self._values[-1] if self._values else None

    # -- taking up -----------------------------------------------------------------------------

    def sync(
        self,
        steps: Sequence[int],
        values: Sequence[float | None],
        revision: int | None = None,
    ) -> int:
        """Become the curve of `steps` and `values`; return the index of the first changed point.

        `revision` is a number that its owner changes whenever the series did anything but grow
        (`History.revision`): while it is the same, only what is new is looked at. Without it the
        points known are compared, which is fast but grows with their count.
        """
        known = len(self._steps)
        if revision is None or revision != self._revision or len(steps) < known:
            known = self._common(steps, values)
            self._cut(known)
        self._revision = revision
        if len(steps) > known:
            self._extend(steps[known:], values[known:])
        return known

    def _common(self, steps: Sequence[int], values: Sequence[float | None]) -> int:
        """How many points at the beginning are the same; in blocks, so that lists do the work."""
        end = min(len(self._steps), len(steps))
        at = 0
        while at < end:
            size = min(4096, end - at)
            while size and not (
                self._steps[at : at + size] == list(steps[at : at + size])
                and self._values[at : at + size] == list(values[at : at + size])
            ):
                size //= 2
            if not size:
                return at
            at += size
        return end

    def _cut(self, keep: int) -> None:
        """Forget the points from index `keep` on."""
        if keep >= len(self._steps):
            return
        self.version += 1
        del self._gap_steps[bisect_left(self._gap_steps, self._steps[keep]) :]
        del self._steps[keep:], self._values[keep:]
        self._asked.clear()
        for lows, highs in zip(self._lows, self._highs, strict=True):
            del lows[keep:], highs[keep:]
            keep //= BLOCK
        for smoothed in self._smoothed.values():
            smoothed._cut(len(self._steps))

    def _extend(self, steps: Sequence[int], values: Sequence[float | None]) -> None:
        self.version += 1
        self._steps += steps
        if (finite_only := _all_finite(values)) and self._lows[0] is self._values:
            self._values += values
        elif finite_only:
            self._values += values
            self._lows[0] += values  # type: ignore[arg-type]  # no None among them
            self._highs[0] += values  # type: ignore[arg-type]
        else:
            if self._lows[0] is self._values:
                self._lows[0], self._highs[0] = self._lows[0].copy(), self._highs[0].copy()
            finite = [v if v is not None and math.isfinite(v) else None for v in values]
            self._values += finite
            self._lows[0] += [math.inf if v is None else v for v in finite]
            self._highs[0] += [-math.inf if v is None else v for v in finite]
            self._gap_steps += [s for s, v in zip(steps, finite, strict=True) if v is None]
        self._build()

    def _build(self) -> None:
        """Add the blocks that became whole, level by level."""
        level = 0
        while (whole := len(self._lows[level]) // BLOCK) > 0:
            if level + 1 == len(self._lows):
                self._lows.append([])
                self._highs.append([])
            lows, highs = self._lows[level], self._highs[level]
            starts = range(len(self._lows[level + 1]) * BLOCK, whole * BLOCK, BLOCK)
            self._lows[level + 1] += [min(lows[at : at + BLOCK]) for at in starts]
            self._highs[level + 1] += [max(highs[at : at + BLOCK]) for at in starts]
            level += 1

    # -- asking --------------------------------------------------------------------------------

    def columns(self, low: float, high: float, count: int) -> Sequence[Column | None]:
        """Least and greatest value in each of `count` equal parts of the steps `low` to `high`.

        A part is from its left edge up to before its right one; the last has `high` in it, too. A
        part without finite values is `None`.
        """
        key = (low, high, count)
        known, bounds, columns = self._asked.pop(key, (0, [], []))
        if known < len(self) or not bounds:
            # Up to the column in which the last known point lies, nothing can have changed.
            same = max(bisect_left(bounds, known) - 1, 0) if bounds else 0
            bounds = bounds[:same] + _bounds(self._steps, low, high, count, same)
            columns = columns[:same] + [
                self._extremes(start, end) if end > start else None
                for start, end in pairwise(bounds[same:])
            ]
        self._asked[key] = (len(self), bounds, columns)  # the last used comes last
        while len(self._asked) > _ANSWERS:
            del self._asked[next(iter(self._asked))]
        return columns

    def _extremes(self, start: int, end: int) -> Column | None:
        """Least and greatest of the points from index `start` up to before `end`."""
        if end - start == 1:
            value = self._values[start]
            return None if value is None else (value, value)
        if end - start < 2 * BLOCK:  # most columns of most charts
            low, high = min(self._lows[0][start:end]), max(self._highs[0][start:end])
            return (low, high) if low <= high else None
        low, high = math.inf, -math.inf
        for lows, highs in zip(self._lows, self._highs, strict=True):
            first, last = -(-start // BLOCK), end // BLOCK
            # What sticks out of the whole blocks is looked at here, the rest a level above.
            inner = end - start >= 2 * BLOCK and first < last
            sides = ((start, first * BLOCK), (last * BLOCK, end)) if inner else ((start, end),)
            for left, right in sides:
                if left < right:
                    if (least := min(lows[left:right])) < low:
                        low = least
                    if (greatest := max(highs[left:right])) > high:
                        high = greatest
            if not inner:
                break
            start, end = first, last
        return (low, high) if low <= high else None

    def extremes(self, low: float, high: float) -> Column | None:
        """Least and greatest finite value of the steps from `low` to `high`, both included."""
        start, end = bisect_left(self._steps, low), bisect_right(self._steps, high)
        return self._extremes(start, end) if start < end else None

    def percentiles(
        self, low: float, high: float, lower: float = 1.0, upper: float = 99.0
    ) -> Column | None:
        """Two percentiles of the finite values of the steps from `low` to `high`.

        Exact up to about a thousand points; of more, every second, fourth, … point is taken, by
        its index in the whole curve, so that the answer stays as it is while a curve grows.
        """
        start, end = bisect_left(self._steps, low), bisect_right(self._steps, high)
        stride = 1
        while (end - start) // stride > _SAMPLE:
            stride *= 2
        taken = self._values[-(-start // stride) * stride : end : stride]
        values = sorted(value for value in taken if value is not None)
        if not values:
            return None
        last = len(values) - 1
        return values[math.floor(last * lower / 100)], values[math.ceil(last * upper / 100)]

    def gaps(self, low: float, high: float, count: int) -> list[int]:
        """The columns, numbered as in `columns`, that have values which are not finite."""
        if bisect_left(self._gap_steps, low) == bisect_right(self._gap_steps, high):
            return []
        bounds = _bounds(self._gap_steps, low, high, count)
        return [n for n, (start, end) in enumerate(pairwise(bounds)) if end > start]

    def at(self, step: float) -> tuple[int, float | None] | None:
        """The point at `step` or the last one before it: its step and value."""
        index = bisect_right(self._steps, step) - 1
        return (self._steps[index], self._values[index]) if index >= 0 else None

    def around(
        self, low: float, high: float
    ) -> tuple[tuple[int, float] | None, tuple[int, float] | None]:
        """The points next to the steps `low` to `high` on either side, if they are finite.

        A line that is drawn between two points is seen although both lie outside.
        """
        before = self._point(bisect_left(self._steps, low) - 1)
        after = self._point(bisect_right(self._steps, high))
        return before, after

    def _point(self, index: int) -> tuple[int, float] | None:
        if not 0 <= index < len(self._steps) or (value := self._values[index]) is None:
            return None
        return self._steps[index], value

    # -- smoothing -----------------------------------------------------------------------------

    def has_smoothed(self, weight: float) -> bool:
        """Whether `smoothed` has been asked for this weight and would answer at once."""
        return weight <= 0 or weight in self._smoothed

    def smoothed(self, weight: float) -> Pyramid:
        """This curve as its exponential moving average; itself for a `weight` of 0.

        To be asked for again after each `sync`; that costs only what is new. The last few weights
        are kept, so going back to one costs nothing.
        """
        if weight <= 0:
            return self
        child = self._smoothed.pop(weight, None) or Pyramid()
        self._smoothed[weight] = child  # the last used comes last
        while len(self._smoothed) > _SMOOTHINGS:
            del self._smoothed[next(iter(self._smoothed))]
        known = len(child)
        if known < len(self):
            gaps = bisect_left(self._gap_steps, self._steps[known])
            before = next((v for v in reversed(child._values) if v is not None), 0.0)
            child._extend(
                self._steps[known:],
                smooth(self._values[known:], weight, before=before, count=known - gaps),
            )
        return child


def _bounds(steps: Sequence[int], low: float, high: float, count: int, first: int = 0) -> list[int]:
    """The indices at which `count` equal parts of the steps `low` to `high` begin, and the end.

    Of the parts only those from number `first` on; `first` may be `count`.
    """
    end = bisect_right(steps, high)
    if first == count:
        return [end]
    width = (high - low) / count
    at = bisect_left(steps, low + first * width, 0, end)
    bounds = [at]
    for number in range(first + 1, count):
        at = bisect_left(steps, low + number * width, at, end)
        bounds.append(at)
    bounds.append(end)
    return bounds


def _all_finite(values: Sequence[float | None]) -> bool:
    """Whether all are finite, by one addition of them all; an overflow is looked at closely."""
    try:
        return math.isfinite(sum(values))  # type: ignore[arg-type]  # None raises
    except TypeError:
        return False

"""What part of a chart is seen, and how: pure values and arithmetic, known to nothing of Textual.

Steps go across, values go up. The step axis is fixed to the planned total, so that a point that
is added changes few cells; the value axis moves only when it has to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qtui.runs.curves import number_text, ticks

SMOOTHINGS = (0.0, 0.6, 0.9, 0.97)
"""What `smoother` goes through."""

_HUGE = 1e300  # beyond it the arithmetic of an axis would overflow
_CLOSEST = 8.0  # steps; nearer than that there is nothing more to see


@dataclass(frozen=True)
class ChartView:
    """How a chart is looked at; the same view may serve several charts."""

    range: tuple[float, float] | None = None
    """First and last step shown; none: from 0 to the planned total."""
    follow: bool = False
    """Whether a `range` goes along with the newest step."""
    log: bool = False
    """Whether values go up by powers of ten."""
    smoothing: float = 0.0
    """Weight of the exponential moving average, 0 (none) to below 1."""
    clip: bool = False
    """Whether the value axis leaves out what is beyond the percentiles 1 and 99."""
    crosshair: int | None = None
    """The step at which values are read."""


def end_of(planned: int | None, last: int | None) -> float:
    """Where the step axis ends: the planned total, or room to grow when it is not known."""
    last = last or 0
    if planned and planned >= last:
        return float(planned)
    power = 10.0 ** math.floor(math.log10(max(last, 10)))
    return next(f * power for f in (1, 1.5, 2, 3, 5, 7, 10, 15) if f * power >= last)


def window(view: ChartView, planned: int | None, last: int | None) -> tuple[float, float]:
    """First and last step shown.

    A window that follows goes on by quarters of its width, not with every step.
    """
    if view.range is None:
        return 0.0, end_of(planned, last)
    low, high = view.range
    if view.follow and last is not None and last > high:
        stride = (high - low) / 4
        forward = math.ceil((last - high) / stride) * stride
        low, high = low + forward, high + forward
    return low, high


def _placed(view: ChartView, low: float, width: float, end: float, last: int | None) -> ChartView:
    """`view` with a range of `width` that begins near `low` and lies between 0 and `end`."""
    if width >= end:
        return replace(view, range=None, follow=False)
    low = min(max(low, 0.0), end - width)
    return replace(view, range=(low, low + width), follow=last is not None and low + width >= last)


def zoom(view: ChartView, factor: float, planned: int | None, last: int | None) -> ChartView:
    """Show `factor` times as many steps (below 1: nearer).

    What stays in place is the crosshair; without one the newest step, or the middle when the
    newest is not in sight.
    """
    low, high = window(view, planned, last)
    end = end_of(planned, last)
    width = max((high - low) * factor, min(_CLOSEST, end))
    middle = (low + high) / 2
    if view.crosshair is not None and low <= view.crosshair <= high:
        fixed: float = view.crosshair
    else:
        fixed = last if last is not None and low <= last <= high else middle
    share = (fixed - low) / (high - low)
    return _placed(view, fixed - share * width, width, end, last)


def pan(view: ChartView, share: float, planned: int | None, last: int | None) -> ChartView:
    """Go by a share of the width to later (or, below 0, earlier) steps."""
    if view.range is None:
        return view
    low, high = window(view, planned, last)
    end = max(end_of(planned, last), high)
    return _placed(view, low + share * (high - low), high - low, end, last)


def move_crosshair(
    view: ChartView, columns: int, across: int, planned: int | None, last: int | None
) -> ChartView:
    """Move the crosshair by `columns` of `across`; it begins at the newest step in sight.

    Where a column is less than a step, it moves by whole steps. The window goes along when the
    crosshair would leave it.
    """
    low, high = window(view, planned, last)
    if view.crosshair is None:
        newest = min(high, max(low, float(last if last is not None else high)))
        return replace(view, crosshair=round(newest))
    by = columns * (high - low) / max(across, 1)
    if columns and abs(by) < 1:
        by = math.copysign(max(abs(columns), 1), columns)
    end = end_of(planned, last)
    step = round(min(max(view.crosshair + by, 0), end))
    moved = replace(view, crosshair=step)
    if low <= step <= high:
        return moved
    return _placed(moved, step - (high - low) / 2, high - low, end, last)


def smoother(view: ChartView, direction: int = 1) -> ChartView:
    """The next stronger smoothing (or weaker, with -1); after the last comes the first."""
    at = min(range(len(SMOOTHINGS)), key=lambda n: abs(SMOOTHINGS[n] - view.smoothing))
    return replace(view, smoothing=SMOOTHINGS[(at + direction) % len(SMOOTHINGS)])


@dataclass(frozen=True)
class Scale:
    """The value axis: what stands at the bottom and at the top."""

    low: float
    high: float
    log: bool = False

    def rows(self, count: int) -> Callable[[float], int]:
        """A function from a value to its row, from 0 (top) to `count` - 1 (bottom).

        What is beyond the axis is at its edge; for a logarithm so is what is not above 0.
        """
        low, high, last = self.low, self.high, count - 1
        if self.log:
            top = math.log(high)
            factor = last / (top - math.log(low))
        else:
            factor = last / (high - low)

        def row(value: float) -> int:
            if value >= high:
                return 0
            if value <= low:
                return last
            if self.log:
                return round((top - math.log(value)) * factor)
            return round((high - value) * factor)

        return row

    def filled(self, low: float, high: float) -> float:
        """Which share of the axis lies between two of its values."""
        if self.log:
            return (math.log(high) - math.log(low)) / (math.log(self.high) - math.log(self.low))
        return (high - low) / (self.high - self.low)


def scale(low: float, high: float, *, log: bool, before: Scale | None = None) -> Scale:
    """A value axis with room for `low` to `high` (for `log` both above 0), ends on round numbers.

    `before` is kept as long as everything fits into it and fills at least 60 % of it: an axis that
    moves means that every cell is sent anew.
    """
    low, high = (min(max(value, -_HUGE), _HUGE) for value in (low, high))
    if log:
        low, high = max(low, 1 / _HUGE), max(high, 1 / _HUGE)
    if before is not None and before.log == log and before.low <= low and high <= before.high:
        filled = before.filled(low, high)
        if filled >= 0.6 or (filled < 0.01 and _flat(low, high, log)):
            return before
    return Scale(*(_log_ends if log else _ends)(low, high), log)


def _ends(low: float, high: float) -> tuple[float, float]:
    """Multiples of 0.5, 1, 2.5 or 5 times a power of ten; at most ten of them lie between."""
    if _flat(low, high, False):
        margin = abs(low) * 0.1 if abs(low) > 1 / _HUGE else 1.0
        low, high = low - margin, high + margin
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next((f * power for f in (0.5, 1, 2.5, 5) if f * power * 8 >= high - low), 5 * power)
    return math.floor(low / step) * step, math.ceil(high / step) * step


def _flat(low: float, high: float, log: bool) -> bool:
    """Whether there is no height to speak of between two values."""
    if log:
        return high / low < 1.001
    return high - low <= max(max(abs(low), abs(high)) * 1e-9, 1 / _HUGE)


def _log_ends(low: float, high: float) -> tuple[float, float]:
    """1, 2 or 5 times a power of ten."""
    if _flat(low, high, True):
        low, high = low / 1.5, high * 1.5
    below = [n for n in _ones_twos_fives(low / 10, low) if n <= low * (1 + 1e-12)]
    above = [n for n in _ones_twos_fives(high, high * 10) if n >= high * (1 - 1e-12)]
    return below[-1] if below else low, above[0] if above else high


def _ones_twos_fives(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten from about `low` to about `high`."""
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    return [
        factor * 10.0**power for power in range(first, min(last, 307) + 1) for factor in (1, 2, 5)
    ]


def value_ticks(axis: Scale, count: int) -> list[tuple[float, str]]:
    """About `count` round values in the axis, with their text."""
    low, high = axis.low, axis.high
    if not axis.log:
        return ticks(low, high, count)
    inside = [n for n in _ones_twos_fives(low, high) if low <= n <= high]
    tens = [n for n in inside if abs(math.log10(n) - round(math.log10(n))) < 1e-9]
    chosen: Sequence[float] = inside if len(inside) <= 2 * count else tens
    if len(chosen) < 2:
        return ticks(low, high, count)
    chosen = chosen[:: max(1, math.ceil(len(chosen) / max(count, 1)))]
    return [(number, number_text(number, number)) for number in chosen]


def value_label(value: float, text: str, room: int) -> str:
    """`text` or, where that is too long, the value in a shorter way; "" when none is true."""
    if len(text) <= room:
        return text
    for digits in (2, 1, 0):
        mantissa, exponent = f"{value:.{digits}e}".split("e")
        if len(short := f"{mantissa}e{int(exponent)}") <= room:
            return short
    return ""


def step_ticks(low: float, high: float, count: int) -> list[tuple[float, str]]:
    """About `count` round steps between two, with their text; always whole steps."""
    marks = ticks(low, high, count)
    return [(step, text) for step, text in marks if step == int(step)]

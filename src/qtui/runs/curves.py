"""Curves ready to be drawn: picked from histories, thinned to a chart's columns, with round ticks.

Shared by the terminal's charts and the pictures, so that both show the same.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qtui.errors import InputError
from qtui.runs.series import History
from qtui.terminal import clean_line


@dataclass(frozen=True)
class Curve:
    """One line of a chart: `xs` ascending and `ys`, of one length, all finite."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]


def pick(histories: Mapping[str, History], metrics: Sequence[str], *, columns: int) -> list[Curve]:
    """The curves of `metrics` in `histories` (label -> history), thinned to `columns`.

    With several runs the label says which run; with several metrics, which metric. Raises
    `InputError` for a metric that no run has.
    """
    known = sorted({name for history in histories.values() for name in history.names()})
    for metric in metrics:
        if metric not in known:
            raise InputError(_unknown(metric, known), remedy=_hint(metric, known))
    return [
        Curve(_label(name, metric, histories, metrics), *thin(*history.metric(metric), columns))
        for metric in metrics
        for name, history in histories.items()
        if history.metric(metric)[0]
    ]


def _label(run: str, metric: str, histories: Mapping[str, History], metrics: Sequence[str]) -> str:
    if len(histories) == 1:
        return clean_line(metric, 40)
    return clean_line(run if len(metrics) == 1 else f"{run} {metric}", 60)


def _unknown(metric: str, known: Sequence[str]) -> str:
    if not known:
        return "there is nothing to draw yet: no metric has been logged"
    return f"no run has a metric {clean_line(metric, 40)!r}"


def _hint(metric: str, known: Sequence[str]) -> str:
    if not known:
        return "wait for the first step, or see `qtui runs logs`"
    close = difflib.get_close_matches(metric, known, n=1)
    names = clean_line(", ".join(known), 200)
    return (
        f"did you mean {clean_line(close[0])}? There are: {names}"
        if close
        else f"there are: {names}"
    )


def thin(
    steps: Sequence[int], values: Sequence[float | None], columns: int
) -> tuple[list[float], list[float]]:
    """The points that a chart `columns` wide can show: each column's minimum and maximum, in
    the order in which they came, so that no spike is lost. Values that are not finite are left out.
    """
    points = [
        (float(x), float(y))
        for x, y in zip(steps, values, strict=True)
        if y is not None and math.isfinite(y)
    ]
    if len(points) > 2 * columns > 0:
        points = list(_extremes(points, columns))
    return [x for x, _ in points], [y for _, y in points]


def _extremes(points: Sequence[tuple[float, float]], columns: int) -> Iterable[tuple[float, float]]:
    first, last = points[0][0], points[-1][0]
    scale = columns / (last - first) if last > first else 0.0
    low = high = points[0]
    column = 0
    for point in points:
        here = min(int((point[0] - first) * scale), columns - 1)
        if here != column:
            yield from sorted({low, high})
            column, low, high = here, point, point
        elif point[1] < low[1]:
            low = point
        elif point[1] > high[1]:
            high = point
    yield from sorted({low, high})


def extent(curves: Sequence[Curve]) -> tuple[float, float, float, float]:
    """Least and greatest x, least and greatest y over all curves; never of no width or height."""
    xs = [x for curve in curves for x in curve.xs] or [0.0]
    ys = [y for curve in curves for y in curve.ys] or [0.0]
    left, right, bottom, top = min(xs), max(xs), min(ys), max(ys)
    if left == right:
        left, right = left - 1, right + 1
    if bottom == top:
        margin = abs(bottom) * 0.1 or 1.0
        bottom, top = bottom - margin, top + margin
    return left, right, bottom, top


def ticks(low: float, high: float, count: int) -> list[tuple[float, str]]:
    """About `count` round numbers in the range, 1, 2 or 5 times a power of ten, and their text."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [(low, f"{low:g}")]
    rough = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((f * power for f in (1, 2, 5, 10) if f * power >= rough), 10 * power)
    first, last = math.ceil(low / step), math.floor(high / step)
    numbers = [n * step for n in range(first, min(last, first + 100) + 1)]
    return [(number, number_text(number, step)) for number in numbers]


def number_text(number: float, step: float) -> str:
    """`number` with as many digits as steps of `step` need; 12000 as 12k."""
    if not number and (step >= 1 or step < 1e-3):
        return "0"
    if number and (abs(number) < 1e-3 or abs(number) >= 1e7):
        return f"{number:.3g}"
    if abs(step) >= 1000 or (abs(number) >= 1e5 and step >= 100):
        return f"{number / 1000:g}k"
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{number:.{decimals}f}"

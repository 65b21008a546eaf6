"""Values in one line, each in a field of its own width: label, value, and a trace of its past.

Fields do not move while their values change, so that only digits go on the wire.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.content import Content

from qtui.terminal import clean_line, columns, cut

NARROWEST = 18
"""Columns of the narrowest field."""
_SHORTEST_TRACE = 4
_BARS = ("▁▂▃▄▅▆▇█", "_.-=#")


@dataclass(frozen=True)
class Gauge:
    """One field. `trace(width)` draws the past into that many columns; none: there is no past."""

    label: str
    value: str
    trace: Callable[[int], str] | None = None
    style: str = ""
    """Of the value, where it is worth a look: `$warning`."""


def row(gauges: Sequence[Gauge], width: int, *, fields: int) -> Content:
    """One line of `fields` fields of a width; gauges beyond the last are left out."""
    field = (width - 1) // max(fields, 1)
    parts: list[Content | str] = [" "]
    for gauge in gauges[:fields]:
        parts += _field(gauge, field)
    return Content("").join(parts)


def fitting(width: int, most: int) -> int:
    """How many fields a line of `width` has room for, at most `most`."""
    return max(min(most, width // NARROWEST), 1)


def _field(gauge: Gauge, width: int) -> list[Content]:
    label = cut(clean_line(gauge.label), max(width - 2, 0))
    value = cut(clean_line(gauge.value), max(width - columns(label) - 2, 0))
    parts = [
        Content.styled(label, "$text-muted"),
        Content(" "),
        Content.styled(value, gauge.style) if gauge.style else Content(value),
    ]
    used = columns(label) + 1 + columns(value)
    room = width - used - 3
    if gauge.trace is not None and room >= _SHORTEST_TRACE:
        parts += [Content(" "), Content.styled(gauge.trace(room), "$accent")]
        used += 1 + room
    parts.append(Content(" " * max(width - used, 0)))
    return parts


class Past:
    """The last readings of one value, coarse enough to send little: a bar for `seconds` seconds."""

    def __init__(self, *, seconds: float = 10.0, kept: int = 60) -> None:
        self._seconds = seconds
        self._bars: deque[tuple[int, float]] = deque(maxlen=kept)

    def take(self, at: float, value: float | None) -> None:
        """Note the value read at `at` (seconds of any clock); of one bar's time the most counts."""
        if value is None:
            return
        bar = int(at // self._seconds)
        if self._bars and self._bars[-1][0] == bar:
            value = max(value, self._bars.pop()[1])
        self._bars.append((bar, value))

    def drawn(self, top: float, *, unicode: bool) -> Callable[[int], str]:
        """The trace for a `Gauge`: bars between 0 and `top`, the newest on the right."""

        def trace(width: int) -> str:
            signs = _BARS[0] if unicode else _BARS[1]
            found = list(self._bars)[-width:]
            heights = (min(max(value / top, 0.0), 1.0) if top > 0 else 0.0 for _, value in found)
            text = "".join(signs[round(height * (len(signs) - 1))] for height in heights)
            return text.rjust(width)

        return trace

"""Curves as characters: eight dots a cell in braille, or three heights a cell in ASCII.

Our own, because a general plotting library takes seven times as long (`benchmarks/chart.py`), and
four charts would take all of the time in which a key has to be answered. Here a curve comes in
columns already, and all that is left to do is to set bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from qtui.runs.pyramid import Column

Span = tuple[int, int]
"""Topmost and lowest dot row of a curve in one dot column, counted from the top."""

_BRAILLE = tuple(chr(0x2800 + mask) for mask in range(256))
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # left, right column; top to bottom
_THIRDS = ((0x01, 0x02, 0x04),)
_PLAIN = (" ", "'", "-", "|", "_", "|", "|", "|")
_SIGNS = "*+xo%@&="
_DASHES = ((1,), (4, 3), (1, 2), (3, 1, 1, 1), (2, 2))
FAINT = 255
"""The owner of a cell that has nothing but faint dots."""


def dash(number: int) -> tuple[bool, ...]:
    """Which dot columns the line of curve `number` is drawn in, over and over: its line style."""
    lengths = _DASHES[number % len(_DASHES)]
    return tuple(at % 2 == 0 for at, length in enumerate(lengths) for _ in range(length))


def sample(number: int, *, unicode: bool) -> str:
    """Three cells in the line style of a curve, for a legend."""
    if not unicode:
        return "---" if number == 0 else _SIGNS[(number - 1) % len(_SIGNS)] * 3
    canvas = Canvas(3, 1)
    canvas.line([(2, 2)] * 6, number)
    return "".join(canvas.row(0))


def spans(
    columns: Sequence[Column | None],
    row: Callable[[float], int],
    *,
    gaps: Sequence[int] = (),
    before: tuple[float, float] | None = None,
    after: tuple[float, float] | None = None,
) -> list[Span | None]:
    """What a curve covers in each dot column: its own extent, and the line to its neighbours.

    `row` gives the dot row of a value. `gaps` are columns where the curve is broken. `before` and
    `after` are (column, value) of the next points outside, to which the line goes on.
    """
    count = len(columns)
    points: list[tuple[float, int, int]] = []
    if before is not None:
        place = row(before[1])
        points.append((min(before[0], -1.0), place, place))
    for number, column in enumerate(columns):
        if column is not None:
            points.append((number, row(column[1]), row(column[0])))
    if after is not None:
        place = row(after[1])
        points.append((max(after[0], float(count)), place, place))
    covered: list[Span | None] = [None] * count
    broken = iter(gaps)
    gap: float = next(broken, math.inf)
    last: tuple[float, int, int] | None = None
    for point in points:
        at, top, bottom = point
        if last is not None:
            while gap <= last[0]:
                gap = next(broken, math.inf)
            # Neighbours that overlap, as in most columns of a long curve, need no line.
            apart = at - last[0] != 1 or top > last[2] or bottom < last[1]
            if apart and not last[0] < gap < at:
                top, bottom = _join(covered, last, point)
        if 0 <= at < count:
            covered[int(at)] = (top, bottom)
        last = point
    return covered


def _join(
    covered: list[Span | None], start: tuple[float, int, int], end: tuple[float, int, int]
) -> tuple[int, int]:
    """Draw the line from one extent to the next; return the extent of `end` grown towards it.

    A line that jumps is split in the middle, so that both columns get their half of it.
    """
    left, left_top, left_bottom = start
    right, right_top, right_bottom = end
    if left_bottom < right_top:
        y, goal = left_bottom, right_top
    elif left_top > right_bottom:
        y, goal = left_top, right_bottom
    else:
        y = goal = max(left_top, right_top)
    slope = (goal - y) / (right - left)
    if right - left > 1 or slope:
        for number in range(max(math.floor(left) + 1, 0), min(math.ceil(right), len(covered))):
            middle = y + slope * (number - left)
            one, other = round(middle - slope / 2), round(middle + slope / 2)
            low, high = (one, other) if one <= other else (other, one)
            covered[number] = (low, high)
        half = y + round(slope / 2)
        if 0 <= left < len(covered) and (span := covered[int(left)]) is not None:
            covered[int(left)] = (min(span[0], half), max(span[1], half))
        half = goal - round(slope / 2)
        return min(right_top, half), max(right_bottom, half)
    return right_top, right_bottom


class Canvas:
    """`columns` by `rows` cells to draw on. What is drawn later lies on top."""

    def __init__(self, columns: int, rows: int, *, unicode: bool = True) -> None:
        self.columns = columns
        self.rows = rows
        self.unicode = unicode
        self._bits = _DOTS if unicode else _THIRDS
        self.across = columns * len(self._bits)
        """Dot columns."""
        self.up = rows * len(self._bits[0])
        """Dot rows."""
        self._masks = bytearray(columns * rows)
        self._faint = bytearray(columns * rows)
        self._owners = bytearray(columns * rows)

    def line(self, covered: Sequence[Span | None], number: int) -> None:
        """Draw what a curve covers, one entry a dot column, in the line style of its number."""
        masks, owners, columns = self._masks, self._owners, self.columns
        wide, high = len(self._bits), len(self._bits[0])
        # The bits of a cell from a dot row on downwards, and down to a dot row.
        onwards = [[sum(bits[row:]) for row in range(high)] for bits in self._bits]
        up_to = [[sum(bits[: row + 1]) for row in range(high)] for bits in self._bits]
        drawn = dash(number) if self.unicode else (True,)
        owner = number + 1
        for x, span in enumerate(covered):
            if span is None or not drawn[x % len(drawn)]:
                continue
            top, bottom = span
            cell = top // high * columns + x // wide
            last = bottom // high * columns + x // wide
            mask = onwards[x % wide][top % high]
            while cell <= last:
                if cell == last:
                    mask &= up_to[x % wide][bottom % high]
                # In braille the dots of several curves share a cell; a sign is one curve's.
                masks[cell] = mask | masks[cell] if self.unicode or owners[cell] == owner else mask
                owners[cell] = owner
                mask = onwards[x % wide][0]
                cell += columns

    def dots(self, covered: Sequence[Span | None]) -> None:
        """Draw the two ends of each extent, faintly, where no line is."""
        wide, high = len(self._bits), len(self._bits[0])
        for x, span in enumerate(covered):
            if span is not None:
                for y in span:
                    cell = y // high * self.columns + x // wide
                    self._faint[cell] |= self._bits[x % wide][y % high]

    def row(self, row: int) -> list[str]:
        """The characters of a row."""
        start = row * self.columns
        masks = self._masks[start : start + self.columns]
        faint = self._faint[start : start + self.columns]
        if self.unicode:
            return [
                _BRAILLE[mask or behind] if mask or behind else " "
                for mask, behind in zip(masks, faint, strict=True)
            ]
        owners = self._owners[start : start + self.columns]
        return [
            _sign(owner, mask) if mask else "." if behind else " "
            for mask, behind, owner in zip(masks, faint, owners, strict=True)
        ]

    def owners(self, row: int) -> list[int]:
        """Whose each cell of a row is: 0 nobody's, the number of a curve + 1, or `FAINT`."""
        start = row * self.columns
        return [
            owner or (FAINT if behind else 0)
            for owner, behind in zip(
                self._owners[start : start + self.columns],
                self._faint[start : start + self.columns],
                strict=True,
            )
        ]


def _sign(owner: int, mask: int) -> str:
    return _PLAIN[mask] if owner == 1 else _SIGNS[(owner - 2) % len(_SIGNS)]

"""Only cells that changed go to the terminal, whatever a widget or Textual draws again.

Textual sends a region that was refreshed although nothing in it changed, and a whole screen several
times when one is put on another. Over a slow line that is what one waits for. `Sent` remembers what
the terminal shows, cell by cell, and sends the difference.

The memory is exact as long as nobody else writes to the terminal. After a new size, a stay in the
background or dropped frames it has to be made to `forget`; a key does the same for a person who
sees what somebody else has written there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

from qtui.dashboard.thrift import thrifty

_NEAR = 12
"""Unchanged cells between two changed ones that cost less than to move the cursor."""

_NARROW = re.compile(
    "[ -~\u00a1-\u00ac\u00ae-\u02ff\u0370-\u0482\u048a-\u0556"  # Latin, Greek, Cyrillic
    "\u2010-\u2027\u2030-\u205e\u2080-\u20cf\u2100-\u2319"  # punctuation, arrows, mathematics
    "\u2500-\u25fc\u2713\u2717\u2800-\u28ff]*"  # lines, blocks, signs, braille
)
"""Text of which every terminal draws one character a column."""

Cell = tuple[str, Style | None]
Piece = tuple[int, int, Strip]
"""Column and row of its first cell, and what is to stand there."""


class Sent:
    """What the terminal shows, as far as it is known."""

    def __init__(self) -> None:
        self._rows: dict[int, list[Cell | None]] = {}

    def forget(self) -> None:
        """Know nothing: the next drawing sends all of its cells."""
        self._rows.clear()

    def changes(self, pieces: Iterable[Piece], console: Console) -> str:
        """What has to be written to the terminal so that it shows `pieces`; often nothing."""
        written: list[str] = []
        for x, y, strip in pieces:
            cells = _cells(strip)
            if cells is None:
                # Terminals do not agree on how wide such text is: all of it, and no memory of it.
                self._rows.pop(y, None)
                written += _at(x, y, strip, console)
                continue
            row = self._rows.setdefault(y, [])
            row.extend([None] * (x + len(cells) - len(row)))
            for first, end in _runs(row, cells, x):
                whole = first == 0 and end == len(cells)
                part = strip if whole else strip.crop(first, end)
                written += _at(x + first, y, part, console)
            row[x : x + len(cells)] = cells
        return thrifty("".join(written))


def _at(x: int, y: int, strip: Strip, console: Console) -> tuple[str, str]:
    return f"\x1b[{y + 1};{x + 1}H", strip.render(console)


def _cells(strip: Strip) -> list[Cell] | None:
    """One entry a column; None when some character may not take exactly one."""
    cells: list[Cell] = []
    for text, style, control in strip:
        if control or not _NARROW.fullmatch(text):
            return None
        look, ground = (None, None) if style is None else _looks(style)
        cells += [(char, ground if char == " " else look) for char in text]
    return cells


@lru_cache(4096)
def _looks(style: Style) -> tuple[Style, Style]:
    """What is seen of `style` on a character, and on a blank.

    Without what Textual notes in it for the mouse; of a blank without lines only the ground.
    """
    look = style.clear_meta_and_links()
    if style.reverse or style.underline or style.underline2 or style.strike or style.overline:
        return look, look
    return look, Style(bgcolor=style.bgcolor)


def _runs(row: list[Cell | None], cells: list[Cell], x: int) -> list[tuple[int, int]]:
    """First and end of each run of `cells` that differs from `row` at `x`."""
    if row[x : x + len(cells)] == cells:
        return []
    runs: list[tuple[int, int]] = []
    for at, cell in enumerate(cells):
        if row[x + at] == cell:
            continue
        if runs and at - runs[-1][1] <= _NEAR:
            runs[-1] = (runs[-1][0], at + 1)
        else:
            runs.append((at, at + 1))
    return runs


def pieces(update: LayoutUpdate | ChopsUpdate) -> Iterable[Piece]:
    """What an update of Textual's would draw, and where."""
    if isinstance(update, LayoutUpdate):
        for y, line in enumerate(update.strips, update.region.y):
            x = update.region.x
            for strip in line:
                yield x, y, strip
                x += strip.cell_length
        return
    for y, first, end in update.spans:
        for strip_end, (x, strip_or_none) in zip(
            update.chop_ends[y], update.chops[y].items(), strict=False
        ):
            if strip_or_none is None or x > end or strip_end <= first:
                continue
            yield x, y, strip_or_none.crop(0, min(strip_end, end) - x)


class Written(CompositorUpdate):
    """An update that has been put into bytes already."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, *_: object) -> Iterable[Segment]:
        yield Segment(self._text)

    def render_segments(self, console: Console) -> str:
        """The bytes, as text."""
        return self._text

"""Text in our own styles, and rows of it laid out as a table.

Cells are foreign until they have passed `safe`: one line each, without control characters, so
that no cell can make a second row. A terminal that is too narrow gets shorter cells, then fewer
columns; a pipe (`room` is None) gets everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from qtui.terminal import clean_line, columns, cut

Style = Literal["bold", "dim", "red", "green", "yellow", "cyan"]


@dataclass(frozen=True)
class Styled:
    """Text in one of our own styles; the style is dropped where there is no colour."""

    text: str
    style: Style


Part = str | Styled
Cell = str | Styled


@dataclass(frozen=True)
class Column:
    """One column of a table. Where the terminal is narrow `flexible` ones shrink, then
    `optional` ones are left out, the last first.
    """

    title: str
    align: Literal["left", "right"] = "left"
    flexible: bool = False
    optional: bool = False


_GAP = "  "
_NARROWEST = 6  # columns that a flexible one keeps


def safe(cell: Cell) -> Cell:
    """`cell` as one line without control characters."""
    if isinstance(cell, str):
        return clean_line(cell)
    return Styled(clean_line(cell.text), cell.style)


def text_of(cell: Cell) -> str:
    """The text without its style."""
    return cell if isinstance(cell, str) else cell.text


def lines(
    header: Sequence[Column], rows: Iterable[Sequence[Cell]], room: int | None, *, ellipsis: str
) -> Iterator[list[Part]]:
    """The table line by line, titles first, in at most `room` columns where that can be done."""
    cells = [[safe(cell) for cell in row] for row in rows]
    widths = _widths(header, cells)
    kept = list(range(len(header)))
    if room is not None:
        kept, widths = _fitted(header, widths, room)
    titles: list[Cell] = [Styled(column.title, "dim") for column in header]
    for row in [titles, *cells]:
        yield _line([header[i] for i in kept], widths, [row[i] for i in kept], ellipsis)


def _line(
    header: Sequence[Column], widths: Sequence[int], row: Sequence[Cell], ellipsis: str
) -> list[Part]:
    line: list[Part] = []
    for index, (column, width, cell) in enumerate(zip(header, widths, row, strict=True)):
        text = cut(text_of(cell), width, ellipsis)
        blank = " " * (width - columns(text))
        shown = text if isinstance(cell, str) else Styled(text, cell.style)
        last = index == len(header) - 1
        if column.align == "right":
            line += [blank, shown]
        else:
            line += [shown, "" if last else blank]
        if not last:
            line.append(_GAP)
    return line


def _widths(header: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[int]:
    widths = [columns(column.title) for column in header]
    for row in rows:
        widths = [max(w, columns(text_of(cell))) for w, cell in zip(widths, row, strict=True)]
    return widths


def _fitted(
    header: Sequence[Column], full: Sequence[int], room: int
) -> tuple[list[int], list[int]]:
    """Which columns are shown, and how wide each of them is."""
    kept = list(range(len(header)))
    while True:
        widths = {index: full[index] for index in kept}
        flexible = [index for index in kept if header[index].flexible]
        over = sum(widths.values()) + len(_GAP) * (len(kept) - 1) - room
        while over > 0 and flexible:
            widest = max(flexible, key=lambda index: widths[index])
            if widths[widest] <= _NARROWEST:
                break
            widths[widest] -= 1
            over -= 1
        optional = [index for index in kept if header[index].optional]
        if over <= 0 or not optional:
            return kept, list(widths.values())
        kept.remove(optional[-1])

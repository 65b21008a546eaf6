"""Lines of values that change often: only the cells that differ go on the wire.

Textual sends a refreshed line whole, also when one digit of it changed. Over a slow line that is
most of the traffic of a live run, so this widget compares cells and refreshes the changed ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual.content import Content
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget

from qtui.terminal import columns

GAP = 8
"""Unchanged cells between two changed stretches up to which one stretch is cheaper than two: a
cursor movement takes about as many bytes."""


class Readout(Widget):
    """As many rows as lines it shows (`show`); each is cut to the width."""

    DEFAULT_CSS = """
    Readout { height: auto; width: 1fr; }
    """

    def __init__(self, *lines: Content, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: tuple[Content, ...] = lines

    @property
    def lines(self) -> tuple[Content, ...]:
        """What it shows."""
        return self._lines

    def show(self, *lines: Content) -> None:
        """Show `lines`; nothing is drawn where nothing changed."""
        old, self._lines = self._lines, lines
        if len(old) != len(lines):
            self.refresh(layout=True)
            return
        regions = [
            Region(start, row, end - start, 1)
            for row, (before, after) in enumerate(zip(old, lines, strict=True))
            for start, end in changed(before, after)
        ]
        if regions:
            self.refresh(*regions)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if not width or y >= len(self._lines):
            return Strip.blank(width, self.visual_style.rich_style)
        line = self._lines[y].truncate(width, ellipsis=self._ellipsis, pad=True)
        return Visual.to_strips(self, line, width, 1, self.visual_style)[0]

    @property
    def _ellipsis(self) -> bool:
        return bool(getattr(self.app, "unicode", True))


def changed(before: Content, after: Content) -> Iterator[tuple[int, int]]:
    """The stretches of cells, start and end, in which two lines differ."""
    if before.is_same(after):
        return
    old, new = _cells(before), _cells(after)
    length = max(len(old), len(new))
    blank = (" ", "")
    old += [blank] * (length - len(old))
    new += [blank] * (length - len(new))
    start = end = -1
    for at in range(length):
        if old[at] == new[at]:
            continue
        if start >= 0 and at - end > GAP:
            yield start, end
            start = -1
        start = at if start < 0 else start
        end = at + 1
        while end < length and "" in (old[end][0], new[end][0]):
            end += 1  # a wide character is sent whole
    if start >= 0:
        yield start, end


def _cells(line: Content) -> list[tuple[str, str]]:
    """Each cell's character and style; the second cell of a wide character is empty."""
    styles = [""] * len(line.plain)
    for span in line.spans:
        for at in range(span.start, min(span.end, len(styles))):
            styles[at] += f"{span.style} "
    cells: list[tuple[str, str]] = []
    for character, style in zip(line.plain, styles, strict=True):
        width = columns(character)
        if width == 0 and cells:
            cells[-1] = (cells[-1][0] + character, cells[-1][1])
            continue
        cells.append((character, style))
        cells += [("", style)] * (width - 1)
    return cells


def text(lines: Sequence[Content]) -> str:
    """What `lines` read, without styles."""
    return "\n".join(line.plain for line in lines)

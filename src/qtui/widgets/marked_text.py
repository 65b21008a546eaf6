"""Long text with marks in it, laid out elsewhere: only the rows in sight are made into cells.

A row of data may have a hundred thousand tokens, each with its border. So whoever has the text
lays it out (`lay_out`, in a thread), and the widget looks up the styles of the rows that it shows.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from textual.content import Content, Span
from textual.events import Resize
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from qtui.terminal import columns

_BREAK_AFTER = 3
"""A line is broken at a space unless that would leave less than one in so many columns."""


class Pen:
    """Writes text piece by piece, each in its style; all of it is safe to show already."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._starts: list[int] = []
        self._styles: list[str] = []
        self._at = 0

    def write(self, text: str, style: str = "") -> None:
        """Add `text`."""
        if not text:
            return
        if not self._styles or self._styles[-1] != style:
            self._starts.append(self._at)
            self._styles.append(style)
        self._pieces.append(text)
        self._at += len(text)

    @property
    def at(self) -> int:
        """How many characters have been written."""
        return self._at

    @property
    def line_begins(self) -> bool:
        """Whether what is written next begins a line."""
        return not self._pieces or self._pieces[-1].endswith("\n")

    def lay_out(self, width: int) -> Laid:
        """What was written, in rows of at most `width` columns."""
        text = "".join(self._pieces)
        return Laid(text, self._starts, self._styles, rows_of(text, width), width)


@dataclass(frozen=True)
class Laid:
    """`text` in rows: [start, end) of each in characters. From character `starts`[n] on its style
    is `styles`[n]. Neither is changed by anybody."""

    text: str = ""
    starts: list[int] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    rows: list[tuple[int, int]] = field(default_factory=list)
    width: int = 0

    def row(self, number: int) -> Content:
        """Row `number` with its styles."""
        start, end = self.rows[number]
        spans = []
        at = max(bisect_right(self.starts, start) - 1, 0)
        while at < len(self.starts) and self.starts[at] < end:
            last = self.starts[at + 1] if at + 1 < len(self.starts) else end
            if self.styles[at]:
                first = max(self.starts[at], start)
                spans.append(Span(first - start, min(last, end) - start, self.styles[at]))
            at += 1
        return Content(self.text[start:end], spans)

    def row_of(self, character: int) -> int:
        """The row in which `character` stands."""
        return max(bisect_right([start for start, _ in self.rows], character) - 1, 0)


def rows_of(text: str, width: int) -> list[tuple[int, int]]:
    """Where each row of `text` starts and ends when it is `width` columns wide."""
    rows: list[tuple[int, int]] = []
    width = max(width, 2)  # a wide character must fit
    at, whole = 0, len(text)
    while at <= whole:
        end = text.find("\n", at)
        end = whole if end < 0 else end
        start = at
        while True:
            fits = _fits(text, start, end, width)
            if fits >= end:
                break
            space = text.rfind(" ", start, fits + 1)
            fits = space + 1 if space - start >= width // _BREAK_AFTER else fits
            rows.append((start, fits))
            start = fits
        rows.append((start, end))
        at = end + 1
    return rows


def _fits(text: str, start: int, end: int, width: int) -> int:
    """The end of what fits into one row from `start` on."""
    last = min(start + width, end)
    if text[start : last + 1].isascii():
        return last
    used = 0
    for at in range(start, end):
        used += columns(text[at])
        if used > width:
            return at
    return end


class MarkedText(ScrollView, can_focus=False):
    """Shows a `Laid` text, and scrolls it up and down."""

    DEFAULT_CSS = """
    MarkedText {
        overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1;
        scrollbar-gutter: stable; height: 1fr;
    }
    """

    class Resized(Message):
        """There is other room for text than before: whoever laid it out does so again."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._laid = Laid()
        self._room = 0

    @property
    def laid(self) -> Laid:
        """What it shows."""
        return self._laid

    @property
    def room(self) -> int:
        """Columns that there are for text."""
        return self.scrollable_content_region.width

    def show(self, laid: Laid, *, at: int | None = 0) -> None:
        """Show `laid` from its row `at` on; None: what is in sight stays there."""
        place = self.scroll_offset.y if at is None else at
        self._laid = laid
        self.virtual_size = Size(self.room, len(laid.rows))
        self.scroll_to(y=place, animate=False, immediate=True, force=True)
        self.refresh()

    def on_resize(self, event: Resize) -> None:
        if self.room != self._room:
            self._room = self.room
            self.post_message(self.Resized())

    def render_line(self, y: int) -> Strip:
        at = self.scroll_offset.y + y
        width = self.size.width
        if at >= len(self._laid.rows) or not width:
            return Strip.blank(width, self.visual_style.rich_style)
        row = self._laid.row(at).truncate(width, pad=True)
        return Visual.to_strips(self, row, width, 1, self.visual_style)[0]

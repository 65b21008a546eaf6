"""The conversation on the screen: rows over the whole width, and answers side by side.

Made for answers that stream: what is shown again is compared row by row, only rows that differ
are drawn, and a row is put together only when it is in sight. An answer that reaches the bottom
moves the text up by most of a page at once: to move it a row at a time would send the whole window
ten times a second.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from textual.content import Content
from textual.events import MouseScrollDown, MouseScrollUp, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from qtui import keymap

MARGIN = 1
_WHEEL = 3
"""Rows that the mouse wheel moves."""
_AHEAD = 8
"""Pages of room below an answer that is being written."""
_JUMP = 3
"""An answer at the bottom goes on in the last third of what was the window."""


@dataclass(frozen=True)
class Pair:
    """Rows of two answers side by side. The lists are not changed by anybody."""

    left: Sequence[Content]
    right: Sequence[Content]

    def __len__(self) -> int:
        return max(len(self.left), len(self.right))


Part = Sequence[Content] | Pair


@dataclass(frozen=True)
class Widths:
    """Columns for text: over the whole width, and in each of two halves."""

    whole: int
    left: int
    right: int


def widths(room: int) -> Widths:
    """How `room` columns are shared: a margin, and three for the line between two answers."""
    whole = max(room - MARGIN, 8)
    left = (whole - 3 + 1) // 2
    return Widths(whole, left, whole - 3 - left)


class Transcript(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows `Part`s one below the other."""

    DEFAULT_CSS = """
    Transcript {
        overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1;
        scrollbar-gutter: stable; height: 1fr;
    }
    """
    BINDINGS = [*keymap.bindings("chat_answers")]

    class Left(Message):
        """Away from the conversation."""

    class Resized(Message):
        """There is other room for text than before: whoever laid it out does so again."""

    def __init__(self, *, id: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id)
        self._bar = Content.styled(" │ " if unicode else " | ", "$panel-lighten-2")
        self._parts: list[Part] = []
        self._starts: list[int] = []
        self._total = 0
        self._room = 0
        self._drawn: dict[int, Content] = {}
        self.following = True
        """Whether the end stays in sight as text comes."""

    # -- what is shown ---------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """Columns that there are for text, with the margin."""
        return self.scrollable_content_region.width

    @property
    def window(self) -> int:
        """Rows that are in sight at once."""
        return max(self.size.height, 1)

    def show(
        self, parts: Sequence[Part], *, streaming: bool = False, newest: int | None = None
    ) -> None:
        """Show `parts`; what is in sight stays there, or follows the end.

        `streaming`: more will come, so make room for it. `newest`: the part at which the last
        exchange begins, which then stays in sight as long as it fits.
        """
        self._parts = list(parts)
        ends = list(accumulate(len(part) for part in self._parts))
        self._starts = [0, *ends[:-1]] if ends else []
        self._total = ends[-1] if ends else 0
        top = self.scroll_offset.y
        if self.following:
            top = self._followed(top, streaming, newest)
        self._scroll(min(max(top, 0), max(self._total - 1, 0)), streaming=streaming)
        self._draw_changes()

    def _followed(self, top: int, streaming: bool, newest: int | None) -> int:
        """The row on top when the end is to be in sight and `top` was the one there."""
        begins = self._total if newest is None else self.row_of(newest)
        past = self._total > top + self.window
        if self._total - begins <= self.window and (begins < top or past):
            return begins if streaming or begins < top else self._total - self.window
        if past and streaming:
            return self._total - max(self.window // _JUMP, 1)
        return self._total - self.window if past or self._total <= top else top

    def row_of(self, part: int) -> int:
        """The row at which part number `part` begins."""
        return self._starts[part] if part < len(self._starts) else self._total

    def _scroll(self, top: int, *, streaming: bool = False) -> None:
        """Put row `top` on top; below the end may be room that an answer will fill."""
        height = max(self._total, top + self.window) if self._total else 0
        if streaming and self.virtual_size.width == self.room:
            # Another height costs a layout of the whole screen: some pages at once.
            ahead = self.virtual_size.height - height
            pages = _AHEAD * self.window
            height = height + ahead if 0 <= ahead <= pages else height + pages
        if (size := Size(self.room, height)) != self.virtual_size:
            self.virtual_size = size
        if top != self.scroll_offset.y:
            following = self.following
            self.scroll_to(y=top, animate=False, immediate=True, force=True)
            self.following = following

    def _draw_changes(self) -> None:
        """Have the rows in sight drawn that differ from what was drawn there."""
        regions = []
        top, width = self.scroll_offset.y, self.size.width
        for y, before in self._drawn.items():
            if y < self.window and not self._row(top + y).is_same(before):
                regions.append(Region(0, y, width, 1))
        if regions:
            self.refresh(*regions)

    # -- scrolling -------------------------------------------------------------------------------

    @property
    def at_end(self) -> bool:
        """Whether the last row is in sight."""
        return self.scroll_offset.y + self.window >= self._total

    def go(self, top: int) -> None:
        """Put row `top` on top, as near as there are rows; at the end it follows again."""
        self._scroll(min(max(top, 0), max(self._total - self.window, 0)))
        self.following = self.at_end

    def go_by(self, rows: int) -> None:
        """So many rows down, or up."""
        self.go(self.scroll_offset.y + rows)

    def reveal(self, first: int, end: int) -> None:
        """Scroll no farther than is needed to see the rows from `first` on."""
        top = self.scroll_offset.y
        if first < top or first >= top + self.window:
            self.go(first)
        elif end > top + self.window:
            self.go(min(first, end - self.window))

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        event.stop()
        event.prevent_default()
        self.go_by(_WHEEL)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        event.stop()
        event.prevent_default()
        self.go_by(-_WHEEL)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value != old_value and self.is_attached:
            self.following = self.at_end

    def on_resize(self, event: Resize) -> None:
        if self.room != self._room:
            self._room = self.room
            self.post_message(self.Resized())
        elif self.following and self._total:
            self._scroll(max(self._total - self.window, 0))

    # -- drawing ---------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        row = self._row(self.scroll_offset.y + y)
        self._drawn[y] = row
        if not row or not width:
            return Strip.blank(width, self.visual_style.rich_style)
        return Visual.to_strips(self, row.truncate(width, pad=True), width, 1, self.visual_style)[0]

    def _row(self, number: int) -> Content:
        """Row `number` of all, put together."""
        if number >= self._total:
            return Content("")
        at = bisect_right(self._starts, number) - 1
        part, line = self._parts[at], number - self._starts[at]
        if not isinstance(part, Pair):
            return Content(" " * MARGIN) + part[line]
        share = widths(self.room)
        left = part.left[line] if line < len(part.left) else Content("")
        right = part.right[line] if line < len(part.right) else Content("")
        return Content("").join(
            [Content(" " * MARGIN), left.truncate(share.left, pad=True), self._bar, right]
        )

    answering = False
    """Whether an answer is being written: then escape stops it and does not lead away."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "leave" or not self.answering

    def action_leave(self) -> None:
        """Leave the conversation."""
        self.post_message(self.Left())

    @property
    def text(self) -> str:
        """All rows, without styles."""
        return "\n".join(self._row(number).plain.rstrip() for number in range(self._total))

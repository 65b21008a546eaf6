"""Text to read and scroll: a log, samples, a config. Only the rows in sight are drawn.

Paragraphs are wrapped to the width when they come and when the width changes. A pane that shows
its end stays at its end while text is added; one that was scrolled up stays where it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.content import Content
from textual.events import Resize
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual


class TextPane(ScrollView, can_focus=True):
    """Shows paragraphs (`show`), and takes more (`add`). What is shown is already safe text."""

    DEFAULT_CSS = """
    TextPane {
        overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
    }
    """
    BINDINGS = []

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._paragraphs: list[Content] = []
        self._rows: list[Content] = []
        self._wrapped_at = 0
        self._follows = False  # whether the end is to stay in sight

    @property
    def text(self) -> str:
        """All it holds, without styles."""
        return "\n".join(paragraph.plain for paragraph in self._paragraphs)

    @property
    def at_end(self) -> bool:
        """Whether the last row is in sight."""
        return self.scroll_target_y >= self.max_scroll_y - 0.5

    def show(self, paragraphs: Sequence[Content], *, end: bool = False) -> None:
        """Show these in place of all others, from the beginning or (`end`) the end.

        The same paragraphs again change nothing, also not how far was scrolled.
        """
        if len(paragraphs) == len(self._paragraphs) and all(
            new.is_same(old) for new, old in zip(paragraphs, self._paragraphs, strict=True)
        ):
            return
        self._paragraphs = list(paragraphs)
        self._wrap_all()
        self._place(end=end)

    def update(self, paragraphs: Sequence[Content], *, above: bool = False) -> None:
        """As `show`, for a newer state of what is shown: what is in sight stays there.

        `above`: what is new comes first, so the text in sight moves down in the whole.
        """
        end, at, before = self._follows, self.scroll_target_y, len(self._rows)
        self.show(paragraphs, end=end)
        if above and at > 0:
            at = max(at + len(self._rows) - before, 0)
        if not end:
            self.scroll_to(y=at, animate=False, immediate=True, force=True)

    def add(self, paragraphs: Iterable[Content]) -> None:
        """Show more below; the view goes along if it was at the end."""
        new = list(paragraphs)
        if not new:
            return
        end = self._follows
        before = len(self._rows)
        self._paragraphs += new
        for paragraph in new:
            self._rows += self._wrap(paragraph)
        at = self.scroll_offset.y
        self.virtual_size = Size(self._width, len(self._rows))
        if end and len(self._rows) > self.size.height:
            self.scroll_end(animate=False, immediate=True, force=True)
        elif before < at + self.size.height:
            self.refresh()

    def render_line(self, y: int) -> Strip:
        at = self.scroll_offset.y + y
        width = self.size.width
        if at >= len(self._rows) or not width:
            return Strip.blank(width, self.visual_style.rich_style)
        row = self._rows[at].truncate(width, pad=True)
        return Visual.to_strips(self, row, width, 1, self.visual_style)[0]

    def on_resize(self, event: Resize) -> None:
        if self._width != self._wrapped_at:
            at = self.scroll_target_y
            self._wrap_all()
            self._place(end=self._follows)
            if not self._follows:
                self.scroll_to(y=at, animate=False, immediate=True, force=True)
        elif self._follows:
            self._place(end=True)

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width

    def _wrap_all(self) -> None:
        self._wrapped_at = self._width
        self._rows = [row for paragraph in self._paragraphs for row in self._wrap(paragraph)]

    def _wrap(self, paragraph: Content) -> list[Content]:
        width = self._wrapped_at
        if not width or ("\n" not in paragraph.plain and paragraph.cell_length <= width):
            return [paragraph]
        return paragraph.wrap(width)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value != old_value and self.is_attached:
            self._follows = self.max_scroll_y > 0 and self.at_end

    def _place(self, *, end: bool) -> None:
        self.virtual_size = Size(self._width, len(self._rows))
        if end:
            self.scroll_end(animate=False, immediate=True, force=True)
        else:
            self.scroll_to(y=0, animate=False, immediate=True, force=True)
        self._follows = end
        self.refresh()

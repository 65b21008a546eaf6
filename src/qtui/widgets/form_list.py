"""Lines to choose from: a name, a value, and what there is to say about it.

One widget that draws its lines, not a widget for each: sixty text fields would be slow to start
and to scroll over a slow line. What changed is drawn again and nothing else. The line that the
cursor stands on stays the same when lines come and go around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.segment import Segment
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from qtui.terminal import columns, cut


class Tone(StrEnum):
    """What a line's value is; the styles of the same name say how that looks."""

    HEADING = "heading"
    OWN = "own"
    PRESET = "preset"
    DEFAULT = "default"
    WRONG = "wrong"


@dataclass(frozen=True)
class Line:
    """One line. `key` tells it from all others; `mark` is one column beside the value.

    All texts must be safe to show. A heading has its `fold` sign before its name.
    """

    key: str
    name: str = ""
    value: str = ""
    note: str = ""
    mark: str = " "
    tone: Tone = Tone.DEFAULT
    fold: str = ""


class FormList(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows `Line`s, one of them under the cursor. It scrolls up and down only."""

    DEFAULT_CSS = """
    FormList {
        height: 1fr; overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1;
        background: $background; color: $foreground;
    }
    FormList > .form-list--heading { color: $accent; text-style: bold; }
    FormList > .form-list--name { color: $foreground; }
    FormList > .form-list--own { color: $accent; text-style: bold; }
    FormList > .form-list--preset { color: $foreground; }
    FormList > .form-list--default { color: $text-muted; }
    FormList > .form-list--wrong { color: $text-error; text-style: bold; }
    FormList > .form-list--note { color: $text-muted; }
    FormList > .form-list--note-wrong { color: $text-error; }
    FormList > .form-list--cursor { text-style: reverse; }
    FormList > .form-list--cursor-blurred { text-style: underline; }
    """
    COMPONENT_CLASSES = {
        *(f"form-list--{tone}" for tone in Tone),
        "form-list--name",
        "form-list--note",
        "form-list--note-wrong",
        "form-list--cursor",
        "form-list--cursor-blurred",
    }

    class Moved(Message):
        """The cursor stands on `key` now."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Clicked(Message):
        """The line that has the cursor was clicked on."""

    def __init__(
        self,
        *,
        id: str | None = None,
        unicode: bool = True,
        name_width: int = 28,
        value_width: int = 14,
        alone: bool = False,
    ) -> None:
        """Names and values have the given columns; a longer one moves what follows it.

        `alone`: the cursor is always the one that counts, also when something else has the focus.
        """
        super().__init__(id=id)
        self.name_width = name_width
        self.value_width = value_width
        self._alone = alone
        self._pointer, self._ellipsis = ("▸", "…") if unicode else (">", "...")
        self.lines: tuple[Line, ...] = ()
        self.at = 0
        """The number of the line under the cursor."""

    @property
    def value_at(self) -> int:
        """The column at which values begin."""
        return self.name_width + 4

    @property
    def key(self) -> str:
        """The key of the line under the cursor; empty where there is no line."""
        return self.lines[self.at].key if self.lines else ""

    def show(self, lines: Sequence[Line]) -> None:
        """Show `lines`; the cursor stays on its key, or near the place where that was."""
        before, key, at = self.lines, self.key, self.at
        self.lines = tuple(lines)
        there = {line.key: number for number, line in enumerate(self.lines)}
        nearest = (line.key for line in reversed(before[: at + 1]) if line.key in there)
        self.at = there.get(next(nearest, ""), 0)
        self.virtual_size = Size(0, len(self.lines))
        self._draw_again(
            number
            for number in range(max(len(before), len(self.lines)))
            if before[number : number + 1] != self.lines[number : number + 1]
        )
        self._draw_again({at, self.at} if at != self.at else ())
        self.scroll_to_line(self.at)
        if self.key != key:
            self.post_message(self.Moved(self.key))

    def go(self, at: int) -> None:
        """Put the cursor on line number `at`, or on the nearest there is."""
        at = min(max(at, 0), max(len(self.lines) - 1, 0))
        if at != self.at:
            self._draw_again((self.at, at))
            self.at = at
            self.post_message(self.Moved(self.key))
        self.scroll_to_line(at)

    def go_to(self, key: str) -> bool:
        """Put the cursor on the line of `key`; whether there is one."""
        for number, line in enumerate(self.lines):
            if line.key == key:
                self.go(number)
                return True
        return False

    def scroll_to_line(self, at: int) -> None:
        """Scroll no farther than is needed to show line number `at`."""
        height = self.scrollable_content_region.height
        top = round(self.scroll_y)
        if height and at < top:
            self.scroll_to(y=at, animate=False, immediate=True, force=True)
        elif height and at >= top + height:
            self.scroll_to(y=at - height + 1, animate=False, immediate=True, force=True)

    def row_of_cursor(self) -> int:
        """The row of the widget on which the cursor is shown."""
        return self.at - round(self.scroll_y)

    def on_resize(self) -> None:
        self.scroll_to_line(self.at)

    def on_focus(self) -> None:
        self._draw_again((self.at,))

    def on_blur(self) -> None:
        self._draw_again((self.at,))

    def on_click(self, event: events.Click) -> None:
        number = event.y + round(self.scroll_y)
        if number < len(self.lines):
            same = number == self.at
            self.go(number)
            if same:
                self.post_message(self.Clicked())

    def _draw_again(self, numbers: Iterable[int]) -> None:
        top, size = round(self.scroll_y), self.size
        regions = [
            Region(0, number - top, size.width, 1)
            for number in numbers
            if 0 <= number - top < size.height
        ]
        if regions:
            self.refresh(*regions)

    def render_line(self, y: int) -> Strip:
        number = y + round(self.scroll_y)
        width = self.scrollable_content_region.width
        if number >= len(self.lines):
            return Strip.blank(width, self.rich_style)
        strip = self._strip(self.lines[number], number == self.at, width)
        return strip.adjust_cell_length(width, self.rich_style)

    def _strip(self, line: Line, here: bool, width: int) -> Strip:
        pointer = self._pointer if here else " "
        if line.tone is Tone.HEADING:
            note = self._cut(line.note, width - 18)
            parts = [(f"{pointer}{line.fold} {line.name:<13}  ", "heading"), (note, "note")]
        else:
            name = self._padded(self._cut(line.name, width - 4), self.name_width)
            value = self._padded(self._cut(line.value, width - 4 - columns(name)), self.value_width)
            note = self._cut(line.note, width - 6 - columns(name) - columns(value))
            wrong = line.tone is Tone.WRONG
            parts = [
                (f"{pointer} {name}", "name"),
                (f"{line.mark} ", line.tone),
                (value, line.tone),
                (f"  {note}", "note-wrong" if wrong else "note"),
            ]
        segments = [
            Segment(text, self.get_component_rich_style(f"form-list--{style}"))
            for text, style in parts
            if text
        ]
        strip = Strip(segments)
        if not here:
            return strip
        cursor = "cursor" if self.has_focus or self._alone else "cursor-blurred"
        style = self.get_component_rich_style(f"form-list--{cursor}", partial=True)
        return strip.adjust_cell_length(width, self.rich_style).apply_style(style)

    def _cut(self, text: str, width: int) -> str:
        return cut(text, max(width, 0), self._ellipsis)

    @staticmethod
    def _padded(text: str, width: int) -> str:
        return text + " " * max(width - columns(text), 0)

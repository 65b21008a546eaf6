"""The top line: where you are, and how the GPU is."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from qtui.terminal import clean_line, columns, cut

PLACES = (
    ("1", "home"),
    ("2", "configure"),
    ("3", "data"),
    ("4", "monitor"),
    ("6", "chat"),
    ("9", "system"),
)
"""Screens in the order of their numbers."""
_NAME = " qtui "


class TopBar(Widget):
    """One line. `gpu` is what stands on the right; the application keeps it up to date.

    When that is long (it may be a reason) the screens that you are not on shrink to their numbers.
    """

    DEFAULT_CSS = """
    TopBar { dock: top; height: 1; width: 1fr; background: $panel; color: $foreground; }
    TopBar:ansi { text-style: underline; }
    """

    gpu: reactive[str] = reactive("")

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place

    def render(self) -> Content:
        gpu = clean_line(self.gpu)
        room = self.size.width - len(_NAME) - 2
        long = [f" {number} {place.capitalize()} " for number, place in PLACES]
        short = [
            text if place == self.place else f" {number} "
            for text, (number, place) in zip(long, PLACES, strict=True)
        ]
        labels = long if len("".join(long)) + columns(gpu) <= room else short
        gpu = cut(gpu, max(room - len("".join(labels)), 0))
        parts = [Content.styled(_NAME, "bold $accent")]
        parts += [
            Content.styled(text, "reverse bold" if place == self.place else "$text-muted")
            for text, (_, place) in zip(labels, PLACES, strict=True)
        ]
        used = len(_NAME) + len("".join(labels)) + columns(gpu)
        parts += [Content(" " * max(self.size.width - used - 1, 1)), Content(gpu)]
        return Content("").join(parts)

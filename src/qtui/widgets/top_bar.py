"""The top line: where you are, and how the GPU is."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from qtui.terminal import clean_line, columns, cut

PLACES = (("1", "home"), ("2", "configure"), ("4", "monitor"), ("9", "system"))
"""Screens in the order of their numbers."""


class TopBar(Widget):
    """One line. `gpu` is what stands on the right; the application keeps it up to date."""

    DEFAULT_CSS = """
    TopBar { dock: top; height: 1; width: 1fr; background: $panel; color: $foreground; }
    """

    gpu: reactive[str] = reactive("")

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place

    def render(self) -> Content:
        width = self.size.width
        parts = [Content.styled(" qtui ", "bold $accent")]
        used = 6
        gpu = cut(clean_line(self.gpu), max(width - 20, 0))
        room = width - columns(gpu) - 2
        for number, place in PLACES:
            text = f" {number} {place.capitalize()} "
            here = place == self.place
            if used + len(text) > room and not here:
                continue
            parts.append(Content.styled(text, "reverse bold" if here else "$text-muted"))
            used += len(text)
        parts.append(Content(" " * max(width - used - columns(gpu) - 1, 1)))
        parts.append(Content(gpu))
        return Content("").join(parts)

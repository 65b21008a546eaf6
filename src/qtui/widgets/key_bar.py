"""The bottom line: at most six keys that work here and now, help always among them."""

from __future__ import annotations

from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from qtui.dashboard.remapping import display
from qtui.terminal import columns

SHOWN = 6
_HELP = "app.help"
_GAP = "   "


class KeyBar(Widget):
    """One line made from the screen's active bindings; it changes when they do.

    Neighbours with one label share a place: `←→ crosshair`. What does not fit is left out whole.
    """

    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; width: 1fr; background: $panel; color: $text-muted; }
    KeyBar:ansi { color: ansi_default; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._drawn: list[tuple[str, str]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        # Bindings are said to have changed far more often than they do.
        if self.is_attached and self._items() != self._drawn:
            self.refresh()

    def _items(self) -> list[tuple[str, str]]:
        """Key and label of what is shown, in order."""
        found: dict[str, Binding] = {}
        for active in self.screen.active_bindings.values():
            if active.binding.show and active.enabled:
                found.setdefault(active.binding.id or active.binding.action, active.binding)
        help = found.pop(_HELP, None)
        items: list[tuple[str, str]] = []
        for binding in found.values():
            key, label = display(binding.key), binding.description
            if items and items[-1][1] == label:
                items[-1] = (items[-1][0] + key, label)
            else:
                items.append((key, label))
        last = [(display(help.key), help.description)] if help else []
        kept = items[: SHOWN - len(last)]
        while kept and _width(kept + last) > self.size.width:
            kept.pop()
        return kept + last

    def render(self) -> Content:
        self._drawn = self._items()
        parts = [Content(" ")]
        for key, label in self._drawn:
            parts += [Content.styled(key, "bold $accent"), Content(f" {label}{_GAP}")]
        return Content("").join(parts)


def _width(items: list[tuple[str, str]]) -> int:
    """Columns of the line, without the gap at its end."""
    return 1 + sum(columns(f"{key} {label}{_GAP}") for key, label in items) - len(_GAP)

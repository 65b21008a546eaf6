"""The bottom line: at most six keys that work here and now."""

from __future__ import annotations

from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

SHOWN = 6


class KeyBar(Widget):
    """One line made from the screen's active bindings; it changes when they do."""

    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; width: 1fr; background: $panel; color: $text-muted; }
    """

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        if self.is_attached:
            self.refresh()

    def render(self) -> Content:
        parts = [Content(" ")]
        seen: set[str] = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if not binding.show or not active.enabled or (binding.id or "") in seen:
                continue
            if len(seen) == SHOWN:
                break
            seen.add(binding.id or binding.action)
            key = self.app.get_key_display(binding)
            parts += [Content.styled(key, "bold $accent"), Content(f" {binding.description}   ")]
        return Content("").join(parts)

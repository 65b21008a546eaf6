"""A line of text whose keys take effect in the order in which they were pressed.

Textual puts letters into a text field when they come, but carries out the field's other keys
(backspace, the arrows, enter) only after these have travelled up to the application and back. When
several keys come at once, as they do over a slow line, `backspace 5` so became `5 backspace`.
"""

from __future__ import annotations

from textual import events
from textual.reactive import var
from textual.widgets import Input


class TextLine(Input):
    """An `Input` that carries out its own keys at once, and does not blink."""

    # A blinking cursor would send bytes twice a second for ever.
    cursor_blink: var[bool] = var(False, init=False)

    async def _on_key(self, event: events.Key) -> None:
        if event.is_printable:
            return
        bound = self._bindings.key_to_bindings.get(event.key, [])
        # One with an id may have been given another key by the user: the application knows.
        for binding in bound:
            if binding.id is None and await self.app.run_action(binding.action, self):
                event.stop()
                event.prevent_default()
                return

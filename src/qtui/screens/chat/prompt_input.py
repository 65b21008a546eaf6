"""The line to type in, which grows to some lines: for a prompt, an answer, a system prompt.

Letters and its own keys take effect in the order in which they were pressed (see `TextLine`), text
that is pasted is made safe to show, and nothing in it blinks.
"""

from __future__ import annotations

from textual import events
from textual.dom import DOMNode
from textual.message import Message
from textual.reactive import var
from textual.widgets import TextArea

from qtui import keymap
from qtui.dashboard.remapping import spelled
from qtui.keymap.chat import WHILE_TYPING
from qtui.terminal import clean

_OWN = tuple(key for key in keymap.TABLE if key.screen == "chat_input")
_OF_THE_SCREEN = tuple(keymap.find(id) for id in WHILE_TYPING)


class Typing(TextArea):
    """A `TextArea` that carries out its own keys at once, and takes nothing unsafe."""

    DEFAULT_CSS = """
    Typing { padding: 0; border: none; background: $background; }
    Typing:focus { border: none; }
    Typing:ansi { background: ansi_default; }
    Typing:ansi .text-area--cursor { color: ansi_default; background: ansi_default; text-style: reverse; }
    """  # noqa: E501
    # A blinking cursor would send bytes twice a second for ever.
    cursor_blink: var[bool] = var(False, init=False)

    def __init__(self, text: str = "", *, id: str | None = None, placeholder: str = "") -> None:
        super().__init__(
            clean(text),
            id=id,
            compact=True,
            highlight_cursor_line=False,
            placeholder=placeholder,
        )

    def action_for(self, key: str) -> tuple[str, DOMNode] | None:
        """What `key` does here instead of what it does in any text, and in whose name."""
        return None

    async def _on_key(self, event: events.Key) -> None:
        # What is not dealt with here goes on to TextArea's own handler, then to the screen.
        found = self.action_for(event.key)
        if found is None and not event.is_printable:
            for binding in self._bindings.key_to_bindings.get(event.key, []):
                # One with an id may have been given another key by the user.
                if binding.id is None:
                    found = (binding.action, self)
        if found is not None and await self.app.run_action(*found):
            event.stop()
            event.prevent_default()

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        if result := self._replace_via_keyboard(clean(event.text), *self.selection):
            self.move_cursor(result.end_location)

    def action_copy(self) -> None:
        """Copy what is marked; without that ctrl+c says how to leave, as everywhere."""
        if self.selected_text:
            super().action_copy()
        else:
            self.run_worker(self.app.run_action("help_quit"))


class PromptInput(Typing):
    """Enter sends. The arrow up leaves the first line upwards, and so does escape."""

    BINDINGS = [*keymap.bindings("chat_input")]

    class Sent(Message):
        """What is typed is to be sent."""

    class Left(Message):
        """Away from it, to the answers."""

    class Paged(Message):
        """A page of the answers up or down."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    answering = False
    """Whether an answer is being written: then escape stops it and does not lead away."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "leave" or not self.answering

    def action_for(self, key: str) -> tuple[str, DOMNode] | None:
        remapped = getattr(self.app, "remapped", {})
        for entries, node in ((_OWN, self), (_OF_THE_SCREEN, self.screen)):
            for entry in entries:
                if entry.action == "leave" and self.answering:
                    continue
                if key in spelled(remapped.get(entry.id, entry.keys)) and len(key) > 1:
                    return entry.action, node
        return None

    def action_send(self) -> None:
        """Send what is typed."""
        self.post_message(self.Sent())

    def action_newline(self) -> None:
        """Begin a new line."""
        self._replace_via_keyboard("\n", *self.selection)

    def action_leave(self) -> None:
        """To the answers."""
        self.post_message(self.Left())

    def action_cursor_up(self, select: bool = False) -> None:
        """A line up; from the first one to the answers."""
        first = self.navigator.is_first_wrapped_line(self.cursor_location)
        if first and not select:
            self.post_message(self.Left())
        else:
            super().action_cursor_up(select)

    def action_cursor_page_up(self) -> None:
        """A page of the answers up: what is typed is short."""
        self.post_message(self.Paged(-1))

    def action_cursor_page_down(self) -> None:
        """A page of the answers down."""
        self.post_message(self.Paged(1))

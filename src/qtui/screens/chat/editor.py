"""A text of several lines in the middle of the screen: a system prompt, an answer to be mended."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import Reactive
from textual.widget import Widget
from textual.widgets import Static

from qtui import keymap
from qtui.dashboard.remapping import display
from qtui.screens.chat.prompt_input import Typing
from qtui.terminal import clean_line
from qtui.widgets.modal import Modal


class Editor(Modal[str | None]):
    """Asks for a text that begins as `text`; escape is None."""

    CSS_PATH = "panels.tcss"
    AUTO_FOCUS = "Typing"
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)  # see Frame
    BINDINGS = [*keymap.bindings("chat_editor")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = clean_line(title)
        self._text = text

    def compose(self) -> ComposeResult:
        unicode = bool(getattr(self.app, "unicode", True))
        with Vertical(id="panel", classes="" if unicode else "-ascii"):
            yield Static(Content(self._title), classes="title")
            yield Typing(self._text, id="editor-text")
            yield Static(Content(self._hint()), classes="hint")

    def _hint(self) -> str:
        remapped = getattr(self.app, "remapped", {})
        done, leave = (
            display(remapped.get(id, keymap.find(id).keys))
            for id in ("chat_editor.done", "chat_editor.leave")
        )
        return f"{done}: take it   {leave}: leave it as it was"

    def on_mount(self) -> None:
        typing = self.query_one(Typing)
        typing.move_cursor(typing.document.end)

    def action_done(self) -> None:
        """Take the text as it is now."""
        self.dismiss(self.query_one(Typing).text)

    def action_leave(self) -> None:
        """Leave the text as it was."""
        self.dismiss(None)

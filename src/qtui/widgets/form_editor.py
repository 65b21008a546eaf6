"""The lines of a form with a text field that opens in the place of a value.

One text field for the whole form: it lies over the value that is changed. What is typed is told
at every key, so that it can be judged before it is taken.
"""

from __future__ import annotations

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.widgets import Input

from qtui.widgets.form_list import FormList
from qtui.widgets.text_line import TextLine


class ValueInput(TextLine):
    """The text of the value that is being changed."""

    BINDINGS = [
        ("escape", "drop", "leave it"),
        ("up", "take(-1)", "take it"),
        ("down", "take(1)", "take it"),
    ]

    class Ended(Message):
        """The text is to be taken, and the cursor to move on by `by` lines, or it is dropped."""

        def __init__(self, *, taken: bool, by: int = 0) -> None:
            super().__init__()
            self.taken = taken
            self.by = by

    def action_drop(self) -> None:
        """Leave the value as it was."""
        self.post_message(self.Ended(taken=False))

    def action_take(self, by: int) -> None:
        """Take the text and go to the line above or below."""
        self.post_message(self.Ended(taken=True, by=by))

    def on_blur(self) -> None:
        # Whoever clicks elsewhere does not expect to lose what was typed; whoever goes to another
        # window comes back to it.
        if self.app.app_focus:
            self.post_message(self.Ended(taken=True))


class FormEditor(Container):
    """A `FormList` whose values can be typed."""

    DEFAULT_CSS = """
    FormEditor { layers: lines over; width: 1fr; height: 1fr; }
    FormEditor FormList { layer: lines; }
    FormEditor ValueInput {
        layer: over; display: none; height: 1; border: none; padding: 0;
        background: $panel; color: $foreground;
    }
    FormEditor ValueInput:focus { border: none; }
    """

    class Typing(Message):
        """`text` stands there now for `key`; it is not taken yet."""

        def __init__(self, key: str, text: str) -> None:
            super().__init__()
            self.key = key
            self.text = text

    class Typed(Typing):
        """`text` is to be taken for `key`."""

    class Left(Message):
        """The text field is closed."""

    def __init__(self, *, id: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id)
        self._unicode = unicode
        self._before = ""
        self.typing = ""
        """Key of the value that is being changed; empty while none is."""

    def compose(self) -> ComposeResult:
        value = ValueInput(compact=True, select_on_focus=True)
        value.cursor_blink = False
        yield FormList(unicode=self._unicode)
        yield value

    @property
    def lines(self) -> FormList:
        """The lines."""
        return self.query_one(FormList)

    @property
    def text(self) -> str:
        """What stands in the text field."""
        return self.query_one(ValueInput).value

    def begin(self, text: str, placeholder: str) -> None:
        """Let the value under the cursor be typed; `text` stands there, selected."""
        value = self.query_one(ValueInput)
        self.typing = self.lines.key
        self._before = text
        value.value = text
        value.placeholder = placeholder
        value.display = True
        self._place()
        value.focus()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._place)

    def _place(self) -> None:
        """Put the text field over the value that it is for."""
        if self.typing:
            value, lines = self.query_one(ValueInput), self.lines
            value.styles.offset = (lines.value_at, lines.row_of_cursor())
            value.styles.width = max(lines.size.width - lines.value_at - 1, 10)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.typing:
            self.post_message(self.Typing(self.typing, event.value))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._end(taken=True, by=0)

    @on(ValueInput.Ended)
    def _ended(self, event: ValueInput.Ended) -> None:
        event.stop()
        self._end(taken=event.taken, by=event.by)

    def finish(self) -> tuple[str, str] | None:
        """Close the text field; the key and its text when that is another one than it was."""
        if not self.typing:
            return None
        key, self.typing = self.typing, ""
        value = self.query_one(ValueInput)
        if value.has_focus:
            self.lines.focus()
        value.display = False
        self.post_message(self.Left())
        # What was not touched stays as it was, also where its text is not all of it.
        return (key, value.value) if value.value != self._before else None

    def _end(self, *, taken: bool, by: int) -> None:
        if not self.typing:
            return
        typed = self.finish()
        if taken and typed:
            self.post_message(self.Typed(*typed))
        self.lines.go(self.lines.at + by)

"""The line in which Home's list is filtered as one types."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from qtui import keymap
from qtui.widgets.text_line import TextLine


class _Line(TextLine):
    BINDINGS = [*keymap.bindings("home_filter")]

    def action_leave(self) -> None:
        """Show all runs again."""
        assert isinstance(self.parent, RunFilter)
        self.parent.post_message(RunFilter.Typed(""))
        self.parent.post_message(RunFilter.Left())


class RunFilter(Horizontal):
    """Begins with `wanted` in it; posts `Typed` with every change and `Left` at the end."""

    DEFAULT_CSS = """
    RunFilter { height: 1; width: 1fr; background: $panel; }
    RunFilter > #run-filter-label { width: auto; color: $accent; text-style: bold; }
    RunFilter > #run-filter-hint { width: auto; color: $text-muted; }
    RunFilter > _Line { width: 1fr; height: 1; border: none; padding: 0; background: $panel; }
    """

    class Typed(Message):
        """What the list should be filtered by."""

        def __init__(self, wanted: str) -> None:
            super().__init__()
            self.wanted = wanted

    class Left(Message):
        """Typing is over; what was typed stays in force."""

    def __init__(self, wanted: str) -> None:
        super().__init__()
        self._wanted = wanted

    def compose(self) -> ComposeResult:
        yield Static(Content(" name, model, state / "), id="run-filter-label")
        yield _Line(self._wanted, compact=True, select_on_focus=False)
        yield Static(Content(" enter keeps it "), id="run-filter-hint")

    def on_mount(self) -> None:
        line = self.query_one(_Line)
        line.cursor_blink = False  # it would send bytes twice a second for ever
        line.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Typed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Left())

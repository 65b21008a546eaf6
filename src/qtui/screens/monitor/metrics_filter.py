"""The line in which the Monitor's charts are chosen by a regular expression, as it is typed."""

from __future__ import annotations

import re

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from qtui import keymap
from qtui.terminal import clean_line
from qtui.widgets.text_line import TextLine


class _Line(TextLine):
    BINDINGS = [*keymap.bindings("monitor_filter")]

    def action_leave(self) -> None:
        """Leave without a change."""
        filter_line = self.parent
        assert isinstance(filter_line, MetricsFilter)
        filter_line.leave()


class MetricsFilter(Horizontal):
    """Hidden until `ask`; posts `Typed` while it is typed into and `Left` at its end."""

    DEFAULT_CSS = """
    MetricsFilter { display: none; height: 1; width: 1fr; background: $panel; }
    MetricsFilter > #filter-label { width: auto; color: $accent; text-style: bold; }
    MetricsFilter > _Line { width: 1fr; height: 1; border: none; padding: 0; background: $panel; }
    MetricsFilter > #filter-said { width: auto; max-width: 60%; color: $text-muted; }
    MetricsFilter > #filter-said.-wrong { color: $error; }
    """

    class Typed(Message):
        """The expression as it stands now; none for an empty one."""

        def __init__(self, pattern: re.Pattern[str] | None) -> None:
            super().__init__()
            self.pattern = pattern

    class Left(Message):
        """The line is closed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._before: re.Pattern[str] | None = None

    def compose(self) -> ComposeResult:
        yield Static(Content(" metrics / "), id="filter-label")
        yield _Line(compact=True)
        yield Static(id="filter-said")

    def ask(self, pattern: re.Pattern[str] | None) -> None:
        """Open with the expression in force."""
        self._before = pattern
        line = self.query_one(_Line)
        line.cursor_blink = False
        line.value = pattern.pattern if pattern is not None else ""
        self.display = True
        line.focus()

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Say what the expression found, or what is wrong with it."""
        said = self.query_one("#filter-said", Static)
        said.set_class(wrong, "-wrong")
        said.update(Content(f" {clean_line(text, 60)} "))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if not self.display:
            return
        try:
            pattern = re.compile(event.value, re.IGNORECASE) if event.value else None
        except re.error as error:
            self.say(f"not yet an expression: {error}", wrong=True)
            return
        self.post_message(self.Typed(pattern))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._close()

    def leave(self) -> None:
        """Close, with what was in force before."""
        self.post_message(self.Typed(self._before))
        self._close()

    def _close(self) -> None:
        self.display = False
        self.post_message(self.Left())

"""Questions in the middle of the screen: one of a few answers, or a line of text.

Asked from a worker of the screen that wants to know:

    answer = await self.app.push_screen_wait(Choice("Delete pale-lynx?", "…", options))

Escape is no answer: None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option as Row

from qtui.terminal import clean, clean_line
from qtui.widgets.modal import Modal
from qtui.widgets.option_rows import OptionRows
from qtui.widgets.text_line import TextLine


@dataclass(frozen=True)
class Option:
    """One answer: what is returned, the key that chooses it at once, and what it says."""

    value: str
    key: str
    label: str


class Choice(Modal[str | None]):
    """Asks for one of `options`; its key chooses, and so do the arrows with enter."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS = [Binding("escape", "dismiss(None)", "cancel", show=False)]

    def __init__(self, title: str, sentence: str, options: Sequence[Option]) -> None:
        super().__init__()
        self._title = clean_line(title)
        self._sentence = clean(sentence)
        self._options = tuple(options)

    def compose(self) -> ComposeResult:
        rows = [
            Row(
                Content.assemble(
                    (f" {option.key} ", "bold"), " ", Content(clean_line(option.label))
                ),
                id=str(number),
            )
            for number, option in enumerate(self._options)
        ]
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="dialog-title")
            if self._sentence:
                yield Static(Content(self._sentence), classes="dialog-sentence")
            yield OptionRows(*rows, markup=False)
            yield Static(Content("a key, or ↑↓ and enter; esc: back" if _fancy(self)
                                 else "a key, or arrows and enter; esc: back"),
                         classes="dialog-hint")  # fmt: skip

    def on_key(self, event: events.Key) -> None:
        for option in self._options:
            if option.key in (event.key, event.character):
                event.stop()
                self.dismiss(option.value)
                return

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._options[event.option_index].value)


class Ask(Modal[str | None]):
    """Asks for one line of text; enter takes it, also when it is empty.

    `suggestions` complete what is typed (→ takes the completion).
    """

    CSS_PATH = "dialogs.tcss"
    BINDINGS = [Binding("escape", "dismiss(None)", "cancel", show=False)]

    def __init__(
        self, title: str, sentence: str, value: str = "", suggestions: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self._title = clean_line(title)
        self._sentence = clean(sentence)
        self._value = clean_line(value)
        self._suggestions = [clean_line(text) for text in suggestions]

    def compose(self) -> ComposeResult:
        suggester = SuggestFromList(self._suggestions, case_sensitive=False)
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="dialog-title")
            if self._sentence:
                yield Static(Content(self._sentence), classes="dialog-sentence")
            yield TextLine(
                self._value,
                suggester=suggester if self._suggestions else None,
                select_on_focus=False,
            )
            yield Static(Content("enter: take it; esc: back"), classes="dialog-hint")

    def on_mount(self) -> None:
        # A blinking cursor would send bytes twice a second for ever.
        self.query_one(Input).cursor_blink = False

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value)


def _fancy(screen: ModalScreen[str | None]) -> bool:
    return bool(getattr(screen.app, "unicode", True))

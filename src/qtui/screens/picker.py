"""Choose one of many by typing a part of it, or type what is not in the list.

For models, data, presets, the choices of a setting and the settings themselves. What there is to
choose from may come late (a disk is read): the list says so, and what is typed counts already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import Reactive
from textual.widget import Widget
from textual.widgets import Input, Static

from qtui import keymap
from qtui.dashboard.background import off_loop
from qtui.errors import QtuiError
from qtui.terminal import clean_line, columns
from qtui.widgets.form_list import FormList, Line
from qtui.widgets.modal import Modal
from qtui.widgets.text_line import TextLine

MOST = 300
"""Entries that are listed at once; typing narrows them down."""
ROWS = 14
"""Entries in sight."""
NOTHING = ""
"""Key of the line that says that there is nothing."""
PICKED = "="
"""How the keys of all other lines begin: a value may be empty."""


@dataclass(frozen=True)
class Entry:
    """Something to choose: `value` is returned, `label` is what is shown and looked through."""

    value: str
    label: str
    detail: str = ""


class Picker(Modal[str | None]):
    """Asks for one of `entries`, or with `free` for any text; escape is None.

    `gather` gives more entries, in a thread. `current` is the value under the cursor at first.
    """

    CSS_PATH = "picker.tcss"
    AUTO_FOCUS = "Input"
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)  # see Frame
    BINDINGS = [*keymap.bindings("picker")]

    def __init__(
        self,
        title: str,
        entries: Sequence[Entry] = (),
        *,
        hint: str = "",
        current: str = "",
        free: bool = False,
        gather: Callable[[], Sequence[Entry]] | None = None,
    ) -> None:
        super().__init__()
        self._title = clean_line(title)
        self._entries = list(entries)
        self._hint = hint
        self._current = current
        self._free = free
        self._gather = gather
        self._shown: list[str] = []

    def compose(self) -> ComposeResult:
        unicode = bool(getattr(self.app, "unicode", True))
        with Vertical(id="picker", classes="" if unicode else "-ascii"):
            yield Static(Content(self._title), id="picker-title")
            yield TextLine(id="picker-text", placeholder=self._placeholder(), compact=True)
            yield FormList(id="picker-list", unicode=unicode, value_width=0, alone=True)
            yield Static(Content(self._hint), id="picker-hint")

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = False
        self._list.can_focus = False
        self.query_one("#picker-hint").display = bool(self._hint)
        self._fill()
        if self._gather is not None:
            self.run_worker(self._take_more(self._gather))

    @property
    def _list(self) -> FormList:
        return self.query_one(FormList)

    def _placeholder(self) -> str:
        return "type a part of it, or something else" if self._free else "type a part of it"

    async def _take_more(self, gather: Callable[[], Sequence[Entry]]) -> None:
        hint = self.query_one("#picker-hint", Static)
        hint.display = True
        hint.update(Content("looking around for more"))
        try:
            more = await off_loop(lambda: gather())
        except (OSError, QtuiError) as error:
            hint.update(Content(clean_line(f"no more could be looked for: {error}", 200)))
            return
        known = {entry.value for entry in self._entries}
        self._entries += [entry for entry in more if entry.value not in known]
        hint.update(Content(self._hint))
        hint.display = bool(self._hint)
        self._fill()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._fill()

    def _fill(self) -> None:
        typed = self.query_one(Input).value.strip()
        words = typed.lower().split()
        found = [
            entry
            for entry in self._entries
            if all(word in f"{entry.label} {entry.detail}".lower() for word in words)
        ]
        found.sort(key=lambda entry: not entry.label.lower().startswith(typed.lower()))
        own = []
        if self._free and typed and typed not in (entry.value for entry in found):
            own = [Entry(typed, typed, "as typed")]
        # What looks whole is meant as it is; a word is more likely a part of something.
        whole = any(sign in typed for sign in "/:.\\")
        shown = ([*own, *found] if whole else [*found, *own])[:MOST]
        listed = self._list
        listed.name_width = min(max((columns(clean_line(e.label)) for e in shown), default=0), 40)
        # While something is typed the first line is the best; else the cursor stays where it is.
        stays = "" if typed else listed.key or PICKED + self._current
        lines = [_line(entry) for entry in shown] or [Line(NOTHING, "nothing of that name")]
        listed.styles.height = min(len(lines), ROWS)
        listed.show(lines)
        if not listed.go_to(stays):
            listed.go(0)

    def action_move(self, by: int) -> None:
        """Another entry."""
        self._list.go(self._list.at + by)

    def action_leave(self) -> None:
        """Choose nothing."""
        self.dismiss(None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._choose()

    def on_form_list_clicked(self, event: FormList.Clicked) -> None:
        event.stop()
        self._choose()

    def _choose(self) -> None:
        if self._list.key != NOTHING:
            self.dismiss(self._list.key.removeprefix(PICKED))


def _line(entry: Entry) -> Line:
    return Line(PICKED + entry.value, clean_line(entry.label), note=clean_line(entry.detail))

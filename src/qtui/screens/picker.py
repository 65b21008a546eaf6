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
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from qtui import keymap
from qtui.screens.background import off_loop
from qtui.terminal import clean_line, columns

MOST = 300
"""Entries that are listed at once; typing narrows them down."""
PAGE = 10
"""Entries that page up and down pass over."""


@dataclass(frozen=True)
class Entry:
    """Something to choose: `value` is returned, `label` is what is shown and looked through."""

    value: str
    label: str
    detail: str = ""


class Picker(ModalScreen[str | None]):
    """Asks for one of `entries`, or with `free` for any text; escape is None.

    `gather` gives more entries, in a thread. `current` is the value under the cursor at first.
    """

    CSS_PATH = "picker.tcss"
    AUTO_FOCUS = "Input"
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
        with Vertical(id="picker"):
            yield Static(Content(self._title), id="picker-title")
            yield Input(id="picker-text", placeholder=self._placeholder(), compact=True)
            yield OptionList(id="picker-list", markup=False)
            yield Static(Content(self._hint), id="picker-hint")

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = False
        self.query_one(OptionList).can_focus = False
        self.query_one("#picker-hint").display = bool(self._hint)
        self._fill()
        if self._gather is not None:
            self.run_worker(self._take_more(self._gather))

    def _placeholder(self) -> str:
        return "type a part of it, or something else" if self._free else "type a part of it"

    async def _take_more(self, gather: Callable[[], Sequence[Entry]]) -> None:
        hint = self.query_one("#picker-hint", Static)
        hint.display = True
        hint.update(Content("looking around for more"))
        more = await off_loop(lambda: gather())
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
        listed = self.query_one(OptionList)
        before = self._shown[listed.highlighted] if listed.highlighted is not None else ""
        wanted = before if before and not typed else self._current
        self._shown = [entry.value for entry in shown]
        listed.clear_options()
        listed.add_options([self._row(entry, shown) for entry in shown])
        if not shown:
            listed.add_option(Option("nothing of that name", disabled=True))
        else:
            stays = wanted in self._shown and not typed
            listed.highlighted = self._shown.index(wanted) if stays else 0

    def _row(self, entry: Entry, shown: Sequence[Entry]) -> Option:
        width = min(max(columns(clean_line(other.label)) for other in shown), 40)
        label = clean_line(entry.label)
        gap = " " * max(width - columns(label) + 2, 2)
        detail = Content.styled(gap + clean_line(entry.detail), "$text-muted")
        return Option(Content.assemble(Content(label), detail if entry.detail else ""))

    def action_up(self) -> None:
        """The entry above."""
        self._move(-1)

    def action_down(self) -> None:
        """The entry below."""
        self._move(1)

    def action_page_up(self) -> None:
        """A page of entries up."""
        self._move(-PAGE)

    def action_page_down(self) -> None:
        """A page of entries down."""
        self._move(PAGE)

    def _move(self, by: int) -> None:
        listed = self.query_one(OptionList)
        if self._shown:
            last = len(self._shown) - 1
            listed.highlighted = min(max((listed.highlighted or 0) + by, 0), last)

    def action_leave(self) -> None:
        """Choose nothing."""
        self.dismiss(None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        at = self.query_one(OptionList).highlighted
        if self._shown and at is not None:
            self.dismiss(self._shown[at])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._shown[event.option_index])

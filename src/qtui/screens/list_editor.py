"""Put together a list: known entries are put in or taken out, others are typed.

Some settings are one word or a list (`all-linear`, or names of layers): such a word stands among
the entries and excludes all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import Reactive
from textual.widget import Widget
from textual.widgets import Input, Static

from qtui import keymap
from qtui.dashboard.background import off_loop
from qtui.screens.picker import ROWS
from qtui.terminal import clean_line
from qtui.widgets.form_list import FormList, Line, Tone
from qtui.widgets.modal import Modal
from qtui.widgets.text_line import TextLine

HINT = "enter: in or out, or add what is typed   ctrl+s: done   escape: leave"


class ListEditor(Modal[list[str] | str | None]):
    """Asks for a list that begins as `items`; escape is None, a word of `alone` that word.

    `known` are entries to put in; `gather` gives more of them, in a thread. `free`: others can be
    typed.
    """

    CSS_PATH = "picker.tcss"
    AUTO_FOCUS = "Input"
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)  # see Frame
    BINDINGS = [*keymap.bindings("list")]

    def __init__(
        self,
        title: str,
        items: Sequence[str],
        known: Sequence[str],
        *,
        alone: Sequence[str] = (),
        free: bool = True,
        gather: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        self._title = clean_line(title)
        self._entries = list(dict.fromkeys([*alone, *items, *known]))
        self._chosen = list(items)
        self._alone = frozenset(alone)
        self._free = free
        self._gather = gather

    def compose(self) -> ComposeResult:
        unicode = bool(getattr(self.app, "unicode", True))
        with Vertical(id="picker", classes="" if unicode else "-ascii"):
            yield Static(Content(self._title), id="picker-title")
            yield TextLine(
                id="picker-text",
                placeholder="type one that is not in the list" if self._free else "",
                compact=True,
            )
            yield FormList(id="picker-list", unicode=unicode, value_width=0, alone=True)
            yield Static(Content(HINT), id="picker-hint")

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = False
        self._list.can_focus = False
        self._list.name_width = 0
        self._fill()
        if self._gather is not None:
            self.run_worker(self._take_more(self._gather))

    async def _take_more(self, gather: Callable[[], Sequence[str]]) -> None:
        more = await off_loop(lambda: gather())
        self._entries = list(dict.fromkeys([*self._entries, *more]))
        self._fill()

    @property
    def _list(self) -> FormList:
        return self.query_one(FormList)

    def _fill(self) -> None:
        lines = [
            Line(
                entry,
                f"{'[x]' if entry in self._chosen else '[ ]'} {clean_line(entry)}",
                note="alone" if entry in self._alone else "",
                tone=Tone.DEFAULT,
            )
            for entry in self._entries
        ]
        self._list.styles.height = min(max(len(lines), 1), ROWS)
        self._list.show(lines)

    def _toggle(self, entry: str) -> None:
        if entry in self._chosen:
            self._chosen.remove(entry)
        elif entry in self._alone:
            self._chosen = [entry]
        else:
            self._chosen = [*(one for one in self._chosen if one not in self._alone), entry]
        self._fill()

    def action_move(self, by: int) -> None:
        """Another entry."""
        self._list.go(self._list.at + by)

    def action_leave(self) -> None:
        """Leave the list as it was."""
        self.dismiss(None)

    def action_done(self) -> None:
        """Take the list as it is now."""
        lonely = [one for one in self._chosen if one in self._alone]
        self.dismiss(lonely[0] if lonely else self._chosen)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        typed = event.value.strip()
        if typed and (self._free or typed in self._entries):
            if typed not in self._entries:
                self._entries.append(typed)
            if typed not in self._chosen:
                self._toggle(typed)
            event.input.value = ""
            self._list.go_to(typed)
        elif not typed and self._entries:
            self._toggle(self._list.key)

    def on_form_list_clicked(self, event: FormList.Clicked) -> None:
        event.stop()
        self._toggle(self._list.key)

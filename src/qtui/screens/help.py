"""The help: every key of the table with what it does, as the user has remapped it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping

from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from qtui import keymap
from qtui.dashboard.remapping import display
from qtui.keymap import EVERYWHERE, Key
from qtui.terminal import clean_line, columns
from qtui.widgets.modal import Modal

_WIDEST_KEYS = 13
_BESIDE = 4  # columns of the list's padding, a gap, and the scrollbar, which keeps its place
_NARROWEST = 30  # columns that a sentence needs
_WIDEST_NAME = max(len(key.id) for key in keymap.TABLE)


class Help(Modal[None]):
    """All keys, those of `place` (the first part of their ids) first; escape goes back."""

    CSS_PATH = "help.tcss"
    BINDINGS = [*keymap.bindings("help")]

    def __init__(self, place: str, remapped: Mapping[str, str], config: str) -> None:
        super().__init__()
        self._place = place
        self._remapped = remapped
        self._config = clean_line(config)
        self._width = 0

    def compose(self) -> ComposeResult:
        yield Static(Content.styled(" Help: what every key does", "bold"), id="help-title")
        with VerticalScroll(id="help-list"):
            # Made for this width at once: a text that comes later draws the screen again.
            self._width = self.app.size.width - _BESIDE
            yield Static(self._text(self._width), id="help-text")
        closes = display(self._remapped.get("help.close", keymap.find("help.close").keys))
        yield Static(
            Content(f" {closes} close   ↑↓ pgup pgdn home end move"),
            id="help-bar",
        )

    def on_mount(self) -> None:
        self.query_one("#help-list").focus()

    def on_resize(self, event: events.Resize) -> None:
        if event.size.width - _BESIDE != self._width:
            self._width = event.size.width - _BESIDE
            self.query_one("#help-text", Static).update(self._text(self._width))

    def action_scroll(self, how: str) -> None:
        """Scroll the list; `how` is the name of one of its methods."""
        getattr(self.query_one("#help-list"), how)(animate=False)

    def action_close(self) -> None:
        """Back to the screen below."""
        self.dismiss(None)

    def _text(self, width: int) -> Content:
        lines: list[Content] = []
        for place in _order(self._place):
            keys = [key for key in keymap.TABLE if key.screen == place]
            lines += [Content.styled(_title(place, self._place), "bold underline $accent")]
            for key in keys:
                lines += _line(key, display(self._remapped.get(key.id, key.keys)), width)
            lines.append(Content(""))
        lines += [
            Content.styled("Everywhere in lists and forms", "bold underline $accent"),
            Content("  tab, shift+tab   next part, previous part"),
            Content("  arrows, enter    move, open"),
            Content(""),
            Content.styled("Other keys", "bold underline $accent"),
            Content(f"  The words on the right are names. In {self._config}:"),
            Content("      [keys]"),
            Content('      "app.jump" = "ctrl+j"'),
            Content("  Theme, ASCII, mouse, price of an hour and webhook are set there as well."),
        ]
        return Content("\n").join(lines)


def _line(key: Key, keys: str, width: int) -> Iterable[Content]:
    """One key in `width` columns: its keys, what it does (wrapped under itself), its name.

    In a narrow terminal the name stands below, so that the sentence has room.
    """
    if columns(keys) > _WIDEST_KEYS:
        yield Content.styled(f"  {keys}", "bold")
        keys = ""
    room = width - _WIDEST_KEYS - 4
    beside = room - _WIDEST_NAME >= _NARROWEST
    lines = textwrap.wrap(key.help, room - _WIDEST_NAME if beside else max(room, _NARROWEST))
    if not beside:
        lines.append(key.id)
    for number, words in enumerate(lines):
        name = key.id.rjust(_WIDEST_NAME) if beside and number == 0 else ""
        yield Content.assemble(
            (f"  {keys:{_WIDEST_KEYS}}  ", "bold"),
            (words, "$text-muted" if not beside and number == len(lines) - 1 else ""),
            (" " * (room - _WIDEST_NAME - columns(words)) + name if name else "", "$text-muted"),
        )
        keys = ""


def _order(place: str) -> Iterable[str]:
    """The places of the table: this one, what works everywhere, then the others as they come."""
    return dict.fromkeys((place, EVERYWHERE, *(key.screen for key in keymap.TABLE)))


def _title(place: str, here: str) -> str:
    if place == EVERYWHERE:
        return "On every screen"
    name = place.replace("_", " ").capitalize()
    return f"{name} (here)" if place == here else name

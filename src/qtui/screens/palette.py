"""The palette: everything that can be done here, found by typing a part of its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.fuzzy import Matcher
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option as Row

from qtui.terminal import clean_line
from qtui.widgets.modal import Modal
from qtui.widgets.option_rows import OptionRows
from qtui.widgets.text_line import TextLine

_SHOWN = 100


@dataclass(frozen=True)
class Deed:
    """Something that can be done: its name, a few words about it, and what does it."""

    name: str
    about: str
    do: Callable[[], object]
    key: str = ""


class Palette(Modal[Deed | None]):
    """Ends with the chosen deed. More may be added while it is open (`add`)."""

    CSS_PATH = "palette.tcss"
    BINDINGS = [
        Binding("escape", "dismiss(None)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("up", "move(-1)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("pageup", "move(-10)", show=False),
    ]

    def __init__(self, deeds: Sequence[Deed]) -> None:
        super().__init__()
        self._deeds = list(deeds)
        self._found: list[Deed] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="palette"):
            yield TextLine(placeholder="part of a name: an action, a screen, a theme, a run")
            # The focus stays in the line above: what is typed is never lost.
            rows = OptionRows(markup=False)
            rows.can_focus = False
            yield rows

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = False
        self._list("")

    def add(self, deeds: Sequence[Deed]) -> None:
        """Offer more, such as what had to be read from the disk first; nothing once closed."""
        if not self.is_attached:
            return
        self._deeds += deeds
        self._list(self.query_one(Input).value)

    def on_input_changed(self, event: Input.Changed) -> None:
        self._list(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        chosen = self.query_one(OptionList).highlighted
        if chosen is not None:
            self.dismiss(self._found[chosen])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._found[event.option_index])

    def action_move(self, by: int) -> None:
        """Move the mark by that many rows, as far as there are rows."""
        rows = self.query_one(OptionList)
        if self._found:
            rows.highlighted = min(max((rows.highlighted or 0) + by, 0), len(self._found) - 1)

    def _list(self, words: str) -> None:
        """Show what fits `words`, the best first."""
        rows = self.query_one(OptionList)
        before = self._found[rows.highlighted] if rows.highlighted is not None else None
        self._found = matching(self._deeds, words)[:_SHOWN]
        rows.clear_options()
        rows.add_options(Row(_row(deed)) for deed in self._found)
        if self._found:
            # Runs that come in while somebody chooses must not move the mark to another row.
            kept = before in self._found and not words
            rows.highlighted = self._found.index(before) if kept and before else 0


def matching(deeds: Sequence[Deed], words: str) -> list[Deed]:
    """The deeds that fit, best first; all of them, in their order, when nothing was typed."""
    if not words.strip():
        return list(deeds)
    matcher = Matcher(words.strip())
    scored = [
        (max(matcher.match(deed.name), 0.7 * matcher.match(deed.about)), deed) for deed in deeds
    ]
    # A stable sort: what fits equally well stays in the order of the table.
    return [deed for score, deed in sorted(scored, key=lambda s: -s[0]) if score > 0]


def _row(deed: Deed) -> Content:
    key = f"  [{deed.key}]" if deed.key else ""
    return Content.assemble(
        (clean_line(deed.name), "bold"),
        Content(f"  {clean_line(deed.about)}"),
        Content.styled(key, "$text-muted"),
    )

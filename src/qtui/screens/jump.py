"""Jump mode: a letter on everything that takes the focus; typing it goes there."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from string import ascii_lowercase

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from qtui.widgets.modal import Modal

# Under the fingers first.
_LETTERS = "asdfghjkl" + "".join(sorted(set(ascii_lowercase) - set("asdfghjkl")))


class Jump(Modal[Widget | None]):
    """Puts letters over `targets`; ends with the chosen one, or None after any other key."""

    CSS_PATH = "jump.tcss"

    def __init__(self, targets: Sequence[Widget]) -> None:
        super().__init__()
        self._targets = dict(zip(labels(len(targets)), targets, strict=True))
        self._typed = ""

    def compose(self) -> ComposeResult:
        for label, target in self._targets.items():
            mark = Static(Content.styled(f" {label} ", "bold reverse"), classes="jump-mark")
            mark.styles.offset = target.region.offset
            mark.styles.width = len(label) + 2
            yield mark

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        self._typed += event.character or " "
        target = self._targets.get(self._typed)
        if target is not None:
            self.dismiss(target)
        elif not any(label.startswith(self._typed) for label in self._targets):
            self.dismiss(None)


def targets_of(screen: Screen[object]) -> list[Widget]:
    """What takes the focus and is in sight, from top to bottom."""
    window = screen.region
    seen = (widget for widget in screen.focus_chain if window.overlaps(widget.region))
    return sorted(
        (widget for widget in seen if widget.region.area),
        key=lambda widget: (widget.region.y, widget.region.x),
    )


def labels(count: int) -> Iterable[str]:
    """`count` labels: letters, or pairs of letters when there are not enough."""
    length = 1 if count <= len(_LETTERS) else 2
    pairs = itertools.product(_LETTERS, repeat=length)
    return ["".join(pair) for pair in itertools.islice(pairs, count)]

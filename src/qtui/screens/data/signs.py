"""Foreign text with its invisible parts made visible where that is asked for.

What the model sees includes what a terminal does not show: a trailing space, a tab, a no-break
space, a control character that cleaning left. `Writer` writes such text through
`qtui.terminal.clean`, or with a sign for each of these.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from qtui.terminal import clean
from qtui.widgets.marked_text import Pen

MUTED = "$text-muted"
MOST = 1_000_000
"""Characters of one row that are shown: to lay out more takes seconds, and nobody reads them."""
TAB = "    "
_SPECIAL = re.compile(r"(<\|[^|<>\s]{1,40}\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>|<[be]os>)")
_SIGNS = re.compile(
    "(\r\n|[\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180e"
    "\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e01ef\ud800-\udfff])"
)


@dataclass(frozen=True)
class Signs:
    """How what is drawn looks: in Unicode or ASCII, white space visible or not."""

    unicode: bool = True
    visible: bool = False

    @property
    def trained(self) -> tuple[str, str]:
        """The signs around what is learnt: seen without colours too."""
        return ("▌", "▐") if self.unicode else ("{{", "}}")

    @property
    def border(self) -> str:
        """Between two tokens; `|` would look like a part of `<|eot_id|>`."""
        return "│" if self.unicode else "^"

    @property
    def rule(self) -> str:
        """What lines are made of."""
        return "─" if self.unicode else "-"

    def invisible(self, character: str) -> str:
        """What stands for a character that is not seen."""
        known = {" ": "·", "\t": "→", "\n": "⏎", "\r\n": "␍⏎", "\r": "␍"}
        plain = {" ": "~", "\t": "\\t", "\n": "\\n", "\r\n": "\\r\\n", "\r": "\\r"}
        sign = (known if self.unicode else plain).get(character)
        return sign or f"<U+{ord(character):04X}>"


class Writer:
    """Writes foreign text to a `Pen`, at most `MOST` characters of it."""

    def __init__(self, signs: Signs, pen: Pen | None = None) -> None:
        self.signs = signs
        self.pen = pen or Pen()
        self.left_out = 0
        """Characters that were too many."""

    def own(self, text: str, style: str = "") -> None:
        """Write what qtui says itself, as it is."""
        self.pen.write(text, style)

    def line(self, text: str = "", style: str = "") -> None:
        """Write what qtui says itself, on lines of its own."""
        if not self.pen.line_begins:
            self.pen.write("\n")
        self.pen.write(f"{text}\n", style)

    def foreign(self, text: str, style: str = "") -> None:
        """Write `text` from elsewhere, safe."""
        room = max(MOST - self.pen.at, 0)
        if len(text) > room:
            self.left_out += len(text) - room
            text = text[:room]
        if not self.signs.visible:
            self.pen.write(clean(text).replace("\t", TAB), style)
            return
        for number, piece in enumerate(_SIGNS.split(text)):
            if number % 2 == 0:
                self.pen.write(clean(piece), style)
                continue
            self.pen.write(self.signs.invisible(piece), f"{MUTED} {style}".strip())
            if piece.endswith("\n"):
                self.pen.write("\n", style)

    def template(self, text: str, style: str = "") -> None:
        """Write `text` as `foreign` does, special tokens standing out."""
        for number, piece in enumerate(_SPECIAL.split(text)):
            if piece:
                self.foreign(piece, f"$secondary {style}".strip() if number % 2 else style)

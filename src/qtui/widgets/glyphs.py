"""The last word on what may be drawn: no colour in a theme without, nothing but ASCII where asked.

Textual's own parts (scrollbars, borders, toasts) know nothing of ASCII terminals. These filters
stand between every widget and the screen, so that no part can forget it.
"""

from __future__ import annotations

from functools import lru_cache

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter
from textual.scrollbar import ScrollBarRender

from qtui.terminal import columns

_TWINS = str.maketrans(
    {
        **dict.fromkeys("─━╌╍┄┅┈┉═▔▁▂", "-"),
        **dict.fromkeys("│┃╎╏┆┇┊┋║▏▎▌▊▐▕", "|"),
        **dict.fromkeys("┌┍┎┏┐┑┒┓└┕┖┗┘┙┚┛├┝┠┣┤┥┨┫┬┯┰┳┴┷┸┻┼┿╂╋╔╗╚╝╠╣╦╩╬╭╮╯╰", "+"),
        **dict.fromkeys("█▇▆▅▄▓▀▃▉▋■●◼", "#"),
        **dict.fromkeys("░▒·∙•", "."),
        **dict.fromkeys("▸▶►→›»", ">"),
        **dict.fromkeys("◂◀◄←‹«", "<"),
        **dict.fromkeys("▴▲↑", "^"),
        **dict.fromkeys("▾▼↓", "v"),
        **dict.fromkeys("–—−", "-"),
        **dict.fromkeys("‘’", "'"),
        **dict.fromkeys("“”", '"'),
        "…": "~",
        "×": "x",
        "✓": "+",
        "✗": "x",
        "±": "~",
        "≈": "~",
        "°": " ",
        "◌": "o",
        "○": "o",
        "⏎": "<",
        "\N{REPLACEMENT CHARACTER}": "?",
    }
)


@lru_cache(4096)
def in_ascii(text: str, letters: bool) -> str:
    """`text` with signs and lines drawn in ASCII, each as wide as before.

    `letters`: also letters of other scripts become question marks; without it they stay, for a
    terminal that can show them.
    """
    text = text.translate(_TWINS)
    if text.isascii() or not letters:
        return text
    return "".join(
        character if character.isascii() else "?" * columns(character) for character in text
    )


class InAscii(LineFilter):
    """Draws signs and lines in ASCII; with `letters`, all other characters as well."""

    def __init__(self, *, letters: bool) -> None:
        super().__init__()
        self._letters = letters

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment
            if segment.text.isascii() or segment.control
            else Segment(in_ascii(segment.text, self._letters), segment.style, segment.control)
            for segment in segments
        ]


class PlainScrollBar(ScrollBarRender):
    """A scrollbar made of characters: it is seen without colours, and costs few bytes."""

    VERTICAL_BARS = [" "]
    HORIZONTAL_BARS = [" "]

"""Strings that attack a terminal, and what must stay readable of them."""

from __future__ import annotations

import re

ATTACKS = {
    "csi colour": "\x1b[35mmagenta",
    "csi clear": "\x1b[2J\x1b[Hgone",
    "csi bold red": "\x1b[1;31;5mblink",
    "osc 8 link": "\x1b]8;;https://evil.example/\x1b\\click\x1b]8;;\x1b\\",
    "osc 52 clipboard": "\x1b]52;c;ZXZpbA==\x07copied",
    "osc 0 title": "\x1b]0;title\x07",
    "dcs": '\x1bP$q"p\x1b\\',
    "apc": "\x1b_Gpayload\x1b\\",
    "c1 csi": "\x9b31mred",
    "c1 osc": "\x9d52;c;ZXZpbA==\x9c",
    "c1 dcs": "\x90q\x9c",
    "reset": "\x1bc",
    "bell": "ding\x07",
    "backspace": "harmless\x08\x08\x08\x08evil",
    "carriage return": "real text\rfake",
    "delete": "a\x7fb",
    "vertical tab and form feed": "a\x0bb\x0cc",
    "shift out": "\x0eqqq\x0f",
    "bidi override": "user\u202etxt.exe\u202c",
    "bidi isolate": "\u2066abc\u2069\u200f",
    "tag characters": "hi\U000e0068\U000e0069",
    "line separator": "one\u2028two\u2029three",
    "next line": "one\x85two",
    "surrogate": "\udc9b31m",
    "split escape": "\x1b",
}
READABLE = ("[INST]", "<|im_start|>", "[bold]rich[/bold]", "{% generation %}", "naïve 日本 🙂")

EVERYTHING = " ".join((*READABLE, *ATTACKS.values()))
"""All of it as one text."""

IN_FILES = EVERYTHING.replace("\udc9b", "\ufffd")
"""The same for what is written as UTF-8, which has no lone surrogates."""

IN_ARGUMENTS = "[INST] x\x1b[35m\x1b]52;c;ZQ==\x07\x9b31m\u202ey\x08\r\U000e0041"
"""For argument lists and environment variables, where no NUL can be, and short."""

IN_NAMES = "[INST] \x1b[35mx\x1b]0;t\x07\x9b31m\u202e\n\r\x08y"
"""For file names."""

_OWN = re.compile(r"\r\x1b\[K|\x1b\[\d+F\x1b\[J")
_OWN_COLOURS = re.compile(r"\x1b\[(?:0|1|2|31|32|33|36)m")
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u206f"
    "\U000e0000-\U000e007f]"
)


def control_characters(shown: bytes, *, colours: bool = False) -> list[str]:
    """Every control character in what reached the terminal, but our own status line's.

    Raises UnicodeDecodeError when something that is not UTF-8 came out.
    """
    text = shown.decode("utf-8").replace("\r\n", "\n")
    text = _OWN.sub("", text)
    if colours:
        text = _OWN_COLOURS.sub("", text)
    return [repr(text[max(m.start() - 20, 0) : m.end() + 20]) for m in _CONTROL.finditer(text)]

"""Makes foreign text safe to show on a terminal, and measures what it takes there.

Data sets, model output, file names and logs may hold bytes that move the cursor, write to the
clipboard (OSC 52), forge links (OSC 8) or reorder the line (bidirectional overrides). Everything
that qtui did not write itself passes `clean` before it reaches a widget, stdout or stderr. What
is readable stays readable: `[INST]`, `<|im_start|>` and markup are left exactly as they are.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# C0 without tab and newline, DEL, C1; bidirectional controls (UAX #9) and the deprecated format
# characters beside them; line and paragraph separators; interlinear annotation; the invisible
# tag characters; lone surrogates, which no terminal can encode.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u206f\ufff9-\ufffb"
    "\U000e0000-\U000e007f"
    "\ud800-\udfff]"
)
_LINE_ENDS = re.compile("\r\n?")


def clean(text: str) -> str:
    """Return `text` with every control character replaced by U+FFFD.

    Newlines and tabs stay; `\\r\\n` and `\\r` become `\\n`. The length of the rest and every
    printable character are unchanged, so that prompts and templates can still be read.
    """
    return _UNSAFE.sub(_REPLACEMENT, _LINE_ENDS.sub("\n", text))


def clean_line(text: str, width: int | None = None) -> str:
    """Return `text` as one safe line: newlines and tabs become spaces, cut to `width` columns."""
    line = clean(text).replace("\n", " ").replace("\t", " ")
    return line if width is None else cut(line, width)


def columns(text: str) -> int:
    """How many terminal columns one line takes: wide characters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(map(_character_columns, text))


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """Return `text` shortened to at most `width` columns; what was cut shows as `ellipsis`."""
    if columns(text) <= width:
        return text
    room = width - columns(ellipsis)
    if room < 0:
        return ""
    used = 0
    for index, character in enumerate(text):
        used += _character_columns(character)
        if used > room:
            return text[:index] + ellipsis
    return text


@lru_cache(4096)
def _character_columns(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1

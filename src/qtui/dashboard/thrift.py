"""Fewer bytes for the same picture: a style that is in force already is not said again.

Rich writes each piece of text with all of its style before it and a reset after it. Between two
pieces of one style, also when the cursor moves in between, both are for nothing; and where only the
colours differ, it is enough to say those.
"""

from __future__ import annotations

import re
from functools import lru_cache

_RESET = "\x1b[0m"
_PIECE = re.compile("\x1b\\[([\\d;]*)m|\x1b\\[[\\d;?]*[^\\d;?m]|[^\x1b]+")
_LENGTHS = {"5": 3, "2": 5}
"""Numbers of a colour by its index, and by red, green and blue."""


def thrifty(text: str) -> str:
    """`text`, which Rich has written, without styles that are in force; ends as it did.

    What has any sequence in it that does not begin with a bracket stays as it is.
    """
    if text.count("\x1b") != text.count("\x1b["):
        return text
    said: list[str] = []
    now = wanted = ""
    for piece in _PIECE.finditer(text):
        style = piece[1]
        if style is not None:
            wanted = "" if style in ("", "0") else f"{wanted};{style}" if wanted else style
            continue
        if wanted != now and not piece[0].startswith("\x1b"):
            said.append(_change(now, wanted))
            now = wanted
        said.append(piece[0])
    if wanted != now:
        said.append(_change(now, wanted))
    return "".join(said)


@lru_cache(4096)
def _change(now: str, wanted: str) -> str:
    """What turns one style into the other."""
    if not wanted:
        return _RESET
    old, new = _parts(now), _parts(wanted)
    said = (new[0] or not old[0]) and (new[1] or not old[1])
    if not now or old[2] or not said:
        return f"{_RESET if now else ''}\x1b[{wanted}m"
    colours = [part for part, before in zip(new[:2], old[:2], strict=True) if part != before]
    changed = ";".join(filter(None, [new[2], *colours]))
    return f"\x1b[{changed}m" if changed else ""


def _parts(style: str) -> tuple[str, str, str]:
    """The colour of the text, that of the ground, and all else; the last one said counts."""
    numbers = style.split(";")
    text = ground = ""
    rest: list[str] = []
    at = 0
    while at < len(numbers):
        first = numbers[at]
        taken = 1
        if first in ("38", "48"):
            taken = _LENGTHS.get(numbers[at + 1] if at + 1 < len(numbers) else "", 1)
        whole = ";".join(numbers[at : at + taken])
        value = int(first or 0)
        if first == "38" or 30 <= value <= 39 or 90 <= value <= 97:
            text = whole
        elif first == "48" or 40 <= value <= 49 or 100 <= value <= 107:
            ground = whole
        else:
            rest.append(whole)
        at += taken
    return text, ground, ";".join(rest)

"""Code fences in a text: which of its lines are code, and whether the last fence is open.

Fences as in CommonMark (0.31, section 4.5): three or more backticks or tildes, closed by a line of
at least as many. Unlike there, a fence may be indented as far as it likes and may stand behind the
mark of a list or a quotation, because answers put them there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_OPEN = re.compile(r"(?:[ \t>]|[-*+][ \t]|[0-9]{1,3}[.)][ \t])*(`{3,}(?=[^`]*$)|~{3,})")
_CLOSE = re.compile(r"[ \t>]*(`{3,}|~{3,})[ \t]*$")


def marked(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it belongs to a code block (the fences themselves do)."""
    fence = ""
    for line in lines:
        after = _after(line, fence)
        yield line, bool(fence or after)
        fence = after


def has_fence(text: str) -> bool:
    """Whether it is worth looking for code blocks at all."""
    return "```" in text or "~~~" in text


def is_open(text: str) -> bool:
    """Whether the text ends inside a code block.

    A block that begins in the middle of a line ("the code: ```python") is none to CommonMark, and
    its end would look like a beginning; so the marks are counted as well.
    """
    if not has_fence(text):
        return False
    fence = ""
    for line in text.split("\n"):
        fence = _after(line, fence)
    return bool(fence) and text.count(fence) % 2 == 1


def _after(line: str, fence: str) -> str:
    """The fence that is open behind a line, given the one before it; "" is none."""
    if not fence:
        start = _OPEN.match(line)
        return start[1] if start else ""
    end = _CLOSE.match(line)
    return "" if end and end[1].startswith(fence) else fence

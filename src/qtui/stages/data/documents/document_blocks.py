"""What is read out of a document: its text in blocks, in order, and what is to be said about it.

All formats come to this one form, so that pieces, the cache and findings need to know no format.
"""

from __future__ import annotations

import re

import msgspec

from qtui.runs.dataset import Level

_LINE_ENDS = re.compile("\r\n?|\x85|\u2028|\u2029")
# From the first of several on: from each of them, a million take hours.
_TRAILING = re.compile(r"(?<![ \t\f\v])[ \t\f\v]+$", re.MULTILINE)
_SURROGATES = re.compile("[\ud800-\udfff]")


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Some text of a document; a heading where `level` (1 is the outermost) is above 0.

    `page` is the page from 1, or 0 where the format has none. `text` is a heading with its marks
    ("## Title"), `title` without.
    """

    text: str
    page: int = 0
    level: int = 0
    title: str = ""


class Note(msgspec.Struct, frozen=True, array_like=True):
    """A finding about a whole document."""

    level: Level
    kind: str
    message: str


class Extracted(msgspec.Struct, array_like=True):
    """The text of a document, and what was found out on the way."""

    blocks: list[Block]
    notes: list[Note]


class UnreadableError(Exception):
    """A document that gives no text; the message says why, and the way out."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def heading(level: int, title: str, page: int = 0) -> Block:
    """A heading, written as in Markdown whatever the format was."""
    line = " ".join(title.split())
    return Block(f"{'#' * level} {line}", page, level, line)


def tidy(text: str) -> str:
    """Unify line ends, cut white space at the ends of lines, and make it valid Unicode.

    Halves of a surrogate pair become the character that they are together, and U+FFFD alone.
    """
    if _SURROGATES.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _TRAILING.sub("", _LINE_ENDS.sub("\n", text)).strip("\n")


def listed(numbers: list[int], most: int = 8) -> str:
    """Numbers as people write them: 1, 3–5, 9; at most so many ranges."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = [f"{a}" if a == b else f"{a}–{b}" for a, b in ranges[:most]]
    return ", ".join(shown) + (" and others" if len(ranges) > most else "")


def counted(number: int, thing: str) -> str:
    """`1 word`, `2 words`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"

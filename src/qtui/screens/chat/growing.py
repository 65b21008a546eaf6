"""Rows of an answer that is still being written: only its last block is laid out again.

A block is done as soon as another one has begun below it. With each piece of text the parser sees
the text from the last block's beginning on, so an answer costs the same to go on with however long
it is.
"""

from __future__ import annotations

from textual.content import Content

from qtui.screens.chat.markdown import nodes_of, rows_of


class Growing:
    """The rows of one text that only grows, at one width."""

    def __init__(self, width: int, *, unicode: bool) -> None:
        self.width = width
        self._unicode = unicode
        self._done: list[Content] = []
        self._at = 0
        """The character at which the last block begins."""

    def rows(self, text: str) -> list[Content]:
        """The rows of `text`, which begins as it did the last time."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        rest = text[self._at :]
        nodes = nodes_of(rest)
        if len(nodes) > 1 and (where := nodes[-1].map) is not None:
            self._done += [*rows_of(nodes[:-1], self.width, unicode=self._unicode), Content("")]
            self._at += _line_start(rest, where[0])
            nodes = nodes[-1:]
        return self._done + rows_of(nodes, self.width, unicode=self._unicode)


def _line_start(text: str, line: int) -> int:
    """The character at which line number `line` (from 0) begins."""
    at = 0
    for _ in range(line):
        at = text.index("\n", at) + 1
    return at

"""Server-sent events out of bytes that may be split anywhere.

As the HTML standard has it ("Interpreting an event stream"): lines end with LF, CR LF or CR, a
line of a colon is a comment, several `data` lines are one text, an empty line ends an event. An
event that is never ended does not count, except at the end of the stream, where some servers save
the last empty line. What one event may take is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from qtui.errors import QtuiError

MAX_EVENT = 8 << 20
"""Bytes of the largest event."""

_LINE_END = re.compile(b"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class ServerEvent:
    """One event: its `event` field (empty: none was named) and its data."""

    name: str
    data: str


class TooLongError(QtuiError):
    """One event is larger than any answer's piece can be."""


class EventStream:
    """Takes bytes as they come, gives events as they become whole."""

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._rest = bytearray()  # of a line without its end
        self._after_cr = False
        self._begun = False
        self._data: list[bytes] = []
        self._name = ""
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """The events that `chunk` completes.

        Raises:
            TooLongError: a line, or an event, passes the limit.
        """
        if self._after_cr and chunk:
            # The LF of a CR LF that was split between two chunks.
            chunk = chunk.removeprefix(b"\n")
        for line in self._lines(chunk):
            yield from self._line(line)
        self._bounded(len(self._rest))

    def end(self) -> Iterator[ServerEvent]:
        """The event that was whole but for its empty line, when the stream has ended."""
        if self._rest:
            line = bytes(self._rest)
            self._rest.clear()
            yield from self._line(line)
        yield from self._line(b"")

    def _lines(self, chunk: bytes) -> list[bytes]:
        self._after_cr = chunk.endswith(b"\r")
        *lines, rest = _LINE_END.split(chunk)
        if lines:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        self._rest += rest
        return lines

    def _line(self, line: bytes) -> Iterator[ServerEvent]:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BOM)
        if not line:
            if self._data:
                data = b"\n".join(self._data).decode("utf-8", "replace")
                yield ServerEvent(self._name, data)
            self._data, self._name, self._size = [], "", 0
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._size += len(value)
            self._bounded(self._size)
            self._data.append(value)
        elif field == b"error":  # llama-server's own, beside the standard
            self._name = "error"
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")

    def _bounded(self, size: int) -> None:
        if size > self._limit:
            raise TooLongError(
                f"the server sent one event of more than {self._limit:,} bytes",
                remedy="this is no answer of a model: check the address",
            )

"""The lines of a table as text, with their numbers; a line may be given back and read once more."""

from __future__ import annotations

import io
from collections import deque

from qtui.stages.data.reading.compressed import FindingSink, is_damaged, skip_line

MAX_LINE_BYTES = 64 * 2**20


class Lines:
    """An iterator over the lines of a stream of UTF-8, their ends included.

    A line that is too long, or no UTF-8, is a finding and is passed over.
    """

    def __init__(self, stream: io.BufferedReader, source: str, findings: FindingSink) -> None:
        self.taken: list[str] = []
        """The lines of the row that is being read."""
        self._stream = stream
        self._source = source
        self._findings = findings
        self._number = 0
        self._back: deque[tuple[int, str]] = deque()
        self._numbers: list[int] = []

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        if self._back:
            number, line = self._back.popleft()
        else:
            line = self._read()
            number = self._number
        self.taken.append(line)
        self._numbers.append(number)
        return line

    def begin_row(self) -> int:
        """Forget the lines of the last row; return the number of the next line, from 1."""
        self.taken.clear()
        self._numbers.clear()
        return self._back[0][0] if self._back else self._number + 1

    def give_back(self, lines: list[str]) -> None:
        """Hand out once more the last lines that were taken."""
        if lines:
            numbers = self._numbers[-len(lines) :]
            self._back.extendleft(reversed(list(zip(numbers, lines, strict=True))))

    def peek(self, count: int) -> list[str]:
        """The next lines, which are then handed out all the same."""
        self.begin_row()
        lines = [line for _, line in zip(range(count), self, strict=False)]
        self.give_back(lines)
        self.begin_row()
        return lines

    def _read(self) -> str:
        while raw := self._stream.readline(MAX_LINE_BYTES):
            self._number += 1
            if not raw.endswith(b"\n"):
                if len(raw) >= MAX_LINE_BYTES:
                    skip_line(self._stream)
                    message = f"the line is longer than {MAX_LINE_BYTES >> 20} MiB"
                    self._findings.add("error", "long-line", message, self._source, self._number)
                    continue
                if is_damaged(self._stream):
                    break  # the rest of a row that was cut off; its loss has been told
            try:
                return raw.decode()
            except UnicodeDecodeError as error:
                byte = raw[error.start]
                message = f"not valid UTF-8: byte 0x{byte:02x} at column {error.start + 1}"
                message += "; save the file as UTF-8"
                self._findings.add("error", "invalid-utf8", message, self._source, self._number)
        raise StopIteration

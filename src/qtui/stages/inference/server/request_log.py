"""`requests.jsonl` of a server's run: one line a request, for later reports.

Written by a thread of its own, because disks may be slow and the event loop must not wait. What
it cannot keep up with is dropped and counted. Prompts and answers are in it only where
`log_contents` says so; nobody but the user can read the file.
"""

from __future__ import annotations

import os
import queue
import threading
from pathlib import Path
from typing import Any

import msgspec

from qtui.errors import QtuiError
from qtui.runs import durable

NAME = "requests.jsonl"
_MOST = 10_000
"""Lines that may wait to be written."""


class RequestLog:
    """The writing end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dropped = 0
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue(_MOST)
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise durable.write_error(path, 4096, error) from error
        self._thread = threading.Thread(target=self._work, name="qtui-requests", daemon=True)
        self._thread.start()

    def write(self, line: dict[str, Any]) -> None:
        """Have `line` written; returns at once."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what is left, and close."""
        self._lines.put(None)
        self._thread.join()
        os.close(self._fd)

    def _work(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                durable.append(self._fd, encode(line), self.path)
            except QtuiError:  # the disk is full: requests are answered all the same
                self.dropped += 1


def encode(line: dict[str, Any]) -> bytes:
    """One line of the log; halves of surrogate pairs, which a model may write, are replaced."""
    try:
        return msgspec.json.encode(line) + b"\n"
    except UnicodeEncodeError:
        safe = {
            key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
            for key, value in line.items()
        }
        return msgspec.json.encode(safe) + b"\n"

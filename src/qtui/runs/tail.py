"""What the end of an event log says, read backwards: the last phase and how the run ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from qtui.runs.events import (
    OUT_OF_MEMORY,
    AnyEvent,
    FailedEvent,
    FinishedEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ResumedEvent,
    decoder,
)
from qtui.runs.lines import backwards

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

FAR = 128
"""Lines after which a training loss on the way says that the phase is training."""

COMMON = tuple(b'{"type":"%s"' % kind for kind in (b"metrics", b"progress", b"sample", b"log"))
"""How the lines begin that a log is full of, as `EventLog` writes them: told without decoding."""


def lines(path: Path) -> Iterator[bytes]:
    """The whole lines of the log at `path`, the last one first; only as far back as asked for."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        found = backwards(fd)
        next(found, b"")  # what follows the last newline is not there yet
        for line in found:
            if line:
                yield line
    finally:
        os.close(fd)


def read(line: bytes) -> AnyEvent | None:
    """The event on a line, none where it is damaged or of a newer qtui."""
    try:
        return decoder.decode(line)
    except _UNREADABLE:
        return None


def last_line_with(path: Path, text: bytes, *, limit: int) -> bytes | None:
    """The last whole line with `text` in it, among the last `limit` bytes of the file."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - limit))
        content = file.read(limit)
    end = content.rfind(b"\n") + 1
    at = content.rfind(text, 0, end)
    if at < 0:
        return None
    return content[content.rfind(b"\n", 0, at) + 1 : content.index(b"\n", at)]


class LastWords:
    """Takes events from the last one backwards until it knows where the run stands."""

    def __init__(self) -> None:
        self.phase: Phase | None = None
        self.end: FinishedEvent | FailedEvent | None = None
        self.trained = False
        self.restarting = False
        """Whether the worker was last heard of when it was about to execute itself anew."""
        self._resumed = False

    @property
    def complete(self) -> bool:
        """Whether earlier events could not change the answer."""
        return self.phase is not None or self.end is not None

    def take(self, event: AnyEvent) -> None:
        """Take the event before those taken so far."""
        if isinstance(event, MetricsEvent):
            self.trained = self.trained or "loss" in event.values
        elif self.complete:
            return
        elif isinstance(event, PhaseEvent):
            self.phase = event.phase
        elif isinstance(event, ResumedEvent):
            self.restarting = self.restarting or event.reason == OUT_OF_MEMORY
            self._resumed = True
        elif isinstance(event, FinishedEvent | FailedEvent) and not self._resumed:
            self.end = event

    def far_back(self) -> None:
        """Say that `FAR` lines were passed: the phase of so long a stretch shows in its losses."""
        if self.trained and not self.complete:
            self.phase = Phase.TRAINING


def last_words(path: Path) -> LastWords:
    """The last phase, and the end unless the run went on after it.

    The cost does not grow with the log: a long stretch of training is recognised by its losses.
    """
    words = LastWords()
    for count, line in enumerate(lines(path)):
        passed_over = words.trained and line.startswith(COMMON)
        if not passed_over and (event := read(line)) is not None:
            words.take(event)
        if count >= FAR:
            words.far_back()
        if words.complete:
            break
    return words

"""The event log: how a worker tells the world, and how the world listens.

One JSON object a line. The writer hands a whole line to the kernel in one unbuffered write, so
that an event it has acknowledged survives `kill -9`; it flushes to disk at phase changes,
checkpoints, the end, and every two seconds, so that little is lost when the power goes.

The reader never crashes on what it finds. It goes by byte offset, so a poll costs what is new:

- a last line without its newline is not there yet;
- a whole line that is no event (power loss, a disk error) is skipped and counted in `damaged` as
  soon as a valid line follows it; until then the reader waits before it, because on a network
  volume a line can show its length before its content;
- an event of a type, or with a value, that only a newer qtui knows is counted in `unknown`;
- a `seq` that is not the next one is noted in `gaps`;
- a file that was replaced or cut (recognised by the bytes before the offset, so a copy that is
  refreshed by `rsync` is simply followed on) is read again from its beginning: `restarts`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from qtui.errors import CorruptError
from qtui.runs import durable
from qtui.runs.events import (
    AnyEvent,
    CheckpointEvent,
    Event,
    FailedEvent,
    FinishedEvent,
    PhaseEvent,
    decoder,
)
from qtui.runs.lines import backwards

SYNC_SECONDS = 2.0
BLOCK = 1 << 20
MAX_LINE = 32 << 20
"""Bytes of the longest line; a longer one is damage."""

_MARK = 64
_SYNC_AT_ONCE = (PhaseEvent, CheckpointEvent, FinishedEvent, FailedEvent)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_E = TypeVar("_E", bound=Event)


class _Head(msgspec.Struct):
    """What every version's events have."""

    seq: int
    type: str


_head = msgspec.json.Decoder(_Head)


def _plain(value: Any) -> Any:
    """A numpy or torch scalar as the number it holds, without knowing either library."""
    if callable(item := getattr(value, "item", None)):
        return item()
    raise TypeError(f"{type(value).__name__} cannot go into the event log")


def _encode(event: Event) -> bytes:
    try:
        return msgspec.json.encode(event, enc_hook=_plain)
    except UnicodeEncodeError:  # a lone surrogate, from a file name or broken model output
        return msgspec.json.encode(_without_surrogates(msgspec.to_builtins(event)), enc_hook=_plain)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


class EventLog:
    """The writing end; there is one per run, and its process holds the run's lock.

    Opening an existing log mends a torn last line and goes on counting. Threads may share it.
    A signal handler must not write to it, but may raise out of the middle of a write: what
    then stands in the file is looked at before the next one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._fd = os.open(path, flags, 0o644)
        except OSError as error:
            raise durable.write_error(path, 0, error) from error
        self._lock = threading.Lock()
        self._next = 0
        self._sure = False  # whether the file ends with the line before `_next`
        self._synced = time.monotonic()
        try:
            self._look()
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def next_seq(self) -> int:
        """The number that the next event gets; 0 for an empty log."""
        return self._next

    def write(self, event: _E) -> _E:
        """Write `event`, with `seq` and `time` filled in, and return it as written.

        When this returns, the line is with the kernel. Raises `QtuiError` when the disk is full;
        then the log is as before and the event was not written.
        """
        with self._lock:
            if not self._sure:
                self._look()
            event = msgspec.structs.replace(event, seq=self._next, time=time.time())
            line = _encode(event) + b"\n"
            if len(line) > MAX_LINE:
                raise CorruptError(
                    f"an event of {len(line):,} bytes is too long for the log",
                    remedy="lower evaluation.sample_max_new_tokens",
                )
            self._sure = False
            durable.append(self._fd, line, self.path)
            self._next += 1
            self._sure = True
            if isinstance(event, _SYNC_AT_ONCE) or time.monotonic() - self._synced > SYNC_SECONDS:
                self._sync()
        return event

    def sync(self) -> None:
        """Wait until everything written is on the disk."""
        with self._lock:
            self._sync()

    def close(self) -> None:
        """Flush and close; a second call does nothing."""
        with self._lock:
            if self._fd >= 0:
                self._sync()
                os.close(self._fd)
                self._fd = -1

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _look(self) -> None:
        _mend(self._fd, self.path)
        self._next = _last_seq(self._fd) + 1
        self._sure = True

    def _sync(self) -> None:
        os.fsync(self._fd)
        self._synced = time.monotonic()


def _mend(fd: int, path: Path) -> None:
    """Make the file end with a newline: a torn last line was never acknowledged and goes."""
    size = os.fstat(fd).st_size
    tail = next(backwards(fd), b"")
    if not tail:
        return
    try:
        decoder.decode(tail)
    except _UNREADABLE:
        os.ftruncate(fd, size - len(tail))
    else:
        durable.append(fd, b"\n", path)


def _last_seq(fd: int) -> int:
    """`seq` of the last whole valid line, -1 if there is none."""
    for line in backwards(fd):
        try:
            return _head.decode(line).seq
        except _UNREADABLE:
            continue
    return -1


class EventReader:
    """The listening end; any number of them, in any process, at any time.

    Attributes: `offset` (byte after the last line consumed), `unknown`, `damaged`, `restarts`
    (counts), `gaps` (`(expected, found)` sequence numbers).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unknown = 0
        self.damaged = 0
        self.restarts = 0
        self.gaps: list[tuple[int, int]] = []
        self._rewind()

    def _rewind(self) -> None:
        self.offset = 0
        self._next = 0
        self._mark = b""  # the bytes before `offset`, by which a replaced file is recognised

    def poll(self) -> list[AnyEvent]:
        """All events that became whole since the last call; an absent file has none."""
        events: list[AnyEvent] = []
        for block in self.blocks():
            events += block
        return events

    def blocks(self) -> Iterator[list[AnyEvent]]:
        """As `poll`, about a megabyte of log at a time: long logs need not fit in memory."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            if os.fstat(fd).st_size == self.offset:
                return
            if os.pread(fd, len(self._mark), self.offset - len(self._mark)) != self._mark:
                self._rewind()
                self.restarts += 1
            position = self.offset  # ahead of `offset` by damaged lines that may yet turn out well
            waiting = 0
            while block := _whole_lines(fd, position):
                events, consumed, bad = self._decode(block)
                position += len(block)
                if consumed:
                    self.damaged += waiting
                    self.offset = position - len(block) + consumed
                    start = max(0, consumed - _MARK)
                    self._mark = block[start:consumed]
                    waiting = bad
                else:
                    waiting += bad
                if events:
                    yield events
        finally:
            os.close(fd)

    def _decode(self, block: bytes) -> tuple[list[AnyEvent], int, int]:
        """Events of `block`, bytes up to the last readable line, damaged lines after that."""
        try:
            events = decoder.decode_lines(block)
        except _UNREADABLE:
            return self._decode_each(block)
        seqs = [event.seq for event in events]
        if seqs != list(range(self._next, self._next + len(seqs))):
            for seq in seqs:
                self._count(seq)
        self._next = seqs[-1] + 1 if seqs else self._next
        return events, len(block), 0

    def _decode_each(self, block: bytes) -> tuple[list[AnyEvent], int, int]:
        events: list[AnyEvent] = []
        consumed = position = bad = 0
        for line in _split(block):
            position += len(line)
            if line.isspace():
                continue
            try:
                event = decoder.decode(line)
            except _UNREADABLE:
                try:
                    head = _head.decode(line)
                except _UNREADABLE:
                    bad += 1
                    continue
                self.unknown += 1
                self._count(head.seq)
            else:
                events.append(event)
                self._count(event.seq)
            self.damaged += bad
            bad = 0
            consumed = position
        return events, consumed, bad

    def _count(self, seq: int) -> None:
        if seq != self._next:
            self.gaps.append((self._next, seq))
        self._next = seq + 1


def _split(block: bytes) -> list[bytes]:
    """Lines with their newline; only `\\n` ends one."""
    return [line + b"\n" for line in block.split(b"\n")[:-1]]


def _whole_lines(fd: int, position: int) -> bytes:
    """About `BLOCK` bytes from `position` that end with a newline; empty when there are none.

    A line longer than `MAX_LINE` is given in pieces: it is damage, and is skipped as such.
    """
    size = BLOCK
    while True:
        block = os.pread(fd, size, position)
        end = block.rfind(b"\n") + 1
        if end:
            return block[:end]
        if len(block) < size:
            return b""
        if size >= MAX_LINE:
            return block
        size *= 4

"""Reading a file of lines from its end: what makes a summary cheap and a log's tail repairable."""

from __future__ import annotations

import os
from collections.abc import Iterator

CHUNK = 16 * 1024


def backwards(fd: int, *, end: int | None = None, limit: int | None = None) -> Iterator[bytes]:
    """Yield the lines of `fd` from the last to the first, without their newline.

    What follows the last newline comes first (it may be empty). `end` is where to start
    (default: the file's size); after `limit` bytes the rest is left unread, and the line that
    the limit cuts is not yielded.
    """
    position = os.fstat(fd).st_size if end is None else end
    stop = 0 if limit is None else max(0, position - limit)
    parts: list[bytes] = []  # pieces of the line being assembled, last piece first
    while position > stop:
        size = min(CHUNK, position - stop)
        position -= size
        chunk = os.pread(fd, size, position)
        if len(chunk) < size:  # the file shrank under us: what we hold no longer fits together
            return
        lines = chunk.split(b"\n")
        if len(lines) == 1:
            parts.append(chunk)
            continue
        parts.append(lines[-1])
        yield b"".join(reversed(parts))
        yield from reversed(lines[1:-1])
        parts = [lines[0]]
    if stop == 0:
        yield b"".join(reversed(parts))

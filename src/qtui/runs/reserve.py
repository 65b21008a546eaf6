"""A little disk kept back, so that a run can say why it ends even when the disk is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

RESERVE = ".reserve"
_BYTES = 64 << 10
"""A `failed` event is some hundred bytes; a file system gives out whole blocks."""


@contextmanager
def last_words(run: Path) -> Iterator[None]:
    """Hold the reserve in the folder `run` for as long as the worker lives.

    Where there is no room for it, the run goes on without: that much less is sure at its end.
    """
    path = run / RESERVE
    with suppress(OSError), open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, _BYTES)
    try:
        yield
    finally:
        give_room(run)


def give_room(run: Path) -> None:
    """Let go of the reserve, so that the next line of the log has room."""
    with suppress(OSError):
        (run / RESERVE).unlink(missing_ok=True)

"""How full a disk is, without ever hanging on it.

A network volume that has gone away blocks whoever asks for its size. The question is put on a
thread; when no answer comes in time the caller is told so, and while one question about a path
still hangs no second one is asked.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec

from qtui.terminal import clean_line


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of the file system that holds `path`; None, and why, when it could not be told."""

    path: str
    total: int | None = None
    free: int | None = None
    """What this user may still write."""
    why: str = ""


class _Question:
    """One question about a path, on a thread of its own."""

    def __init__(self, path: Path) -> None:
        self.answer: Disk | None = None
        self.path = path
        self.thread = threading.Thread(target=self._ask, name="disk", daemon=True)
        self.thread.start()

    def _ask(self) -> None:
        self.answer = _read(self.path)


_hanging: dict[Path, _Question] = {}
_lock = threading.Lock()


def disk(path: Path, *, timeout: float = 2.0) -> Disk:
    """The file system that holds `path` (or its nearest parent that exists); never raises.

    Waits at most `timeout` seconds. A path that does not exist yet is answered for by the folder
    in which it would be made.
    """
    with _lock:
        question = _hanging.pop(path, None) or _Question(path)
        _hanging[path] = question
    question.thread.join(timeout)
    with _lock:
        if question.answer is not None:
            if _hanging.get(path) is question:
                del _hanging[path]
            return question.answer
    return Disk(path=clean_line(str(path)), why=f"the disk did not answer within {timeout:g} s")


def _read(path: Path) -> Disk:
    shown = clean_line(str(path))
    try:
        place = path.absolute()
        while not place.exists() and place != place.parent:
            place = place.parent
        found = os.statvfs(place)
    except OSError as error:
        return Disk(path=shown, why=f"cannot be read: {error.strerror}")
    return Disk(
        path=shown, total=found.f_frsize * found.f_blocks, free=found.f_frsize * found.f_bavail
    )

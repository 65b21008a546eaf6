"""One process at a time: for files that several dashboards and commands may change at once.

The lock is the kernel's and ends with its process. Nobody waits for ever: who does not get it
says what is being waited for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qtui.errors import QtuiError
from qtui.runs import durable
from qtui.runs.lock import HeldError, RunLock

SECONDS = 10.0


@contextmanager
def alone(lock: Path, what: str, seconds: float = SECONDS) -> Iterator[None]:
    """Hold the lock at `lock`, whose folder is made; `what` says in words what it guards.

    Raises:
        QtuiError: another process has held it for `seconds`, or the folder cannot be written.
    """
    make_private(lock.parent)
    held = RunLock(lock)
    try:
        held.acquire(timeout=seconds)
    except HeldError as error:
        raise QtuiError(
            f"{what}: another qtui has been busy with it for {seconds:.0f} s",
            remedy="try again; if that lasts, end the other one",
        ) from error
    try:
        yield
    finally:
        held.release()


def make_private(folder: Path) -> None:
    """Make `folder` if it is not there; what is said in a chat is for this user's eyes."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise durable.write_error(folder, 4096, error) from error

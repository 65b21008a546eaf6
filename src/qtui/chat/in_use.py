"""Whether anybody talks to a server through its Unix socket, so that who started it for one
question does not end it under another's answer.

A shared lock of the kernel on the socket's folder, held by each client; it ends with its process.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


def hold(socket: str) -> int | None:
    """Say that the server behind `socket` is in use, until the descriptor is closed; none where
    the file system has no locks, or there is no such folder."""
    fd = _opened(socket)
    if fd is None:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def held(socket: str) -> bool:
    """Whether anybody holds the server behind `socket`."""
    fd = _opened(socket)
    if fd is None:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def _opened(socket: str) -> int | None:
    with suppress(OSError):
        return os.open(Path(socket).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return None

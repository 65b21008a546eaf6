"""Who is alive: the kernel's word, not a process number.

The worker holds a POSIX record lock on the run's `lock` file. The kernel frees it the moment the
process ends, however it ends; forked children (data loaders) do not inherit it, so none of them
keeps a dead run alive; it needs no process number, which containers falsify and systems reuse.

One trap of these locks is guarded here: closing *any* descriptor of the file in the holding
process would free the lock. So `is_held` answers from memory inside the holder and opens nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from pathlib import Path

from qtui.errors import QtuiError
from qtui.runs import durable
from qtui.terminal import clean_line

LOCK_FD = "QTUI_LOCK_FD"
"""Environment variable that carries the descriptor over an `execv`."""

_BUSY = (errno.EACCES, errno.EAGAIN)
_held: dict[tuple[int, int], int] = {}  # (device, inode) -> process that locked it (fork!)
_threads = threading.Lock()  # no thread may probe while another locks: its close would unlock


class HeldError(QtuiError):
    """Another process holds the lock."""


class RunLock:
    """The lock of one run; a context manager. Not for use by two threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fileno = -1
        """The descriptor, -1 while not held."""

    def acquire(self, timeout: float = 2.0) -> None:
        """Take the lock or raise `HeldError`; does nothing when this object holds it.

        It is tried again for `timeout` seconds, because a viewer that asks `is_held` has a
        shared lock for some microseconds.
        """
        if self.fileno >= 0:
            return
        deadline = time.monotonic() + timeout
        while not self._try_alone():
            if time.monotonic() > deadline:
                raise HeldError(
                    f"run {clean_line(self.path.parent.name)} already has a living worker",
                    remedy="follow it with `qtui runs attach`, or stop it first",
                )
            time.sleep(0.01)

    def _try_alone(self) -> bool:
        with _threads:
            return self._try()

    def _try(self) -> bool:
        key = _identity(self.path)
        if key is not None and _held.get(key) == os.getpid():
            return False
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise durable.write_error(self.path, 0, error) from error
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno in _BUSY:
                return False
            raise QtuiError(
                f"{clean_line(str(self.path))} cannot be locked: {error.strerror}",
                remedy="this file system has no locks; put the workspace on another one",
            ) from error
        status = os.fstat(fd)
        if _identity(self.path) != (status.st_dev, status.st_ino):
            os.close(fd)  # the file was replaced between opening and locking it
            return False
        self._keep(fd)
        return True

    def _keep(self, fd: int) -> None:
        status = os.fstat(fd)
        _held[status.st_dev, status.st_ino] = os.getpid()
        self.fileno = fd

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        if self.fileno >= 0:
            status = os.fstat(self.fileno)
            _held.pop((status.st_dev, status.st_ino), None)
            os.close(self.fileno)
            self.fileno = -1

    def keep_over_exec(self) -> None:
        """Let the lock live on in the program that `os.execv` starts in this process.

        That program takes it over with `adopt`. Start no other process after this call.
        """
        os.set_inheritable(self.fileno, True)
        os.environ[LOCK_FD] = str(self.fileno)

    @classmethod
    def adopt(cls, path: Path) -> RunLock | None:
        """The lock that the program before `execv` held on `path`; none if it handed none over.

        The variable is removed, so that no child believes to have been given the lock.
        """
        handed = os.environ.pop(LOCK_FD, "")
        if not handed.isdecimal():
            return None
        fd = int(handed)
        try:
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != _identity(path):
                return None
            # Asking again for what the process has changes nothing, and is refused to all others.
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        os.set_inheritable(fd, False)
        lock = cls(path)
        lock._keep(fd)
        return lock

    def __enter__(self) -> RunLock:
        self.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock at `path`; an absent file is not held.

    Leaves nothing behind and writes nothing: it may be asked by anybody who can read the file.
    """
    with _threads:
        key = _identity(path)
        if key is None:
            return False
        if _held.get(key) == os.getpid():
            return True
        return _probe(path)


def _probe(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise QtuiError(
            f"{clean_line(str(path))} cannot be read: {error.strerror}",
            remedy="whether its run lives can only be asked by those who may read the file",
        ) from error
    try:
        fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            return True
        raise QtuiError(
            f"{clean_line(str(path))} cannot be asked for its lock: {error.strerror}",
            remedy="this file system has no locks; put the workspace on another one",
        ) from error
    finally:
        os.close(fd)
    return False


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino

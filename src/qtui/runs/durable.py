"""Bytes that are either all on disk or not there: what the run folder's files are written with.

A file that is written once goes to a temporary name, is flushed, renamed and its folder flushed
(so a reader sees all of it or nothing, also after power loss). A full disk becomes an error that
says how much room is needed and where.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from qtui.errors import QtuiError
from qtui.terminal import clean_line

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_once(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put `data` at `path`, atomically and durably; others can never write it.

    Raises `QtuiError` when the disk is full; then nothing is left at `path` or beside it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(
            temporary, "xb", opener=lambda p, flags: os.open(p, flags, mode & ~0o022)
        ) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_error(path, len(data), error) from error


def sync_folder(folder: Path) -> None:
    """Flush a folder's own entries, so that a rename in it outlives power loss."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some network and FUSE volumes cannot flush a folder; there is nothing more to be done.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(fd)


def append(fd: int, line: bytes, path: Path) -> None:
    """Append one whole line through `fd` (opened with `O_APPEND`) or leave the file as it was.

    A write that stops half-way (disk full, quota) is taken back, so that the next line is whole.
    Raises `QtuiError` that says how many bytes are needed.
    """
    done = 0
    try:
        while done < len(line):
            done += os.write(fd, line[done:] if done else line)
    except OSError as error:
        if done:
            os.ftruncate(fd, os.fstat(fd).st_size - done)
        raise write_error(path, len(line), error) from error


def write_error(path: Path, needed: int, error: OSError) -> QtuiError:
    """The `QtuiError` for a failed write of `needed` bytes at `path`."""
    name = clean_line(str(path))
    if error.errno not in _FULL:
        return QtuiError(
            f"{name} cannot be written: {error.strerror}",
            remedy="check that the folder exists, is yours and is not read-only",
        )
    try:
        free = f"{shutil.disk_usage(path.parent).free:,} bytes are free there"
    except OSError:
        free = "how much is free there is unknown"
    why = {errno.EDQUOT: "your quota is used up", errno.EFBIG: "the file size limit is reached"}
    reason = why.get(error.errno or 0, "the disk is full")
    return QtuiError(
        f"{name} cannot be written: {reason}; {needed:,} bytes more are needed, {free}",
        remedy="free some space (old checkpoints, the hub cache), then resume the run",
    )

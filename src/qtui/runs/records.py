"""Records of any length in one file, found by their number in an index beside it.

The format of the large files of prepared data (see `dataset`): `FILE.index` holds where each record
ends, with a 0 in front, as u64 little endian. `stages/data/store.py` writes them.
"""

from __future__ import annotations

import os
import struct
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from qtui.errors import CorruptError, NotFoundError
from qtui.terminal import clean_line

MAX_RECORD = 1 << 28
"""Bytes of the longest record; a longer one is damage."""
_OFFSET = struct.Struct("<Q")
_SPAN = struct.Struct("<QQ")


class Records:
    """The records of one file by number, read where they lie; from any number of threads.

    Read and not mapped: a disk that hangs then holds up the thread that asked and no other, and a
    file that somebody cuts short meanwhile is an error and not the end of the program.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._remedy = "prepare the data again"
        self._files = [opened(path.with_name(f"{path.name}.index")), opened(path)]
        index, data = (os.fstat(file.fileno()).st_size for file in self._files)
        self.count = max(index // _OFFSET.size - 1, 0)
        self.size = data
        """Bytes of the file."""
        if index % _OFFSET.size:
            self.close()
            raise self._damaged("its index is cut off")

    def __getitem__(self, number: int) -> bytes:
        if not 0 <= number < self.count:
            raise IndexError(number)
        return self._bytes(*_SPAN.unpack(self._read(0, _SPAN.size, number * _OFFSET.size)))

    def span(self, first: int, count: int) -> list[bytes]:
        """Records `first` and the `count` - 1 behind it (fewer at the end), in two reads."""
        count = min(count, self.count - first)
        if count <= 0:
            return []
        form = struct.Struct(f"<{count + 1}Q")
        ends = form.unpack(self._read(0, form.size, first * _OFFSET.size))
        block = self._bytes(ends[0], ends[-1])
        at = ends[0]
        if any(start > end for start, end in pairwise(ends)):
            raise self._damaged("its index goes back")
        return [block[start - at : end - at] for start, end in pairwise(ends)]

    def check(self) -> None:
        """Whether index and file fit together, as far as their ends tell. Raises CorruptError."""
        last = _OFFSET.unpack(self._read(0, _OFFSET.size, self.count * _OFFSET.size))[0]
        if last != self.size:
            raise self._damaged(f"its index tells of {last:,} bytes, and it has {self.size:,}")

    def _bytes(self, start: int, end: int) -> bytes:
        if not 0 <= start <= end <= self.size or end - start > MAX_RECORD:
            raise self._damaged(f"its index tells of a record from {start:,} to {end:,}")
        return self._read(1, end - start, start)

    def _read(self, file: int, size: int, at: int) -> bytes:
        try:
            found = os.pread(self._files[file].fileno(), size, at)
        except (OSError, ValueError) as error:  # ValueError: it was closed
            raise CorruptError(
                f"{clean_line(str(self.path))} cannot be read: {error}", remedy=self._remedy
            ) from error
        if len(found) != size:
            raise self._damaged("it ends too early")
        return found

    def _damaged(self, why: str) -> CorruptError:
        return CorruptError(f"{clean_line(str(self.path))} is damaged: {why}", remedy=self._remedy)

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            file.close()


def opened(path: Path) -> BinaryIO:
    """The file at `path` without a buffer. Raises NotFoundError, CorruptError."""
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{clean_line(str(path))} does not exist: nothing was prepared here",
            remedy="qtui prepare-data RUN_FILE",
        ) from error
    except OSError as error:
        raise CorruptError(
            f"{clean_line(str(path))} cannot be read: {error.strerror}",
            remedy="check the folder's permissions",
        ) from error

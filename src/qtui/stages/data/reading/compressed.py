"""Opens a file that may be gzip or zstd as a stream of bytes, and survives what is wrong with it.

Nothing is unpacked to disk or held whole. A stream that is damaged or cut off ends where it can no
longer be read: what came before is kept, and a finding says so. So does one for a bomb, a small
file that unpacks to far more than any data would.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

from qtui.errors import InputError
from qtui.runs.dataset import Level
from qtui.stages.data.reading.suffixes import Compression

T = TypeVar("T")

MAX_RATIO = 200
"""Bytes that come out for one that goes in: text gives 3 to 20, the same row over and over 100."""
FREE_BYTES = 64 * 2**20
"""So much may come out whatever the ratio."""
_WINDOW = 128 * 2**20  # what `zstd --long` needs; a frame may ask for gigabytes
_BUFFER = 2**18
_ZSTD_STEP = 2**11  # at most 64 MiB come out of so few bytes


class FindingSink(Protocol):
    """Whatever findings are told to: those of a preparation, or those of one batch."""

    def add(self, level: Level, kind: str, message: str, source: str = "", line: int = 0) -> None:
        """Tell one finding."""


class Nobody:
    """A sink for a first look at a file that will be read again."""

    def add(self, level: Level, kind: str, message: str, source: str = "", line: int = 0) -> None:
        """Forget it."""


class Place:
    """How far the reading of one file has come; a reader says how that is found out."""

    def __init__(self, size: int = 0) -> None:
        self.size = size
        """Bytes of the file."""
        self.tell: Callable[[], int] = lambda: 0
        """Bytes of it that were read, packed as they are in the file."""

    def follow(self, stream: io.BufferedReader) -> None:
        """It is where the stream is."""
        self.tell = partial(consumed, stream)

    def share(self, number: int, total: int) -> None:
        """It is behind so many of all rows."""
        at = self.size * number // max(total, 1)
        self.tell = lambda: at


def opened(
    path: Path, compression: Compression, source: str, findings: FindingSink
) -> io.BufferedReader:
    """Open the bytes inside `path` for reading; seekable only without compression.

    Raises OSError. A damaged stream ends early (see `is_damaged`).
    """
    if not compression:
        return io.BufferedReader(io.FileIO(path), _BUFFER)
    file = path.open("rb")
    return io.BufferedReader(_Unpacked(file, compression, source, findings), _BUFFER)


def is_damaged(stream: io.BufferedReader) -> bool:
    """Whether the stream ended early, so that its last line is only part of one."""
    return bool(getattr(stream.raw, "damaged", False))


def consumed(stream: io.BufferedReader) -> int:
    """Bytes of the file that the stream has read so far; whoever reads from it is not yet there."""
    tell = getattr(stream.raw, "consumed", stream.raw.tell)
    return int(tell())


def skip_line(stream: io.BufferedReader) -> None:
    """Read to the end of the line without holding it."""
    while held := stream.peek():
        end = held.find(b"\n") + 1
        stream.read(end or len(held))
        if end:
            return


class _Unpacked(io.RawIOBase):
    def __init__(
        self, file: IO[bytes], compression: Compression, source: str, findings: FindingSink
    ) -> None:
        self.damaged = False
        self._file = file
        self._stream: Any = (
            gzip.GzipFile(fileobj=file) if compression == "gz" else _ZstdFrames(file)
        )
        self._name = "gzip" if compression == "gz" else "zstd"
        self._source = source
        self._findings = findings
        self._bytes = 0

    def consumed(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.damaged:
            return 0
        try:
            # One step at a time: a longer read would lose what it has when the next step fails.
            piece: bytes | memoryview = self._stream.read1(len(buffer))
        except (EOFError, OSError, zlib.error, ValueError) as error:
            return self._end(_reason(error))
        except Exception as error:
            if type(error).__name__ != "ZstdError":
                raise
            return self._end(_reason(error))
        count = len(piece)
        buffer[:count] = piece
        self._bytes += count
        if self._bytes > FREE_BYTES and self._bytes > MAX_RATIO * self._file.tell():
            return self._end(f"it unpacks to more than {MAX_RATIO} times its size", "bomb")
        return count

    def _end(self, reason: str, kind: str = "damaged") -> int:
        self.damaged = True
        message = f"the {self._name} stream ends early: {reason}; what came before was read"
        self._findings.add("error", kind, message, self._source)
        return 0

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._file.close()
        super().close()


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the file was cut off"
    return f"it is damaged ({error})"


class _ZstdFrames:
    """All frames of a zstd file; unlike the library's own reader it tells when one is cut off."""

    def __init__(self, file: IO[bytes]) -> None:
        import zstandard

        self._file = file
        self._unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        self._frame: Any = self._unpacker.decompressobj()
        self._packed = b""
        self._ready = memoryview(b"")
        self._inside = True

    def read1(self, size: int) -> memoryview:
        while not self._ready and self._more():
            pass
        piece, self._ready = self._ready[:size], self._ready[size:]
        return piece

    def _more(self) -> bool:
        """Unpack a little more; False at the end of the file."""
        if not self._packed:
            self._packed = self._file.read(_ZSTD_STEP)
            if not self._packed:
                if self._inside:
                    raise EOFError
                return False
        if not self._inside:
            self._frame = self._unpacker.decompressobj()
            self._inside = True
        self._ready = memoryview(self._frame.decompress(self._packed))
        self._packed = self._frame.unused_data if self._frame.eof else b""
        self._inside = not self._frame.eof
        return True

    def close(self) -> None:
        self._packed = b""


def told(items: Iterator[T], source: str, findings: FindingSink) -> Iterator[T]:
    """Pass on `items`; where their file cannot be read (any further), a finding says why."""
    try:
        yield from items
    except InputError as error:
        message = f"{error.message}; {error.remedy}" if error.remedy else error.message
        findings.add("error", "unreadable-file", message, source)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        findings.add("error", "unreadable-file", message, source)

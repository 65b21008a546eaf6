"""The answers to many rows, in a file that an interrupted batch goes on with.

A line is appended when its row is answered, in whatever order that happens, with the row's line
number and a hash of what was asked. So the same command, run again, asks only what is missing; a
row, a model or a setting that has changed is found before anything is asked. A torn last line is
taken off; rows that failed are asked again, and their old lines go.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import time
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from qtui.chat.asks import Settings, sampling
from qtui.chat.batch_input import Item
from qtui.errors import InputError, QtuiError
from qtui.runs import durable
from qtui.terminal import clean_line

SYNC_SECONDS = 2.0
MAX_LINE = 256 << 20
"""Bytes of a line that no answer has: a row may have 8 MiB, and JSON writes a byte as six."""

_BEGINNING = b'{"line": '
"""How each line begins, by which a torn first one is known."""


class _Line(msgspec.Struct):
    """What is read back of a line."""

    line: int
    hash: str
    model: str
    settings: dict[str, Any]
    error: Any = None


_decoder = msgspec.json.Decoder(_Line)


def told(settings: Settings, *, raw: bool = False, completion: bool = False) -> dict[str, Any]:
    """The settings as they stand in each line: those that are set, a schema by its hash."""
    found = sampling(settings)
    if found.pop("response_format", None) is not None:
        text = json.dumps(settings.json_schema, sort_keys=True)
        found["json_schema"] = "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:16]
    if raw:
        found["raw"] = True
    if completion:
        found["completion"] = True
    return found


def encoded(row: Mapping[str, Any]) -> bytes:
    """A line for `row`, readable where that is possible."""
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair
        return json.dumps(row).encode() + b"\n"


class Results:
    """The file at `path`, held by this process alone until `close`."""

    def __init__(self, path: Path, settings: Mapping[str, Any], *, force: bool = False) -> None:
        """Open the file, or make it, and learn what is there, unless `force` says that it goes.
        What is there is not changed before `begin`.

        Raises:
            InputError: it is no such file, or was made with other settings.
            QtuiError: another process writes it, or it cannot be written.
        """
        self.path = path
        self.damaged = 0
        """Lines that could not be read; their rows are asked again."""
        self._settings = dict(settings)
        self._model = ""  # that of the lines; empty while there are none
        self._stale, self._whole = False, 0
        self._hashes = array("Q")  # by line; 0: to be asked
        self._synced = time.monotonic()
        self._fd = self._opened()
        self._lasting = stat.S_ISREG(os.fstat(self._fd).st_mode)
        """Of a pipe or a device nothing can be read back, and nothing flushed."""
        try:
            if self._lasting and not force:
                self._read()
        except BaseException:
            self.close()
            raise

    @property
    def last(self) -> int:
        """The last line of the input that is answered."""
        return next((n for n in range(len(self._hashes) - 1, 0, -1) if self._hashes[n]), 0)

    def has(self, item: Item) -> bool:
        """Whether `item` is answered. Raises InputError when what was answered is another row."""
        found = self._hashes[item.line] if item.line < len(self._hashes) else 0
        if not found:
            return False
        if found == _number(item.hash):
            return True
        raise self._other(f"line {item.line} of the input asks something else now")

    def check(self, last: int) -> None:
        """Raise InputError when there are answers to lines behind the input's `last`."""
        if self.last > last:
            raise self._other(f"the input ended at line {self.last} or later then, now at {last}")

    def check_model(self, model: str) -> None:
        """Raise InputError when the answers are another model's."""
        if self._model not in ("", model):
            raise self._other(f"it was made with {self._model}, this is {model}")

    def begin(self, model: str) -> None:
        """Make the file ready for more answers of `model`: what is torn, damaged or failed goes,
        or everything where that was wanted. Raises as `check_model` does."""
        self.check_model(model)
        if not self._lasting:
            return
        try:
            os.ftruncate(self._fd, self._whole)
        except OSError as error:
            raise durable.write_error(self.path, 0, error) from error
        if self._stale:
            self._without_failures()

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a finished row; it is on the disk some seconds later at most."""
        durable.append(self._fd, encoded(row), self.path)
        if self._lasting and time.monotonic() - self._synced > SYNC_SECONDS:
            try:
                os.fsync(self._fd)
            except OSError as error:
                raise durable.write_error(self.path, 0, error) from error
            self._synced = time.monotonic()

    def close(self) -> None:
        """Flush and let go; a second call does nothing."""
        if self._fd >= 0:
            with suppress(OSError):  # it goes to the disk later
                os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _opened(self) -> int:
        shown = clean_line(str(self.path))
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            fd = os.open(self.path, flags, 0o644)
        except OSError as error:
            raise durable.write_error(self.path, 0, error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise QtuiError(
                f"another qtui generate is writing {shown}", remedy="wait for it, or stop it first"
            ) from error
        except OSError:  # a file system without locks: go on without
            pass
        return fd

    def _read(self) -> None:
        """Learn what is there: answers, lines that have to go, where the last whole one ends.
        Nothing is changed: the file may be somebody else's."""
        line = b""
        for line in _lines(self._fd):
            if len(line) == MAX_LINE:
                raise self._foreign()
            if not line.endswith(b"\n"):
                break  # torn
            self._whole += len(line)
            found = _decoded(line)
            if found is None:
                self.damaged += 1
                self._stale = True
                continue
            self._compare(found)
            if found.error is not None or self._at(found.line):
                self._stale = True
            if found.error is None:
                self._put(found.line, _number(found.hash))
        torn = not self._whole and line and not line.startswith(_BEGINNING[: len(line)])
        if torn or (self.damaged and not any(self._hashes)):
            raise self._foreign()

    def _foreign(self) -> InputError:
        return InputError(
            f"{clean_line(str(self.path))} is no output of qtui generate",
            remedy="give another --output, or --force to overwrite it",
        )

    def _compare(self, found: _Line) -> None:
        self.check_model(found.model)
        self._model = found.model
        if found.settings == self._settings:
            return
        names = sorted(found.settings.keys() | self._settings.keys())
        changed = [
            f"{name} {found.settings.get(name, 'unset')} -> {self._settings.get(name, 'unset')}"
            for name in names
            if found.settings.get(name) != self._settings.get(name)
        ]
        raise self._other("other settings: " + ", ".join(changed))

    def _other(self, what: str) -> InputError:
        return InputError(
            f"{clean_line(str(self.path))} is not of this batch: {clean_line(what, 300)}",
            remedy="give another --output, or --force to overwrite it",
        )

    def _at(self, line: int) -> int:
        return self._hashes[line] if line < len(self._hashes) else 0

    def _put(self, line: int, number: int) -> None:
        if line >= len(self._hashes):
            self._hashes.frombytes(bytes(8 * (line + 1 - len(self._hashes))))
        self._hashes[line] = number

    def _without_failures(self) -> None:
        """Write the file anew with the answers alone, each row once."""
        seen = bytearray(len(self._hashes))
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            with open(temporary, "xb") as file:
                for line in _lines(self._fd):
                    found = _decoded(line)
                    if found is not None and found.error is None and not seen[found.line]:
                        seen[found.line] = 1
                        file.write(line)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self.path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise durable.write_error(self.path, 0, error) from error
        old, self._fd = self._fd, self._opened()
        os.close(old)


def _decoded(line: bytes) -> _Line | None:
    try:
        found = _decoder.decode(line)
    except (ValueError, RecursionError):
        return None
    return found if 0 < found.line < 1 << 31 else None


def _number(hash: str) -> int:
    try:
        return int(hash, 16) % (1 << 64) or 1
    except ValueError:
        return 1


def _lines(fd: int) -> Iterator[bytes]:
    with open(os.dup(fd), "rb") as file:
        file.seek(0)
        while line := file.readline(MAX_LINE):
            yield line


def count(items: Iterable[Item], results: Results | None) -> tuple[int, int]:
    """Rows there are, and rows that `results` has. Raises InputError as `Results.has` does."""
    rows = done = last = 0
    for item in items:
        rows += 1
        last = item.line
        done += results is not None and results.has(item)
    if results is not None:
        results.check(last)
    return rows, done

"""Reads JSON and JSON Lines files, whichever their content says, and survives what is broken.

Lines come as they stand, to be parsed wherever there is time (`parse_line`); the elements of a JSON
array come one by one as records. What cannot be read is a finding with its line, and reading goes
on behind it. All is streamed, from compressed files and other encodings too; only a JSON value that
is neither line nor array is held whole.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from qtui.errors import InputError
from qtui.stages.data.reading.compressed import (
    FindingSink,
    Nobody,
    Place,
    is_damaged,
    skip_line,
    told,
)
from qtui.stages.data.reading.json_values import (
    SPACE,
    SURROGATE,
    Oddities,
    checked,
    parse_line,
    values,
)
from qtui.stages.data.reading.sources import Source
from qtui.stages.data.reading.suffixes import Compression
from qtui.stages.data.reading.utf8 import opened_as_utf8
from qtui.stages.data.rows import Record
from qtui.terminal import clean_line

__all__ = ["Line", "items", "parse_line"]

MAX_LINE_BYTES = 64 * 2**20
MAX_DOCUMENT_BYTES = 256 * 2**20
WRAPPERS = ("data", "rows", "train", "examples", "instances", "items", "records")

Line = tuple[int, bytes]
"""(number from 1, the line as it stands in the file)"""

_OTHER_FORMATS = (
    (b"\x1f\x8b", "a gzip file: let its name end in .gz"),
    (b"\x28\xb5\x2f\xfd", "a zstd file: let its name end in .zst"),
    (b"PK\x03\x04", "a zip file: unpack it first"),
    (b"PAR1", "a Parquet file: let its name end in .parquet"),
    (b"%PDF", "a PDF: let its name end in .pdf"),
)
_PIECE = 2**20
_FEW_LINES = 20
_WINDOW = 2**20
_LONGEST_TOKEN = 12  # characters of a number, a literal or an escape that may be cut in two
_FIRST_KEY = re.compile(r'\{\s*"(?:[^"\\]|\\.)*"')
_NEXT_OBJECT = re.compile(r"\}\s*,\s*(?=\{)")
_WRAPPER = re.compile(r"\s*\{\s*\"(?:%s)\"\s*:\s*\[\s*(?=[{\]])" % "|".join(WRAPPERS))  # noqa: UP031


def items(
    source: Source, findings: FindingSink, place: Place | None = None
) -> Iterator[Record | Line]:
    """Yield what one file holds: lines to be parsed, or the records of a JSON document.

    `place` follows the reading. A file that cannot be read, or is something else, is a finding.
    """
    assert source.path is not None
    kind = source.kind if source.kind in ("json", "jsonl") else "auto"
    found = _items(source.path, kind, source.compression, source.name, findings, place or Place())
    return told(found, source.name, findings)


def _items(
    path: Path,
    kind: str,
    compression: Compression,
    source: str,
    findings: FindingSink,
    place: Place,
) -> Iterator[Record | Line]:
    before = path.stat()
    if not compression:
        with path.open("rb") as file:
            _refuse_other_formats(file.read(8), source)
    with opened_as_utf8(path, compression, source, Nobody()) as stream:
        first = _first_line(stream)
        lines = kind == "jsonl" or (kind != "json" and _is_lines(first, stream))
    with opened_as_utf8(path, compression, source, findings) as stream:
        place.follow(stream)
        if not first:
            stream.read()  # only space; says where it is damaged
            if not is_damaged(stream):
                findings.add("error", "empty-file", "the file is empty", source)
        elif lines:
            yield from _lines(stream, source, findings)
        else:
            yield from _document(stream, source, findings)
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        findings.add("warning", "changed-while-read", "the file changed while it was read", source)


def _refuse_other_formats(head: bytes, source: str) -> None:
    for magic, what in _OTHER_FORMATS:
        if head.startswith(magic):
            raise InputError(f"{clean_line(source)} is {what}")


# ---- lines --------------------------------------------------------------------------------------


def _is_lines(first: bytes, stream: io.BufferedReader) -> bool:
    """Whether this is JSON Lines: told by the content of the first lines, not by the suffix."""
    start = first.lstrip()
    if len(first) >= MAX_LINE_BYTES:
        head = start[:4096].decode("utf-8", "replace")
        return not head.startswith("[") and _WRAPPER.match(head) is None
    if _is_whole(first):
        return any(piece.strip() for piece in iter(lambda: stream.readline(_PIECE), b""))
    # The first line is a broken row or the beginning of a document: rows follow, or they do not.
    following = islice(iter(lambda: stream.readline(_PIECE), b""), _FEW_LINES)
    return not start.startswith(b"[") and any(
        line.lstrip()[:1] == b"{" and _is_whole(line) for line in following
    )


def _first_line(stream: io.BufferedReader) -> bytes:
    while line := stream.readline(MAX_LINE_BYTES):
        if line.strip():
            return line
    return b""


def _is_whole(line: bytes) -> bool:
    text = line.decode("utf-8", "replace")
    try:
        msgspec.json.decode(text)
    except (ValueError, RecursionError):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
    return True


def _lines(stream: io.BufferedReader, source: str, findings: FindingSink) -> Iterator[Line]:
    for number, raw in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES), b""), start=1):
        if not raw.endswith(b"\n"):
            if len(raw) >= MAX_LINE_BYTES:
                skip_line(stream)
                message = f"the line is longer than {MAX_LINE_BYTES >> 20} MiB"
                findings.add("error", "long-line", message, source, number)
                continue
            if is_damaged(stream):
                return  # the rest of a row that was cut off; its loss has been told
        if raw.startswith(codecs.BOM_UTF8):  # files were put together
            raw = raw[len(codecs.BOM_UTF8) :]
        if not raw.isspace():
            yield number, raw


# ---- documents ----------------------------------------------------------------------------------


def _document(stream: io.BufferedReader, source: str, findings: FindingSink) -> Iterator[Record]:
    """One JSON value: an array of rows, an object that holds such an array, or a single row."""
    text = _Text(stream)
    text.skip_space()
    wrapper = _WRAPPER.match(text.held)
    if text.held[text.position : text.position + 1] == "[" or wrapper is not None:
        text.position = text.position + 1 if wrapper is None else wrapper.end()
        yield from _elements(text, source, findings)
        return
    text.fill(MAX_DOCUMENT_BYTES + 1)
    if not text.ended:
        raise InputError(
            f"{clean_line(source)} is one JSON document of more than "
            f"{MAX_DOCUMENT_BYTES >> 20} MiB, which would have to be held in memory",
            remedy="Write it as JSONL, one object a line: those are streamed.",
        )
    for record in values(text.held, source, text.line(), findings):
        held = _held_rows(record.value)
        if held is None:
            if not _tells_bad_bytes(record.line, text.held, source, findings):
                yield record
        else:
            for row in held:
                yield Record(row, record.line)


def _held_rows(value: Any) -> list[Any] | None:
    """The rows inside an object such as {"version": 1, "data": [...]}, if it is one."""
    if not isinstance(value, dict):
        return None
    for name in WRAPPERS:
        rows = value.get(name)
        if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            return rows
    return None


def _tells_bad_bytes(line: int, raw: str, source: str, findings: FindingSink) -> bool:
    """Whether bytes that are no UTF-8 stand in a value; they are kept as surrogates until here."""
    bad = SURROGATE.search(raw)
    if bad is None:
        return False
    byte = ord(bad.group()) & 0xFF
    message = f"not valid UTF-8: byte 0x{byte:02x}; save the file as UTF-8"
    at = line + raw.count("\n", 0, bad.start())
    findings.add("error", "invalid-utf8", message, source, at)
    return True


def _elements(text: _Text, source: str, findings: FindingSink) -> Iterator[Record]:
    """The elements of an array one by one; behind a broken one reading goes on."""
    odd = Oddities()
    decoder = odd.decoder()
    while True:
        text.skip_space()
        if text.position == len(text.held):
            message = "the file ends inside the array: it was cut off; the rows before were read"
            findings.add("error", "broken-json", message, source, text.line())
            return
        if text.held[text.position] == "]":
            return
        line, start = text.line(), text.position
        try:
            value, end = decoder.raw_decode(text.held, start)
            after = SPACE.match(text.held, end).end()  # type: ignore[union-attr]
            if text.held[after : after + 1] not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' between rows", text.held, after)
            raw = text.held[start:end]
            value = checked(value, raw, odd, source, line, findings)
        except (ValueError, RecursionError) as error:
            odd.forget()
            if _may_be_cut_off(error, text):
                if text.held_from_here() <= MAX_LINE_BYTES:
                    text.hold_more()
                    continue
                error = ValueError(f"the row is longer than {MAX_LINE_BYTES >> 20} MiB")
            at = error.pos if isinstance(error, json.JSONDecodeError) else start
            what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            bad_line = text.line(at)
            found = text.go_behind(_row_end(text.held, start), at)
            rest = "reading went on at the next row" if found else "nothing behind it was read"
            findings.add("error", "broken-json", f"{what}; {rest}", source, bad_line)
            if not found:
                return
            continue
        if not _tells_bad_bytes(line, raw, source, findings):
            yield Record(value, line)
        text.position = after + (text.held[after] == ",")


def _may_be_cut_off(error: Exception, text: _Text) -> bool:
    """Whether an error may only mean that the rest of the row has not been read yet."""
    if text.ended or not isinstance(error, json.JSONDecodeError):
        return False
    return error.msg.startswith("Unterminated") or error.pos >= len(text.held) - _LONGEST_TOKEN


def _row_end(text: str, start: int) -> re.Pattern[str]:
    """Matches what stands between two rows, told from what is inside a row by the first key."""
    key = _FIRST_KEY.match(text, start)
    return _NEXT_OBJECT if key is None else re.compile(rf"\}}\s*,\s*(?={re.escape(key.group())})")


class _Text:
    """The part of a document that is held in memory, and the place in it that was reached."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self.held = ""
        self.position = 0
        self.ended = False
        self._line = 1  # at `_counted`
        self._counted = 0
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def line(self, position: int | None = None) -> int:
        """The line of a place in the document, by default of the one that was reached."""
        if position is not None:
            return self._line + self.held.count("\n", self._counted, position)
        self._line += self.held.count("\n", self._counted, self.position)
        self._counted = self.position
        return self._line

    def fill(self, size: int) -> None:
        """Hold `size` characters, or all that is left."""
        pieces = [self.held]
        missing = size - len(self.held)
        while not self.ended and missing > 0:
            raw = self._stream.read(min(max(missing, 2**16), 2**24))
            pieces.append(self._decoder.decode(raw, final=not raw))
            missing -= len(pieces[-1])
            self.ended = not raw
        self.held = "".join(pieces)

    def held_from_here(self) -> int:
        """How many characters are held behind the place that was reached."""
        return len(self.held) - self.position

    def hold_more(self) -> None:
        """Hold twice as much behind the place that was reached, and nothing before it."""
        self.line()
        size = max(2 * self.held_from_here(), _WINDOW)
        self.held = self.held[self.position :]
        self.position = self._counted = 0
        self.fill(size)

    def skip_space(self) -> None:
        """Go on to the next character that is no space."""
        while True:
            self.position = SPACE.match(self.held, self.position).end()  # type: ignore[union-attr]
            if self.ended or self.held_from_here():
                return
            self.hold_more()

    def go_behind(self, pattern: re.Pattern[str], start: int) -> bool:
        """Go behind the next match from `start` on; False when there is none."""
        while (found := pattern.search(self.held, start)) is None:
            if self.ended:
                return False
            # What may be the beginning of a match is held.
            self.position = max(self.held.rfind("}", start), start, len(self.held) - _WINDOW)
            self.hold_more()
            start = 0
        self.position = found.end()
        return True

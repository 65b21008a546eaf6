"""Reads JSON and JSON Lines files, whichever the suffix says, and survives what is broken in them.

Yields every value that can be read with its line number; what cannot be read is a finding with
its line, and reading goes on behind it. Lines are streamed; only a JSON document (one value over
many lines) is held whole. Strict about what a row may mean: a line that is valid for a lenient
parser but ambiguous (duplicate keys, NaN, several values) is said.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from qtui.errors import InputError
from qtui.stages.data.rows import Findings, Record
from qtui.terminal import clean_line

MAX_LINE_BYTES = 64 * 2**20
MAX_DOCUMENT_BYTES = 2**30
WRAPPERS = ("data", "rows", "train", "examples", "instances", "items", "records")

_WIDE_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_FORMATS = (
    (b"\x1f\x8b", "a gzip file: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd file: unpack it first"),
    (b"PK\x03\x04", "a zip file: unpack it first"),
    (b"PAR1", "a Parquet file: set data.input_type: dataset"),
    (b"%PDF", "a PDF: only JSON and JSONL rows can be trained on"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89abAB]")
_NEXT_OBJECT = re.compile(r"\}\s*,\s*(?=\{)")
_SPACE = re.compile(r"\s*")


@dataclass
class _Oddities:
    """What the decoder met in the value it is reading."""

    duplicate: str | None = None
    constant: str | None = None

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            keys = [key for key, _ in pairs]
            self.duplicate = next(key for key in keys if keys.count(key) > 1)
        return found

    def number(self, name: str) -> float:
        self.constant = name
        return float(name)


def read(
    path: Path, kind: Literal["auto", "json", "jsonl"], findings: Findings
) -> Iterator[Record]:
    """Yield the records of one file; what is unreadable goes to `findings` as errors.

    Raises InputError where the file as a whole is something else.
    """
    source = str(path)
    before = path.stat()
    with path.open("rb") as file:
        stream: BinaryIO = file
        head = file.read(4096)
        for magic, what in _OTHER_FORMATS:
            if head.startswith(magic):
                raise InputError(f"{clean_line(source)} is {what}")
        file.seek(0)
        encoding = next((name for bom, name in _WIDE_BOMS if head.startswith(bom)), None)
        if encoding is not None:
            stream = _as_utf8(file, encoding, source, findings)
        elif head.startswith(codecs.BOM_UTF8):
            file.seek(len(codecs.BOM_UTF8))
        elif b"\x00" in head:
            raise InputError(f"{clean_line(source)} is a binary file, not JSON")
        if not head.strip():
            findings.add("error", "empty-file", "the file is empty", source)
            return
        start = stream.tell()
        lines = kind == "jsonl" or (kind == "auto" and _is_lines(stream))
        stream.seek(start)
        yield from (
            _lines(stream, source, findings) if lines else _document(stream, source, findings)
        )
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        findings.add("warning", "changed-while-read", "the file changed while it was read", source)


def _as_utf8(file: BinaryIO, encoding: str, source: str, findings: Findings) -> BinaryIO:
    raw = file.read(MAX_DOCUMENT_BYTES + 1)
    _check_size(len(raw), source)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{clean_line(source)} begins as {encoding.upper()} but byte {error.start} is not",
            remedy="Save it as UTF-8.",
        ) from error
    findings.add("note", "encoding", f"read as {encoding.upper()}", source)
    return io.BytesIO(text.encode("utf-8", "surrogatepass"))


def _check_size(size: int, source: str) -> None:
    if size > MAX_DOCUMENT_BYTES:
        raise InputError(
            f"{clean_line(source)} is one JSON document of more than "
            f"{MAX_DOCUMENT_BYTES >> 20} MiB, which would have to be held in memory",
            remedy="Write it as JSONL, one object a line: those are streamed.",
        )


def _is_lines(stream: BinaryIO) -> bool:
    """Whether this is JSON Lines: told by the content of the first lines, not by the suffix."""
    first = _first_line(stream)
    second = _first_line(stream)
    if _is_whole(first):
        return bool(second)
    # The first line is a broken row or the beginning of a document: rows follow, or they do not.
    following = [second, *(_first_line(stream) for _ in range(20))]
    whole = sum(line.lstrip()[:1] == b"{" and _is_whole(line) for line in following if line)
    return not first.lstrip().startswith(b"[") and whole > 0


def _first_line(stream: BinaryIO) -> bytes:
    while line := stream.readline(MAX_LINE_BYTES):
        if line.strip():
            return line
    return b""


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True


def _lines(stream: BinaryIO, source: str, findings: Findings) -> Iterator[Record]:
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES):
        number += 1
        if len(raw) == MAX_LINE_BYTES and not raw.endswith(b"\n"):
            while (more := stream.readline(2**20)) and not more.endswith(b"\n"):
                pass
            message = f"the line is longer than {MAX_LINE_BYTES >> 20} MiB"
            findings.add("error", "long-line", message, source, number)
            continue
        if not raw.strip():
            continue
        try:
            text = raw.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            findings.add("error", "invalid-utf8", _utf8_message(raw, error), source, number)
            continue
        values = list(_values(text, source, number, findings))
        if len(values) > 1:
            message = f"{len(values)} values on one line; each was read as a row"
            findings.add("warning", "several-values", message, source, number)
        yield from values


def _utf8_message(raw: bytes, error: UnicodeDecodeError) -> str:
    byte = raw[error.start]
    return f"not valid UTF-8: byte 0x{byte:02x} at column {error.start + 1}; save it as UTF-8"


def _values(text: str, source: str, line: int, findings: Findings) -> Iterator[Record]:
    """All JSON values on one line; nothing, and a finding, if any part of it is broken."""
    odd = _Oddities()
    decoder = json.JSONDecoder(object_pairs_hook=odd.pairs, parse_constant=odd.number)
    position = _SPACE.match(text).end()  # type: ignore[union-attr]
    found: list[Record] = []
    while position < len(text):
        try:
            value, end = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            message = f"not valid JSON: {error.msg} at column {error.colno}"
            if found and text[position] == ",":
                message += " (a comma after the row: one object a line, without commas)"
            findings.add("error", "broken-json", message, source, line + error.lineno - 1)
            return
        except (RecursionError, ValueError) as error:  # nested too deep, or a number too long
            findings.add("error", "broken-json", f"cannot be read: {error}", source, line)
            return
        found.append(Record(_checked(value, text[position:end], odd, source, line, findings), line))
        position = _SPACE.match(text, end).end()  # type: ignore[union-attr]
    yield from found


def _checked(
    value: Any, raw: str, odd: _Oddities, source: str, line: int, findings: Findings
) -> Any:
    """Report what is odd in a value; a lone surrogate (which is no character) is replaced."""
    if odd.duplicate is not None:
        message = f"the key {odd.duplicate!r} stands twice; the last one counts"
        findings.add("warning", "duplicate-key", message, source, line)
    if odd.constant is not None:
        message = f"{odd.constant} is not JSON; it was read as a number"
        findings.add("warning", "not-a-number", message, source, line)
    odd.duplicate = odd.constant = None
    if _SURROGATE_ESCAPE.search(raw):
        value, replaced = _without_surrogates(value)
        if replaced:
            message = f"{replaced} half characters (lone surrogates) were replaced by U+FFFD"
            findings.add("warning", "lone-surrogate", message, source, line)
    return value


def _without_surrogates(value: Any) -> tuple[Any, int]:
    if isinstance(value, str):
        return _SURROGATE.subn("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        pairs = [_without_surrogates(item) for item in value]
        return [item for item, _ in pairs], sum(count for _, count in pairs)
    if isinstance(value, dict):
        named = {key: _without_surrogates(item) for key, item in value.items()}
        return {k: item for k, (item, _) in named.items()}, sum(n for _, n in named.values())
    return value, 0


def _document(stream: BinaryIO, source: str, findings: Findings) -> Iterator[Record]:
    """One JSON value: an array of rows, an object that holds such an array, or a single row."""
    raw = stream.read(MAX_DOCUMENT_BYTES + 1)
    _check_size(len(raw), source)
    text = raw.decode("utf-8", "surrogateescape")
    del raw
    position = _SPACE.match(text).end()  # type: ignore[union-attr]
    if text[position] == "[":
        yield from _elements(text, position + 1, 1, source, findings)
        return
    wrapper = re.compile(
        r"\s*\{\s*\"(?:%s)\"\s*:\s*\[\s*(?=[{\]])" % "|".join(WRAPPERS)  # noqa: UP031
    ).match(text)
    if wrapper:
        yield from _elements(text, wrapper.end(), 1, source, findings)
        return
    for record in _values(text, source, 1 + text.count("\n", 0, position), findings):
        held = _held_rows(record.value)
        if held is None:
            yield from _clean_record(record, text, source, findings)
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


def _elements(
    text: str, position: int, line: int, source: str, findings: Findings
) -> Iterator[Record]:
    """The elements of an array one by one; behind a broken one reading goes on."""
    odd = _Oddities()
    decoder = json.JSONDecoder(object_pairs_hook=odd.pairs, parse_constant=odd.number)
    counted = 0
    while True:
        position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
        line += text.count("\n", counted, position)
        counted = position
        if position >= len(text):
            message = "the file ends inside the array: it was cut off; the rows before were read"
            findings.add("error", "broken-json", message, source, line)
            return
        if text[position] == "]":
            return
        try:
            value, end = decoder.raw_decode(text, position)
            after = _SPACE.match(text, end).end()  # type: ignore[union-attr]
            if text[after : after + 1] not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' between rows", text, after)
        except (ValueError, RecursionError) as error:
            at = error.pos if isinstance(error, json.JSONDecodeError) else position
            what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            bad_line = line + text.count("\n", counted, at)
            following = _NEXT_OBJECT.search(text, at)
            rest = "reading went on at the next row" if following else "nothing behind it was read"
            findings.add("error", "broken-json", f"{what}; {rest}", source, bad_line)
            odd.duplicate = odd.constant = None
            if following is None:
                return
            position = following.end()
            continue
        raw = text[position:end]
        value = _checked(value, raw, odd, source, line, findings)
        yield from _clean_record(Record(value, line), raw, source, findings)
        position = after + (text[after] == ",")


def _clean_record(record: Record, raw: str, source: str, findings: Findings) -> Iterator[Record]:
    """The record, unless bytes that are no UTF-8 stand in it (kept as surrogates until here)."""
    bad = _SURROGATE.search(raw)
    if bad is None:
        yield record
        return
    byte = ord(bad.group()) & 0xFF
    line = record.line + raw.count("\n", 0, bad.start())
    message = f"not valid UTF-8: byte 0x{byte:02x}; save the file as UTF-8"
    findings.add("error", "invalid-utf8", message, source, line)

"""JSON values as rows: fast where a line is ordinary, strict about all that is odd in one.

A line that is valid for a lenient parser but ambiguous (a key twice, NaN, several values) is said.
Both ways are one decoder that looks at the keys of every object: the fast one gives up where there
is anything to tell, and the strict one tells it. (Tried instead: msgspec's decoder, three times as
fast, and a proof by counting that it hid no key. The proof took longer than that saved.)
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from qtui.stages.data.reading.compressed import FindingSink
from qtui.stages.data.rows import Record

SURROGATE = re.compile("[\ud800-\udfff]")
SPACE = re.compile(r"[ \t\r\n]*")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass
class Oddities:
    """What the decoder met in the value it is reading."""

    duplicate: str | None = None
    constant: str | None = None

    def decoder(self) -> json.JSONDecoder:
        """A strict decoder that writes down here what it meets."""
        return json.JSONDecoder(
            object_pairs_hook=self._pairs, parse_constant=self._constant, parse_float=self._float
        )

    def forget(self) -> None:
        """Begin another value."""
        self.duplicate = self.constant = None

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            counted = Counter(key for key, _ in pairs)
            self.duplicate = next(key for key, number in counted.items() if number > 1)
        return found

    def _constant(self, name: str) -> float:
        self.constant = name
        return float(name)

    def _float(self, text: str) -> float:
        number = float(text)
        if math.isinf(number):
            self.constant = text
        return number


class _Odd(Exception):
    """Something that has to be told: the value is decoded once more, slowly."""


def _plain_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Odd
    return found


def _plain_float(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise _Odd
    return number


def _no_constant(_: str) -> float:
    raise _Odd


_scan = json.JSONDecoder(
    object_pairs_hook=_plain_pairs, parse_constant=_no_constant, parse_float=_plain_float
).scan_once  # type: ignore[attr-defined]


def parse_line(raw: bytes, number: int, source: str, findings: FindingSink) -> list[Record]:
    """Return the rows on one line of JSON Lines; usually one, none where the line is broken."""
    try:
        text = raw.decode()
        start = 0 if text[:1] == "{" else SPACE.match(text).end()  # type: ignore[union-attr]
        value, end = _scan(text, start)
    except (_Odd, ValueError, RecursionError, StopIteration):
        return _strictly(raw, number, source, findings)
    if text[end:].strip(" \t\r\n"):
        return _strictly(raw, number, source, findings)
    if "\\u" in text and _SURROGATE_ESCAPE.search(text) and not _is_all_text(value):
        return _strictly(raw, number, source, findings)
    return [Record(value, number)]


def _is_all_text(value: Any) -> bool:
    """Whether no text in it holds half a character; pairs of halves have become whole ones."""
    try:
        msgspec.json.encode(value)
    except (ValueError, OverflowError, RecursionError):
        return False
    return True


def _strictly(raw: bytes, number: int, source: str, findings: FindingSink) -> list[Record]:
    try:
        text = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        findings.add("error", "invalid-utf8", _utf8_message(raw, error), source, number)
        return []
    records = list(values(text, source, number, findings))
    if len(records) > 1:
        message = f"{len(records)} values on one line; each was read as a row"
        findings.add("warning", "several-values", message, source, number)
    return records


def _utf8_message(raw: bytes, error: UnicodeDecodeError) -> str:
    byte = raw[error.start]
    return f"not valid UTF-8: byte 0x{byte:02x} at column {error.start + 1}; save it as UTF-8"


def values(text: str, source: str, line: int, findings: FindingSink) -> Iterator[Record]:
    """All JSON values in a text; nothing, and a finding, if any part of it is broken."""
    odd = Oddities()
    decoder = odd.decoder()
    position = SPACE.match(text).end()  # type: ignore[union-attr]
    found: list[Record] = []
    while position < len(text):
        try:
            value, end = decoder.raw_decode(text, position)
            value = checked(value, text[position:end], odd, source, line, findings)
        except json.JSONDecodeError as error:
            message = f"not valid JSON: {error.msg} at column {error.colno}"
            if found and text[position] == ",":
                message += " (a comma after the row: one object a line, without commas)"
            findings.add("error", "broken-json", message, source, line + error.lineno - 1)
            return
        except (RecursionError, ValueError) as error:  # nested too deep, or a number too long
            findings.add("error", "broken-json", f"cannot be read: {error}", source, line)
            return
        found.append(Record(value, line))
        position = SPACE.match(text, end).end()  # type: ignore[union-attr]
    yield from found


def checked(
    value: Any, raw: str, odd: Oddities, source: str, line: int, findings: FindingSink
) -> Any:
    """Report what is odd in a value; a lone surrogate (which is no character) is replaced."""
    if odd.duplicate is not None:
        message = f"the key {odd.duplicate!r} stands twice; the last one counts"
        findings.add("warning", "duplicate-key", message, source, line)
    if odd.constant is not None:
        message = f"{odd.constant} is no number that JSON has; it was read as one"
        findings.add("warning", "not-a-number", message, source, line)
    odd.forget()
    if _SURROGATE_ESCAPE.search(raw):
        value, replaced = _without_surrogates(value)
        if replaced:
            message = f"{replaced} half characters (lone surrogates) were replaced by U+FFFD"
            findings.add("warning", "lone-surrogate", message, source, line)
    return value


def _without_surrogates(value: Any) -> tuple[Any, int]:
    if isinstance(value, str):
        return SURROGATE.subn("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        pairs = [_without_surrogates(item) for item in value]
        return [item for item, _ in pairs], sum(count for _, count in pairs)
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        total = 0
        for key, item in value.items():
            name, in_name = _without_surrogates(key)
            found[name], inside = _without_surrogates(item)
            total += in_name + inside
        return found, total
    return value, 0

"""The prepared data in a run's folder, as anybody may read them: rows, tokens, findings, pages.

Nothing is loaded: a row is read where it lies, found by its number in an index of offsets, so that
ten million rows cost no more than ten. The worker writes these files (`stages/data/store.py`),
each whole or not at all, and `manifest.json` last.

    rows.jsonl     every row that was read, used or not, one `StoredRow` a line
    tokens.msgpack what the model sees of each row that is used, one `StoredTokens` each
    findings.jsonl what is worth knowing, one `Finding` a line, with the row's number
    rows.parts      one byte a row: a `Part`
    *.index        where each record of the file of that name ends (u64 little endian), with a 0
                   in front
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from qtui.errors import CorruptError, NotFoundError
from qtui.runs.records import Records as Records
from qtui.runs.records import opened as opened_file
from qtui.terminal import clean_line

ROWS = "rows.jsonl"
TOKENS = "tokens.msgpack"
FINDINGS = "findings.jsonl"
PARTS = "rows.parts"
REPORT = "report.json"
BATCH = "batch.json"

Level = Literal["error", "warning", "note"]
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_BLOCK = 1 << 12
_BLOCKS = 1 << 20
"""Bytes of parts that are read at once: few where the next one is near, which is nearly always."""
_TOGETHER = 2000


class Part(IntEnum):
    """What became of a row; the byte in `rows.parts`. From `UNUSABLE` on it is not used."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    UNUSABLE = 16
    """Unreadable, of no known shape, or refused by the chat template."""
    DROPPED = 17
    """Left out because of a finding (see its `on_…` setting)."""
    DUPLICATE = 18
    """Says the same as an earlier row, or nearly so."""
    LEFT_OUT = 19
    """Not chosen: max_samples, weights, max_rows_per_source, drop_rows."""
    UNTRAINED = 20
    """Nothing of the answer is left within max_seq_length."""

    @property
    def used(self) -> bool:
        """Whether the row is in one of the three parts that are used."""
        return self < Part.UNUSABLE


class StoredRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row from how it was read to how it is given to the chat template.

    `source` is the file (or data set) and `line` the line or number in it, from 1; for pieces of
    documents `page` and `chunk` (both from 1; page 0: the file has none) and the `headings` above
    it. `raw` is the record as it was read: a JSON value, or a broken line as text. `messages` are
    the conversation after cleaning (empty for plain `text`); `before` are the texts of the messages
    (or the one text) before it, where cleaning changed anything, and `done` says what was done.
    `error` says why the row cannot be used. `derived` is the number of the row that an augmented
    one was made from. `rejected` are the messages of the worse answer of a preference pair, `label`
    the thumb of a KTO row.
    """

    source: str
    line: int
    key: str = ""
    """16 hexadecimal digits that stand for what the row says; for drop_rows and keep_rows."""
    raw: Any = None
    messages: list[dict[str, Any]] = []
    text: str | None = None
    tools: list[dict[str, Any]] | None = None
    rejected: list[dict[str, Any]] | None = None
    label: bool | None = None
    page: int = 0
    chunk: int = 0
    headings: list[str] = []
    group: str = ""
    before: list[str] | None = None
    done: list[str] = []
    error: str = ""
    language: str = ""
    derived: int | None = None


class StoredTokens(msgspec.Struct, frozen=True, array_like=True):
    """What the model sees of one row.

    `text` is the conversation as the chat template writes it, `trained` the [start, end) of it
    that is learnt, in characters. `ids` are the token ids as u32 little endian, `ends` the
    character in `text` behind each token, likewise; both before cutting to `kept` tokens.
    """

    text: str
    trained: list[tuple[int, int]]
    ids: bytes
    ends: bytes
    kept: int
    trained_tokens: int

    def token_ids(self) -> tuple[int, ...]:
        """The ids of all tokens, those that are cut off included."""
        return struct.unpack(f"<{len(self.ids) // 4}I", self.ids)

    def token_ends(self) -> tuple[int, ...]:
        """Where each token ends in `text`."""
        return struct.unpack(f"<{len(self.ends) // 4}I", self.ends)


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing worth knowing about the data. error: the row (or file) is not used.

    `row` is the number of the row in `rows.jsonl` from 0, or -1 for a finding about a whole file.
    """

    level: Level
    kind: str
    message: str
    source: str = ""
    line: int = 0
    row: int = -1

    def where(self) -> str:
        """`file:line`, as far as known; safe to show."""
        place = clean_line(self.source)
        return f"{place}:{self.line}" if self.line else place

    def __str__(self) -> str:
        where = self.where()
        return f"{where}: {self.message}" if where else self.message


@dataclass(frozen=True)
class FoundKind:
    """Findings of one kind in a report: how many, and sentences on the first ones, place included.

    Neither is cleaned.
    """

    level: str
    kind: str
    count: int
    sentences: tuple[str, ...]


def found_kinds(report: Mapping[str, Any], *, errors: int = 5) -> list[FoundKind]:
    """What a report found, a kind at a time, errors first and with up to `errors` sentences; of
    the other kinds one each."""
    shown: dict[str, list[str]] = {}
    levels = dict(report.get("finding_levels", {}))
    for finding in report["findings"]:
        place = ":".join(str(finding[part]) for part in ("source", "line") if finding.get(part))
        text = f"{place}: {finding['message']}" if place else str(finding["message"])
        shown.setdefault(finding["kind"], []).append(text)
        levels.setdefault(finding["kind"], finding["level"])
    found = []
    for kind, count in report["finding_counts"].items():
        level = levels.get(kind, "note")
        sentences = shown.get(kind, [])[: errors if level == "error" else 1]
        found.append(FoundKind(level, kind, count, tuple(sentences)))
    order = {"error": 0, "warning": 1}
    return sorted(found, key=lambda kind: order.get(kind.level, 2))


class BatchRow(msgspec.Struct, frozen=True):
    """Tokens [start, end) of a sequence are those of row `row` (from 0), from its first one on."""

    row: int
    start: int
    end: int


class Batch(msgspec.Struct, frozen=True):
    """The first batch as the model gets it; a list for each of its sequences.

    `length` is the number of tokens of a sequence. `labels` are -100 where nothing is learnt.
    `position_ids` is None where the model counts by itself.
    """

    kind: Literal["packed", "padding_free", "padded"]
    rows: list[list[BatchRow]]
    length: int
    input_ids: list[list[int]]
    labels: list[list[int]]
    position_ids: list[list[int]] | None = None

    def __post_init__(self) -> None:
        counts = {len(self.rows), len(self.input_ids), len(self.labels)}
        counts |= {len(self.position_ids)} if self.position_ids is not None else set()
        if len(counts) > 1:
            raise ValueError("its sequences are not as many everywhere")
        each = (*self.input_ids, *self.labels, *(self.position_ids or ()))
        if any(len(sequence) != self.length for sequence in each):
            raise ValueError("its sequences are not all as long as it says")
        for row in (row for sequence in self.rows for row in sequence):
            if not 0 <= row.start <= row.end <= self.length:
                raise ValueError(f"a row from token {row.start} to {row.end} is not within it")


class Dataset:
    """Prepared data in `folder` (a run's `data/`); a context manager that lets go of the files.

    Opening reads nothing but the report. Raises NotFoundError where nothing was prepared (or not
    to its end), CorruptError where a file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "manifest.json").is_file():
            raise NotFoundError(
                f"{clean_line(str(folder))} holds no prepared data",
                remedy="qtui prepare-data RUN_FILE",
            )
        self.report: dict[str, Any] = _json(folder / REPORT, dict[str, Any])
        with ExitStack() as opened:
            self._rows = opened.enter_context(closing(Records(folder / ROWS)))
            self._tokens = opened.enter_context(closing(Records(folder / TOKENS)))
            self._findings = opened.enter_context(closing(Records(folder / FINDINGS)))
            self._parts = opened.enter_context(opened_file(folder / PARTS))
            self._check()
            self._files = opened.pop_all()

    def _check(self) -> None:
        for records in (self._rows, self._tokens, self._findings):
            if records.count or records.size:
                records.check()
        counts = (self._rows.count, self._tokens.count, os.fstat(self._parts.fileno()).st_size)
        if len(set(counts)) > 1:
            raise CorruptError(
                f"{clean_line(str(self.folder))}: {counts[0]:,} rows, tokens of {counts[1]:,} "
                f"and parts of {counts[2]:,} do not belong together",
                remedy="prepare the data again",
            )

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        self._files.close()

    def __len__(self) -> int:
        """All rows that were read, used or not."""
        return self._rows.count

    def row(self, number: int) -> StoredRow:
        """Row `number` (from 0); IndexError where there is none."""
        return _decode(_row_decoder, self._rows[number], self.folder / ROWS)

    @cached_property
    def parts(self) -> bytes:
        """All of them, one byte a row: for who goes through all rows. See `part` for one."""
        return self._some_parts(0, len(self))

    def part(self, number: int) -> Part:
        """What became of row `number`; IndexError where there is none."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        found = self._some_parts(number, 1)[0]
        try:
            return Part(found)
        except ValueError as error:
            raise CorruptError(
                f"{clean_line(str(self.folder / PARTS))} holds {found}, which this version of "
                "qtui does not know",
                remedy="update qtui, or prepare the data again",
            ) from error

    def _some_parts(self, first: int, count: int) -> bytes:
        try:
            found = os.pread(self._parts.fileno(), count, first)
        except (OSError, ValueError) as error:
            raise CorruptError(
                f"{clean_line(str(self.folder / PARTS))} cannot be read: {error}"
            ) from error
        if len(found) != count:
            raise CorruptError(
                f"{clean_line(str(self.folder / PARTS))} is damaged: it ends too early",
                remedy="prepare the data again",
            )
        return found

    def tokens(self, number: int) -> StoredTokens | None:
        """What the model sees of row `number`; None for a row that is not used."""
        frame = self._tokens[number]
        return _decode(_tokens_decoder, frame, self.folder / TOKENS) if frame else None

    def next_of(self, part: Part | Collection[Part], after: int) -> int | None:
        """The first row of `part` (or one of them) behind row `after` (-1: from the start); None:
        there is none."""
        wanted = _wanted(part)
        first, size = max(after + 1, 0), _BLOCK
        while first < len(self):
            block = self._some_parts(first, min(size, len(self) - first))
            found = [at for each in wanted if (at := block.find(each)) >= 0]
            if found:
                return first + min(found)
            first, size = first + len(block), min(size * 4, _BLOCKS)
        return None

    def previous_of(self, part: Part | Collection[Part], before: int) -> int | None:
        """The last row of `part` (or one of them) in front of row `before`; None: there is none."""
        wanted = _wanted(part)
        end, size = min(before, len(self)), _BLOCK
        while end > 0:
            first = max(end - size, 0)
            block = self._some_parts(first, end - first)
            found = max((block.rfind(each) for each in wanted), default=-1)
            if found >= 0:
                return first + found
            end, size = first, min(size * 4, _BLOCKS)
        return None

    @property
    def finding_count(self) -> int:
        """Findings that are kept in full; of a kind with very many only the first ones are."""
        return self._findings.count

    def finding(self, number: int) -> Finding:
        """Finding `number` (from 0), in the order in which they were found."""
        return _decode(_finding_decoder, self._findings[number], self.folder / FINDINGS)

    def findings(self, first: int = 0, count: int | None = None) -> Iterator[Finding]:
        """The findings that are kept, from `first` on and at most `count`; read in large pieces."""
        last = self.finding_count if count is None else min(first + count, self.finding_count)
        for at in range(first, last, _TOGETHER):
            for frame in self._findings.span(at, min(_TOGETHER, last - at)):
                yield _decode(_finding_decoder, frame, self.folder / FINDINGS)

    def batch(self) -> Batch | None:
        """The first batch as the model gets it, where training was set up that far."""
        path = self.folder / BATCH
        return _json(path, Batch) if path.is_file() else None


def _wanted(part: Part | Collection[Part]) -> list[bytes]:
    return [bytes([each]) for each in ([part] if isinstance(part, Part) else part)]


class _Decoder(Protocol[T_co]):
    def decode(self, buf: bytes, /) -> T_co: ...


_row_decoder = msgspec.json.Decoder(StoredRow)
_finding_decoder = msgspec.json.Decoder(Finding)
_tokens_decoder = msgspec.msgpack.Decoder(StoredTokens)


def _decode(decoder: _Decoder[T], record: bytes, path: Path) -> T:
    try:
        return decoder.decode(record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptError(
            f"{clean_line(str(path))} is damaged: {clean_line(str(error), 200)}",
            remedy="prepare the data again",
        ) from error


def _json(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError as error:
        raise NotFoundError(f"{clean_line(str(path))} does not exist") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptError(
            f"{clean_line(str(path))} is damaged: {clean_line(str(error), 200)}",
            remedy="prepare the data again",
        ) from error

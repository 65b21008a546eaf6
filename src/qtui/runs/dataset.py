"""The prepared data in a run's folder, as anybody may read them: rows, tokens, findings, pages.

Nothing is loaded: a row is read where it lies, found by its number in an index of offsets, so that
ten million rows cost no more than ten. The worker writes these files (`stages/data/store.py`),
each whole or not at all, and `manifest.json` last.

    rows.jsonl     every row that was read, used or not, one `StoredRow` a line
    tokens.msgpack what the model sees of each row that is used, one `StoredTokens` each
    findings.jsonl what is worth knowing, one `Finding` a line, with the row's number
    parts.bin      one byte a row: a `Part`
    *.index        where each record of the file of that name begins (u64 little endian), and
                   behind the last one the size of the file
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from qtui.errors import CorruptError, NotFoundError
from qtui.terminal import clean_line

ROWS = "rows.jsonl"
TOKENS = "tokens.msgpack"
FINDINGS = "findings.jsonl"
PARTS = "parts.bin"
REPORT = "report.json"
BATCH = "batch.json"

Level = Literal["error", "warning", "note"]
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_OFFSET = struct.Struct("<Q")


class Part(IntEnum):
    """What became of a row; the byte in `parts.bin`. From `UNUSABLE` on it is not used."""

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


class _Records:
    """The records of one file by number, mapped into memory and read where they lie."""

    def __init__(self, path: Path) -> None:
        index = path.with_name(f"{path.name}.index")
        self._path = path
        self._index = _mapped(index)
        self._data = _mapped(path)
        if len(self._index) % _OFFSET.size:
            raise CorruptError(f"{clean_line(str(index))} is damaged", remedy="prepare it again")
        self.count = max(len(self._index) // _OFFSET.size - 1, 0)

    def __getitem__(self, number: int) -> bytes:
        if not 0 <= number < self.count:
            raise IndexError(number)
        start, end = struct.unpack_from("<QQ", self._index, number * _OFFSET.size)
        return bytes(self._data[start:end])

    def close(self) -> None:
        for each in (self._index, self._data):
            if isinstance(each, mmap.mmap):
                each.close()


def _mapped(path: Path) -> mmap.mmap | bytes:
    try:
        with path.open("rb") as file:
            try:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:  # an empty file cannot be mapped
                return b""
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{clean_line(str(path))} does not exist: nothing was prepared here",
            remedy="qtui prepare-data RUN_FILE",
        ) from error


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
        self.report: dict[str, Any] = _json(folder / REPORT)
        self._rows = _Records(folder / ROWS)
        self._tokens = _Records(folder / TOKENS)
        self._findings = _Records(folder / FINDINGS)
        self.parts = _mapped(folder / PARTS)
        """One byte a row, see `Part`."""
        if len(self.parts) != self._rows.count:
            raise CorruptError(
                f"{clean_line(str(folder))}: {len(self.parts)} parts for {self._rows.count} rows",
                remedy="prepare the data again",
            )

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        for records in (self._rows, self._tokens, self._findings):
            records.close()
        if isinstance(self.parts, mmap.mmap):
            self.parts.close()

    def __len__(self) -> int:
        """All rows that were read, used or not."""
        return self._rows.count

    def row(self, number: int) -> StoredRow:
        """Row `number` (from 0); IndexError where there is none."""
        return _decode(_row_decoder, self._rows[number], self.folder / ROWS)

    def part(self, number: int) -> Part:
        """What became of row `number`."""
        return Part(self.parts[number])

    def tokens(self, number: int) -> StoredTokens | None:
        """What the model sees of row `number`; None for a row that is not used."""
        frame = self._tokens[number]
        return _decode(_tokens_decoder, frame, self.folder / TOKENS) if frame else None

    def next_of(self, part: Part, after: int) -> int | None:
        """The first row of `part` behind row `after` (-1: from the start); None: there is none."""
        found = self.parts.find(bytes([part]), after + 1)
        return found if found >= 0 else None

    def previous_of(self, part: Part, before: int) -> int | None:
        """The last row of `part` in front of row `before`; None: there is none."""
        found = self.parts.rfind(bytes([part]), 0, max(before, 0))
        return found if found >= 0 else None

    @property
    def finding_count(self) -> int:
        """Findings that are kept in full; of a kind with very many only the first ones are."""
        return self._findings.count

    def finding(self, number: int) -> Finding:
        """Finding `number` (from 0), in the order in which they were found."""
        return _decode(_finding_decoder, self._findings[number], self.folder / FINDINGS)

    def findings(self) -> Iterator[Finding]:
        """All findings that are kept."""
        return (self.finding(number) for number in range(self.finding_count))

    def batch(self) -> dict[str, Any] | None:
        """The first batch as the model gets it, where training was set up that far."""
        path = self.folder / BATCH
        return _json(path) if path.is_file() else None


class _Decoder(Protocol[T_co]):
    def decode(self, buf: bytes, /) -> T_co: ...


_row_decoder = msgspec.json.Decoder(StoredRow)
_finding_decoder = msgspec.json.Decoder(Finding)
_tokens_decoder = msgspec.msgpack.Decoder(StoredTokens)


def _decode(decoder: _Decoder[T], record: bytes, path: Path) -> T:
    try:
        return decoder.decode(record)
    except msgspec.MsgspecError as error:
        raise CorruptError(
            f"{clean_line(str(path))} is damaged: {clean_line(str(error), 200)}",
            remedy="prepare the data again",
        ) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError as error:
        raise NotFoundError(f"{clean_line(str(path))} does not exist") from error
    except msgspec.MsgspecError as error:
        raise CorruptError(f"{clean_line(str(path))} is damaged") from error
    return found

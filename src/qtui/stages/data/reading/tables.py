"""Rows of tables: CSV and TSV as texts under the names of their header, Parquet and Arrow by batch.

Nothing in a cell is interpreted: numbers, dates and formulas are the text that was written, and an
empty cell is a missing value (None). A row that does not fit the header costs itself only, and says
where it stands; so does a quote that is never closed, which would swallow the rows behind it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from qtui.errors import InputError
from qtui.stages.data.reading.arrow_tables import arrow_rows
from qtui.stages.data.reading.compressed import FindingSink, Place, is_damaged, told
from qtui.stages.data.reading.sources import Source
from qtui.stages.data.reading.table_lines import Lines
from qtui.stages.data.reading.utf8 import opened_as_utf8
from qtui.stages.data.rows import Record
from qtui.terminal import clean_line

MAX_CELL_CHARACTERS = 16 * 2**20
_DELIMITERS = ",;\t|"
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SAMPLED_LINES = 100
_SEP = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # what spreadsheets write above the header
_NUMBER = re.compile(r"[-+]?[\d.,]*\d[\d.,]*(e[-+]?\d+)?%?", re.IGNORECASE)
_LONGEST_NAME = 100


def read(source: Source, findings: FindingSink, place: Place | None = None) -> Iterator[Record]:
    """Yield the rows of one table; `line` is the line in the file, or the row's number, from 1.
    `place` follows the reading.

    What cannot be read is a finding: `ragged-row`, `invalid-utf8` and `long-line` for one row,
    `unreadable-file` for the file.
    """
    rows = arrow_rows if source.kind == "parquet" else _text_rows
    return told(rows(source, findings, place or Place()), source.name, findings)


def _text_rows(source: Source, findings: FindingSink, place: Place) -> Iterator[Record]:
    assert source.path is not None
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    before = source.path.stat()
    with opened_as_utf8(source.path, source.compression, source.name, findings) as stream:
        place.follow(stream)
        lines = Lines(stream, source.name, findings)
        sample = lines.peek(_SAMPLED_LINES)
        if not any(line.strip() for line in sample):
            if not is_damaged(stream):
                findings.add("error", "empty-file", "the file is empty", source.name)
            return
        if "\r" in sample[0].rstrip("\r\n"):
            raise InputError(
                f"{clean_line(source.name)} has line ends of CR alone",
                remedy="Save it with ordinary line ends.",
            )
        named = _SEP.fullmatch(sample[0])
        if named is not None:
            next(lines)
        delimiter = named.group(1) if named else _delimiter(sample, source, findings)
        table = _Table(lines, delimiter, source.name, findings)
        yield from table.records()
    after = source.path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        message = "the file changed while it was read"
        findings.add("warning", "changed-while-read", message, source.name)


def _delimiter(sample: list[str], source: Source, findings: FindingSink) -> str:
    """What separates the cells: whatever gives most rows as many cells as the header has."""
    usual = "\t" if source.kind == "tsv" else ","
    order = usual + _DELIMITERS.replace(usual, "")
    found = max(order, key=lambda delimiter: _agreement(sample, delimiter))
    if found != usual:
        message = f"the cells are separated by {_NAMES[found]}s"
        findings.add("note", "delimiter", message, source.name)
    return found


def _agreement(sample: list[str], delimiter: str) -> float:
    """The share of rows with as many cells as the first, 0 where that has only one."""
    try:
        rows = [row for row in csv.reader(sample, delimiter=delimiter) if row]
    except csv.Error:
        return 0.0
    cells = [len(row) for row in (rows[:-1] if len(rows) > 2 else rows)]  # the last may be cut off
    return cells.count(cells[0]) / len(cells) if cells and cells[0] > 1 else 0.0


class _Table:
    """The rows of one table of texts."""

    def __init__(self, lines: Lines, delimiter: str, source: str, findings: FindingSink) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._source = source
        self._findings = findings
        self._reader = csv.reader(lines, delimiter=delimiter, strict=True)
        self._first = 0  # line on which the row begins that was read last
        self._losses = 0

    def records(self) -> Iterator[Record]:
        """All rows under the names of the header."""
        header = self._cells(0)
        if header is None:
            return
        names = self._names(header)
        rows = blank = 0
        while (cells := self._cells(len(names))) is not None:
            rows += 1
            if len(cells) == len(names):
                row = {name: cell or None for name, cell in zip(names, cells, strict=True)}
                if any(row.values()):
                    yield Record(row, self._first)
                else:
                    blank += 1
        if not rows and not self._losses:
            self._findings.add("warning", "no-rows", "the table has no rows", self._source)
        if blank:
            message = f"{blank} rows without anything in any cell were left out"
            self._findings.add("note", "blank-rows", message, self._source)

    def _names(self, header: list[str]) -> list[str]:
        """The names of the columns, each different; says what had to be done for that."""
        names: list[str] = []
        for number, cell in enumerate(header, start=1):
            name = cell.strip() or f"column_{number}"
            if not cell.strip():
                message = f"column {number} has no name; it is called {name}"
                self._findings.add("note", "unnamed-column", message, self._source, self._first)
            if name in names:
                first, copies = name, 2
                while (name := f"{first}_{copies}") in names:
                    copies += 1
                message = f"the column {first} stands twice; the one behind is called {name}"
                self._findings.add(
                    "warning", "duplicate-column", message, self._source, self._first
                )
            names.append(name)
        odd = [cell for cell in header if _looks_like_data(cell)]
        if odd:
            message = (
                f"the first line looks like a row (it has {clean_line(odd[0], 40)!r}), "
                "and is taken for the names of the columns: put a line of names before it"
            )
            self._findings.add("warning", "no-header", message, self._source, self._first)
        return names

    def _cells(self, wanted: int) -> list[str] | None:
        """The cells of the next row, None at the end; none where it has not as many as `wanted`.

        Empty lines are passed over, and empty cells behind the last one wanted are cut off.
        """
        while True:
            self._first = self._lines.begin_row()
            try:
                cells = next(self._reader)
            except StopIteration:
                return None
            except csv.Error as error:
                mended = self._without_quotes(wanted)
                if mended is None:
                    self._lost(_said(error))
                self._read_on()
                if mended is None:
                    continue
                cells = mended
            if not cells:
                continue
            if not wanted or len(cells) == wanted:
                return cells
            if len(cells) > wanted and not any(cells[wanted:]):
                return cells[:wanted]
            message = f"the row has {len(cells)} cells, the header has {wanted}"
            if len(cells) > wanted:
                name = _NAMES.get(self._delimiter, self._delimiter)
                message += f"; cells with a {name} in them need quotes around them"
            self._lost(message)
            return []

    def _without_quotes(self, wanted: int) -> list[str] | None:
        """The first line taken as a row whose quotes are letters, as is usual between tabs."""
        if self._delimiter != "\t":
            return None
        cells = self._lines.taken[0].rstrip("\r\n").split("\t")
        return cells if len(cells) == wanted else None

    def _read_on(self) -> None:
        """Go on at the line behind the first one of the row that could not be read."""
        self._lines.give_back(self._lines.taken[1:])
        self._reader = csv.reader(self._lines, delimiter=self._delimiter, strict=True)

    def _lost(self, message: str) -> None:
        self._losses += 1
        self._findings.add("error", "ragged-row", message, self._source, self._first)


def _said(error: csv.Error) -> str:
    if "expected after" in str(error) or "end of data" in str(error):
        return "a quote is not closed, or one inside a cell is not doubled"
    return f"cannot be read: {error}"


def _looks_like_data(cell: str) -> bool:
    name = cell.strip()
    return len(name) > _LONGEST_NAME or "\n" in name or _NUMBER.fullmatch(name) is not None

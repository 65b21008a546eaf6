"""Writes the files of prepared data: whole or not at all, a record at a time, in bounded memory.

Rows of token ids for the trainer are an Arrow stream, memory-mapped by `datasets`, so that their
number costs no memory and no copy lands in a cache outside the run. Everything else is records
with an index of where each begins (see `runs/dataset.py`, which reads them).
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

_ROWS_A_BLOCK = 1000


class TokenWriter:
    """Writes token rows to `path`; the file appears when the block ends without an error.

    No file appears when no row was added.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow

        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._arrow: Any = pyarrow
        tokens = pyarrow.list_(pyarrow.int32())
        self._schema = pyarrow.schema([("input_ids", tokens), ("labels", tokens)])
        self._ids: list[Sequence[int]] = []
        self._labels: list[Sequence[int]] = []
        self._rows = 0

    def __enter__(self) -> TokenWriter:
        self._file = self._part.open("wb")
        self._stream = self._arrow.ipc.new_stream(self._file, self._schema)
        return self

    def add(self, input_ids: Sequence[int], labels: Sequence[int]) -> None:
        """Add one row of ids and labels of the same length."""
        self._ids.append(input_ids)
        self._labels.append(labels)
        if len(self._ids) == _ROWS_A_BLOCK:
            self._write()

    def _write(self) -> None:
        batch = self._arrow.record_batch(
            [_lists(self._arrow, self._ids), _lists(self._arrow, self._labels)],
            schema=self._schema,
        )
        self._stream.write_batch(batch)
        self._rows += len(self._ids)
        self._ids, self._labels = [], []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self._ids:
            self._write()
        self._stream.close()
        sync(self._file)
        self._file.close()
        if error is None and self._rows:
            self._part.replace(self._path)
        else:
            self._part.unlink()


def _lists(arrow: Any, rows: list[Sequence[int]]) -> Any:
    """A column of lists, made from flat numbers: several times as fast as from nested lists."""
    ends = array("i", [0])
    flat = array("i")
    for row in rows:
        flat.extend(row)
        ends.append(len(flat))
    offsets = arrow.Array.from_buffers(arrow.int32(), len(ends), [None, arrow.py_buffer(ends)])
    values = arrow.Array.from_buffers(arrow.int32(), len(flat), [None, arrow.py_buffer(flat)])
    return arrow.ListArray.from_arrays(offsets, values)


def open_rows(path: Path) -> Any:
    """The rows that `TokenWriter` wrote, as a memory-mapped `datasets.Dataset`."""
    from datasets import Dataset

    return Dataset.from_file(str(path))


class RecordWriter:
    """Writes records to `path` and where each ends to `path`.index; a context manager.

    After `flush` what was added may be read (`runs.records.Records`) while more is added. Files of
    these names that are there are left to whoever else has them (see `collected.link`).
    """

    def __init__(self, path: Path) -> None:
        index = path.with_name(f"{path.name}.index")
        for name in (path, index):
            name.unlink(missing_ok=True)
        self._file = path.open("wb")
        self._index = index.open("wb")
        self._end = 0
        self._ends = array("Q", [0])
        self.count = 0

    def add(self, record: bytes) -> None:
        """Add one record, which may be empty."""
        self._file.write(record)
        self._end += len(record)
        self._ends.append(self._end)
        self.count += 1
        if len(self._ends) >= 8192:
            self._write_index()

    def _write_index(self) -> None:
        self._index.write(self._ends.tobytes())
        self._ends = array("Q")

    def flush(self) -> None:
        """Make everything added so far readable."""
        self._write_index()
        self._file.flush()
        self._index.flush()

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._write_index()
        for file in (self._file, self._index):
            sync(file)
            file.close()


def sync(file: Any) -> None:
    """Flush a file to disk."""
    file.flush()
    os.fsync(file.fileno())


def write_atomically(path: Path, parts: bytes | Iterable[bytes]) -> None:
    """Write `path` under another name, flush it to disk, then put it in place."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        for piece in [parts] if isinstance(parts, bytes) else parts:
            file.write(piece)
        sync(file)
    part.replace(path)

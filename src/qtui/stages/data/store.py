"""Files of prepared rows: written whole or not at all, and opened without being read.

Rows of token ids are an Arrow stream, memory-mapped by `datasets`, so that their number costs no
memory and no copy lands in a cache outside the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

_ROWS_A_BLOCK = 1000


class RowWriter:
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
        self._ids: list[list[int]] = []
        self._labels: list[list[int]] = []
        self._rows = 0

    def __enter__(self) -> RowWriter:
        self._file = self._part.open("wb")
        self._stream = self._arrow.ipc.new_stream(self._file, self._schema)
        return self

    def add(self, input_ids: list[int], labels: list[int]) -> None:
        """Add one row of ids and labels of the same length."""
        self._ids.append(input_ids)
        self._labels.append(labels)
        if len(self._ids) == _ROWS_A_BLOCK:
            self._write()

    def _write(self) -> None:
        batch = self._arrow.record_batch([self._ids, self._labels], schema=self._schema)
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
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if error is None and self._rows:
            self._part.replace(self._path)
        else:
            self._part.unlink()


def open_rows(path: Path) -> Any:
    """The rows that `RowWriter` wrote, as a memory-mapped `datasets.Dataset`."""
    from datasets import Dataset

    return Dataset.from_file(str(path))


def write_atomically(path: Path, parts: bytes | Iterable[bytes]) -> None:
    """Write `path` under another name, flush it to disk, then put it in place."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        for piece in [parts] if isinstance(parts, bytes) else parts:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)

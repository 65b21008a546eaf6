"""Rows of Parquet and Arrow files, a batch at a time and without a copy in a cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qtui.errors import InputError
from qtui.stages.data.reading.compressed import FindingSink, Place
from qtui.stages.data.reading.sources import Source
from qtui.stages.data.rows import Record
from qtui.terminal import clean_line

_BATCH = 1000


def arrow_rows(source: Source, findings: FindingSink, place: Place) -> Iterator[Record]:
    """Yield the rows of one file; `line` is the row's number from 1, and `place` follows.

    A row with text that is no UTF-8 is a finding. Raises InputError where the file, or the rest of
    it, cannot be read.
    """
    import pyarrow

    assert source.path is not None
    number = 0
    try:
        with _batches(source.path, place) as batches:
            for batch in batches:
                for value in _values(batch):
                    number += 1
                    if value is None:
                        message = "a text in the row is not valid UTF-8"
                        findings.add("error", "invalid-utf8", message, source.name, number)
                    else:
                        yield Record(value, number)
    except (pyarrow.ArrowException, EOFError, MemoryError, ValueError) as error:
        suffix = source.path.suffix[1:].lower()
        what = suffix if suffix in ("parquet", "arrow", "feather") else "parquet"
        read = f" behind row {number}" if number else ""
        raise InputError(
            f"{clean_line(source.name)} is no readable {what} file{read}: "
            f"{clean_line(str(error), 200) or type(error).__name__}"
        ) from error
    if not number:
        findings.add("warning", "no-rows", "the table has no rows", source.name)


def _values(batch: Any) -> Iterator[dict[str, Any] | None]:
    """The rows of a batch, None for one that holds bytes that are no text."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for row in range(batch.num_rows):
            try:
                yield batch.slice(row, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


@contextmanager
def _batches(path: Path, place: Place) -> Iterator[Iterator[Any]]:
    import pyarrow
    import pyarrow.parquet

    with path.open("rb") as file:
        begins = file.read(6)
    if begins[:4] == b"PAR1":
        with pyarrow.parquet.ParquetFile(path) as table:
            rows = table.metadata.num_rows
            yield _counted(table.iter_batches(batch_size=_BATCH), rows, place)
    elif begins == b"ARROW1":  # the random-access layout
        with pyarrow.memory_map(str(path)) as mapped:
            yield _numbered(pyarrow.ipc.open_file(mapped), place)
    else:  # a stream, which is what `datasets` writes
        with pyarrow.memory_map(str(path)) as mapped, pyarrow.ipc.open_stream(mapped) as reader:
            place.tell = mapped.tell
            yield iter(reader)


def _numbered(whole: Any, place: Place) -> Iterator[Any]:
    for number in range(whole.num_record_batches):
        place.share(number + 1, whole.num_record_batches)
        yield whole.get_batch(number)


def _counted(batches: Iterator[Any], rows: int, place: Place) -> Iterator[Any]:
    done = 0
    for batch in batches:
        done += batch.num_rows
        place.share(done, rows)
        yield batch

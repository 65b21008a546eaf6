"""Sources of all kinds, one after another in batches, and how far the reading has come."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from qtui.config.models import DataConfig
from qtui.stages.data.documents.documents import Documents
from qtui.stages.data.reading.read import Reading, size_of
from qtui.stages.data.reading.sources import Source, locate
from qtui.stages.data.rows import Findings

# Random text, which packs badly: a packed file has to be long enough to be read in several steps.
ROWS = [{"prompt": f"question {n}", "completion": f"{n * 7919**9:x}" * 20} for n in range(4000)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def read(sources: list[Source], rows: int = 10**9) -> tuple[int, list[int], int]:
    """Rows that were read, how far the reading was each time that it was said, and the total."""
    config = DataConfig()
    told: list[tuple[str, int, int, str]] = []
    numbers: list[int] = []

    def room() -> int:
        return rows - sum(numbers)

    with Documents(sources, config, processes=1) as documents:
        reading = Reading(sources, config, documents, lambda *args: told.append(args))
        for batch in reading.batches(room):
            numbers += [len(batch)]
    assert {(what, unit) for what, _, _, unit in told} <= {("read", "bytes")}
    (total,) = {total for _, _, total, _ in told} or {0}
    return sum(numbers), [done for _, done, _, _ in told], total


def located(path: Path) -> list[Source]:
    return locate(str(path), DataConfig(), Findings())


def table() -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["prompt", "completion"])
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue()


def written(folder: Path, name: str) -> Path:
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(LINES.encode()))
    elif name.endswith("utf16.csv"):
        path.write_bytes(table().encode("utf-16"))
    else:
        texts = {".jsonl": LINES, ".csv": table(), ".json": json.dumps(ROWS)}
        path.write_text(texts[path.suffix])
    return path


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.json", "x.csv", "x.utf16.csv"])
def test_progress_grows_with_what_is_read(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name)
    rows, told, total = read(located(path))
    assert rows == len(ROWS)
    assert total == path.stat().st_size
    assert told == sorted(set(told))
    assert told[-1] == total
    assert len(told) >= 3


@pytest.mark.train
@pytest.mark.parametrize("name", ["x.parquet", "x.feather", "x.arrow", "saved"])
def test_progress_in_tables_of_columns(tmp_path: Path, name: str) -> None:
    import datasets
    import pyarrow.feather
    import pyarrow.parquet

    path, columns = tmp_path / name, pyarrow.Table.from_pylist(ROWS)
    if name == "saved":
        datasets.Dataset(columns).save_to_disk(path)
    elif name == "x.parquet":
        pyarrow.parquet.write_table(columns, path)
    elif name == "x.feather":
        pyarrow.feather.write_feather(columns, path, compression="uncompressed", chunksize=500)
    else:
        with (
            pyarrow.OSFile(str(path), "wb") as file,
            pyarrow.ipc.new_stream(file, columns.schema) as writer,
        ):
            writer.write_table(columns, max_chunksize=500)
    rows, told, total = read(located(path))
    files = path.rglob("*.arrow") if path.is_dir() else [path]
    assert total == sum(file.stat().st_size for file in files)
    assert rows == len(ROWS)
    assert told == sorted(set(told))
    assert told[-1] == total
    assert len(told) >= 3


def test_progress_over_several_sources_is_one(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.csv"):
        written(tmp_path, name)
    for name in ("c.md", "d.md"):
        (tmp_path / name).write_text("Some words that are a text.\n")
    (tmp_path / "e.csv").write_bytes(b"\x7fELF" + bytes(2000))
    sources = located(tmp_path)
    sizes = [source.path.stat().st_size for source in sources if source.path]
    rows, told, total = read(sources)
    assert rows == 2 * len(ROWS) + 2
    assert told == sorted(set(told))
    assert told[-1] == total == sum(sizes)
    # Each source counts as a whole once it is read, whatever kind it is.
    assert {sum(sizes[:count]) for count in range(1, len(sizes) + 1)} <= set(told)


def test_progress_goes_on_where_other_sources_ended(tmp_path: Path) -> None:
    config, told = DataConfig(), list[tuple[Any, ...]]()
    both = [located(written(tmp_path, name)) for name in ("x.jsonl", "y.csv")]
    sizes = [sum(map(size_of, sources)) for sources in both]
    for number, sources in enumerate(both):
        with Documents(sources, config, processes=1) as documents:
            reading = Reading(sources, config, documents, lambda *args: told.append(args),
                              before=sum(sizes[:number]), total=sum(sizes))  # fmt: skip
            list(reading.batches(lambda: 10**9))
    steps = [done for _, done, _, _ in told]
    assert steps == sorted(set(steps))
    assert sizes[0] in steps
    assert {total for _, _, total, _ in told} == {sum(sizes)} == {steps[-1]}


def test_progress_stays_within_what_was_there_at_the_beginning(tmp_path: Path) -> None:
    path = written(tmp_path, "x.csv")
    (source,) = located(path)
    told: list[Any] = []
    with Documents([source], DataConfig(), processes=1) as documents:
        reading = Reading([source], DataConfig(), documents, lambda *args: told.append(args))
        path.write_text(table() + table())
        list(reading.batches(lambda: 10**9))
    assert max(done for _, done, _, _ in told) == told[0][2]


def test_reading_ends_where_no_more_rows_are_wanted(tmp_path: Path) -> None:
    rows, told, total = read(located(written(tmp_path, "x.jsonl")), rows=700)
    assert rows == 700
    assert told[-1] < total

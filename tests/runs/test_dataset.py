"""Prepared data read where they lie: rows, parts, findings, and files that do not fit together."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.errors import CorruptError, NotFoundError
from qtui.runs import dataset
from qtui.runs.dataset import BATCH, FINDINGS, PARTS, REPORT, ROWS, TOKENS, Dataset, Part
from qtui.runs.records import Records
from tests.dashboard import prepared

PART_NAMES = st.sampled_from(list(Part))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = prepared.tickets()
    folder = prepared.write(tmp_path / "data", made)
    prepared.batch(folder, made)
    return folder


def test_everything_comes_back_as_it_was_written(folder: Path) -> None:
    made = prepared.tickets()
    with Dataset(folder) as data:
        assert [data.row(number) for number in range(len(data))] == made.rows
        assert [data.part(number) for number in range(len(data))] == made.parts
        assert [data.tokens(number) for number in range(len(data))] == made.tokens
        assert list(data.findings()) == made.findings
        assert [data.finding(at) for at in range(data.finding_count)] == made.findings
        assert bytes(made.parts) == data.parts
        assert data.report["rows_read"] == len(data) == len(made.rows)


def test_no_row_before_the_first_and_behind_the_last(folder: Path) -> None:
    with Dataset(folder) as data:
        for number in (-1, len(data)):
            for read in (data.row, data.tokens, data.part):
                with pytest.raises(IndexError):
                    read(number)


@given(st.lists(PART_NAMES, max_size=40), st.sets(PART_NAMES, min_size=1), st.integers(-3, 45))
def test_the_next_and_the_previous_row_of_some_parts(
    tmp_path_factory: pytest.TempPathFactory, parts: list[Part], wanted: set[Part], at: int
) -> None:
    made = prepared.Made()
    for number, part in enumerate(parts):
        made.add(prepared.conversation("a", number + 1, "b", str(number)), part)
    folder = prepared.write(tmp_path_factory.mktemp("parts"), made)
    fitting = [number for number, part in enumerate(parts) if part in wanted]
    before_block, dataset._BLOCK = dataset._BLOCK, 7
    try:
        with Dataset(folder) as data:
            behind = next((n for n in fitting if n > at), None)
            ahead = next((n for n in reversed(fitting) if n < at), None)
            assert data.next_of(wanted, at) == behind
            assert data.previous_of(wanted, at) == ahead
            one = min(wanted)
            assert data.next_of(one, -1) == (parts.index(one) if one in parts else None)
    finally:
        dataset._BLOCK = before_block


def test_findings_are_read_from_anywhere(folder: Path) -> None:
    found = prepared.tickets().findings
    with Dataset(folder) as data:
        assert list(data.findings(3, 4)) == found[3:7]
        assert list(data.findings(len(found) - 1, 50)) == found[-1:]
        assert list(data.findings(len(found))) == []


def test_nothing_prepared(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no prepared data"):
        Dataset(tmp_path)


@pytest.mark.parametrize("name", [ROWS, TOKENS, FINDINGS, PARTS, REPORT, f"{ROWS}.index"])
def test_a_file_that_is_missing(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(NotFoundError, match=name.replace(".", r"\.")):
        Dataset(folder)


@pytest.mark.parametrize(
    ("name", "size"),
    [(ROWS, -1), (TOKENS, -3), (FINDINGS, -1), (PARTS, -1), (f"{ROWS}.index", -8),
     (f"{TOKENS}.index", -16), (f"{ROWS}.index", -3)],
)  # fmt: skip
def test_a_file_that_was_cut_off(folder: Path, name: str, size: int) -> None:
    path = folder / name
    os.truncate(path, path.stat().st_size + size)
    with pytest.raises(CorruptError):
        Dataset(folder)


def test_a_file_that_is_cut_off_while_it_is_read(folder: Path) -> None:
    with Dataset(folder) as data:
        os.truncate(folder / ROWS, 10)
        with pytest.raises(CorruptError, match="ends too early"):
            data.row(len(data) - 1)
        os.truncate(folder / PARTS, 3)
        with pytest.raises(CorruptError, match="ends too early"):
            data.part(20)


@pytest.mark.parametrize("wrong", [(1 << 60, 1 << 61), (50, 20), (0, (1 << 40))])
def test_an_index_that_leads_astray(folder: Path, wrong: tuple[int, int]) -> None:
    path = folder / f"{ROWS}.index"
    ends = bytearray(path.read_bytes())
    struct.pack_into("<QQ", ends, 4 * 8, *wrong)
    path.write_bytes(ends)
    with Dataset(folder) as data, pytest.raises(CorruptError, match="index"):
        data.row(4)


@pytest.mark.parametrize(
    ("name", "broken"),
    [(ROWS, b'{"source": 3'), (TOKENS, b"\xff\xff\xff"), (FINDINGS, b"[[[[[[["),
     (ROWS, b'{"source": "a", "line": 1, "raw": "\xff"}')],
)  # fmt: skip
def test_a_record_that_is_damaged(folder: Path, name: str, broken: bytes) -> None:
    prepared.records(folder / name, [broken] * (48 if name != FINDINGS else 3))
    with Dataset(folder) as data, pytest.raises(CorruptError, match="damaged"):
        read = {ROWS: data.row, TOKENS: data.tokens, FINDINGS: data.finding}[name]
        read(2)


def test_a_part_of_a_newer_version(folder: Path) -> None:
    (folder / PARTS).write_bytes(bytes([200]) * 48)
    with Dataset(folder) as data, pytest.raises(CorruptError, match="does not know"):
        data.part(0)


def test_after_closing(folder: Path) -> None:
    data = Dataset(folder)
    data.close()
    for read in (data.row, data.tokens, data.part, data.finding):
        with pytest.raises(CorruptError, match="cannot be read"):
            read(0)


def test_a_dataset_that_cannot_be_opened_keeps_no_file_open(folder: Path) -> None:
    (folder / PARTS).unlink()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(NotFoundError):
        Dataset(folder)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_first_batch(folder: Path) -> None:
    with Dataset(folder) as data:
        batch = data.batch()
        assert batch is not None
        first = batch.rows[1][0]
        tokens = data.tokens(first.row)
        assert tokens is not None
        assert batch.input_ids[1][first.start : first.end] == list(tokens.token_ids())
        (folder / BATCH).unlink()
        assert data.batch() is None


@pytest.mark.parametrize(
    "change",
    [{"length": 3}, {"labels": []}, {"kind": "other"}, {"input_ids": [[1], [2]]},
     {"rows": [[{"row": 0, "start": 5, "end": 4}], []]},
     {"rows": [[{"row": 0, "start": 0, "end": 4000}], []]}, {"position_ids": [[1]]}],
)  # fmt: skip
def test_a_batch_that_does_not_fit(folder: Path, change: dict[str, object]) -> None:
    path = folder / BATCH
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with Dataset(folder) as data, pytest.raises(CorruptError, match=r"batch\.json is damaged"):
        data.batch()


def test_records_are_read_while_more_are_written(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    prepared.records(path, [b"one", b"", b"three"])
    with path.open("ab") as file:
        file.write(b"half of the n")
    records = Records(path)
    assert [records[at] for at in range(3)] == records.span(0, 10) == [b"one", b"", b"three"]
    assert records.span(1, 1) == [b""]
    assert records.span(3, 1) == []
    records.close()

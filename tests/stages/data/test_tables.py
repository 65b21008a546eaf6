"""Tables: every cell as it was written, every row that does not fit named by its line."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.config.models import DataConfig
from qtui.stages.data.reading import table_lines, tables
from qtui.stages.data.reading.sources import locate
from qtui.stages.data.rows import Findings, Record

DATA = Path(__file__).parents[3].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder of real files is absent")


def read(path: Path) -> tuple[list[Record], Findings]:
    findings = Findings()
    (source,) = locate(str(path), DataConfig(), findings)
    return list(tables.read(source, findings)), findings


def written(path: Path, text: str | bytes) -> tuple[list[Record], Findings]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(path)


def values(records: list[Record]) -> list[Any]:
    return [record.value for record in records]


def told(findings: Findings) -> list[tuple[str, int]]:
    return [(finding.kind, finding.line) for finding in findings.kept]


def test_cells_are_the_text_that_was_written(tmp_path: Path) -> None:
    records, findings = written(
        tmp_path / "x.csv",
        'prompt,completion,score\n"line one\nline two, ""quoted""",=1+1,007\n\n,+49 30 1234,1e5\n',
    )
    assert values(records) == [
        {"prompt": 'line one\nline two, "quoted"', "completion": "=1+1", "score": "007"},
        {"prompt": None, "completion": "+49 30 1234", "score": "1e5"},
    ]
    assert [record.line for record in records] == [2, 5]
    assert told(findings) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", "a;b\n1,5;2\n2,5;3\n"),
        ("x.csv", "a\tb\n1,5\t2\n2,5\t3\n"),
        ("x.csv", "sep=;\na;b\n1,5;2\n2,5;3\n"),
        ("x.csv", "a|b\n1,5|2\n2,5|3"),
        ("x.tsv", "a\tb\r\n1,5\t2\r\n2,5\t3\r\n"),
        ("x.csv", 'a,b\n"1,5",2\n"2,5",3\n'),
        ("x.csv", "\ufeffa;b\n1,5;2\n2,5;3\n"),
    ],
)
def test_the_delimiter_is_told_from_the_rows(tmp_path: Path, name: str, text: str) -> None:
    records, _ = written(tmp_path / name, text)
    assert values(records) == [{"a": "1,5", "b": "2"}, {"a": "2,5", "b": "3"}]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_wide_encodings(tmp_path: Path, encoding: str) -> None:
    records, _ = written(tmp_path / "x.csv", "Frage,Antwort\nGrüße,地図\n".encode(encoding))
    assert values(records) == [{"Frage": "Grüße", "Antwort": "地図"}]


@needs_data
def test_real_tables_in_old_encodings() -> None:
    records, findings = read(DATA / "docs/encodings/markitdown_mskanji_cp932.csv")
    assert values(records) == [
        {"名前": "佐藤太郎", "年齢": "30", "住所": "東京"},
        {"名前": "三木英子", "年齢": "25", "住所": "大阪"},
        {"名前": "髙橋淳", "年齢": "35", "住所": "名古屋"},
    ]
    assert [finding.message for finding in findings.kept] == ["read as CP932"]
    records, findings = read(DATA / "docs/encodings/docutils_utf-16be.csv")
    assert len(records) > 1
    assert told(findings)[0] == ("encoding", 0)


def test_rows_that_do_not_fit_are_named_by_their_line(tmp_path: Path) -> None:
    records, findings = written(tmp_path / "x.csv", "a,b\n1,2\n3\n4,5,6\n7,8,,\n9,10\n,\n11,12\n")
    assert [tuple(value.values()) for value in values(records)] == [
        ("1", "2"),
        ("7", "8"),
        ("9", "10"),
        ("11", "12"),
    ]
    assert told(findings) == [("ragged-row", 3), ("ragged-row", 4), ("blank-rows", 0)]
    assert "has 3 cells, the header has 2; cells with a comma" in findings.kept[1].message


def test_a_quote_that_is_never_closed_costs_its_row_only(tmp_path: Path) -> None:
    rows = [f"{i},row {i}" for i in range(50)]
    rows[10] = '10,"row 10'
    rows[30] = '30,"row 30'
    records, findings = written(tmp_path / "x.csv", "\n".join(["a,b", *rows]))
    read_rows = {value["a"]: value["b"] for value in values(records)}
    assert told(findings) == [("ragged-row", 12), ("ragged-row", 32)]
    assert read_rows == {str(i): f"row {i}" for i in range(50) if i not in (10, 30)}


def test_quotes_between_tabs_may_be_letters(tmp_path: Path) -> None:
    records, findings = written(
        tmp_path / "x.tsv", 'a\tb\n1\t"Hello\n2\tfine\n3\t"x" y\n4\t"a	b"\n'
    )
    assert [value["b"] for value in values(records)] == ['"Hello', "fine", '"x" y', "a\tb"]
    assert told(findings) == []


def test_a_hundred_columns_doubled_and_nameless(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(100)]
    names[7] = names[8] = "text"
    names[50] = " "
    records, findings = written(
        tmp_path / "x.csv", ",".join(names) + "\n" + ",".join(map(str, range(100))) + "\n"
    )
    (value,) = values(records)
    assert len(value) == 100
    assert (value["text"], value["text_2"], value["column_51"]) == ("7", "8", "50")
    assert told(findings) == [("duplicate-column", 1), ("unnamed-column", 1)]


def test_a_first_line_that_is_a_row_is_said(tmp_path: Path) -> None:
    _, findings = written(tmp_path / "x.csv", "What is 2 + 2?,4\nWhat is 3 + 3?,6\n")
    assert told(findings) == [("no-header", 1)]
    assert "put a line of names before it" in findings.kept[0].message


def test_bad_bytes_and_zeros_in_a_cell(tmp_path: Path) -> None:
    text = "a,b\nä,1\nö,2\n".encode() + b"caf\xe9,3\n" + b"x\0y,4\n"
    records, findings = written(tmp_path / "x.csv", text)
    assert [value["a"] for value in values(records)] == ["ä", "ö", "x\0y"]
    assert told(findings) == [("invalid-utf8", 4)]


def test_cells_and_lines_beyond_all_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_CELL_CHARACTERS", 1000)
    monkeypatch.setattr(table_lines, "MAX_LINE_BYTES", 5000)
    rows = ["a,b", "1," + "x" * 2000, "2,fine", "3," + "x" * 6000, '4,"' + "\n" * 2000, "5,good"]
    records, findings = written(tmp_path / "x.csv", "\n".join(rows))
    assert [value["a"] for value in values(records)] == ["2", "5"]
    assert sorted(told(findings), key=lambda one: one[1]) == [
        ("ragged-row", 2),
        ("long-line", 4),
        ("ragged-row", 5),
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff"])
def test_an_empty_table_is_said(tmp_path: Path, text: str) -> None:
    records, findings = written(tmp_path / "x.csv", text)
    assert (records, told(findings)) == ([], [("empty-file", 0)])


def test_a_header_alone_holds_no_rows(tmp_path: Path) -> None:
    records, findings = written(tmp_path / "x.csv", "a,b")
    assert (records, told(findings)) == ([], [("no-rows", 0)])


@pytest.mark.parametrize(
    ("text", "what"),
    [(b"a,b\r1,2\r", "line ends of CR alone"), (b"\x7fELF\0\0\0\0" * 50, "a binary file")],
)
def test_what_is_no_table_is_named(tmp_path: Path, text: bytes, what: str) -> None:
    records, findings = written(tmp_path / "x.csv", text)
    assert (records, told(findings)) == ([], [("unreadable-file", 0)])
    assert what in findings.kept[0].message


def test_a_packed_table_that_was_cut_off_keeps_its_rows(tmp_path: Path) -> None:
    packed = gzip.compress("".join(["a,b\n", *(f"{i},{i * i}\n" for i in range(9999))]).encode())
    records, findings = written(tmp_path / "x.csv.gz", packed)
    assert (len(records), told(findings)) == (9999, [])
    records, findings = written(tmp_path / "y.csv.gz", packed[: len(packed) // 2])
    assert told(findings) == [("damaged", 0)]
    assert 1000 < len(records) < 9999
    assert all(int(value["b"]) == int(value["a"]) ** 2 for value in values(records))


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_characters="\0\r", codec="utf-8")), min_size=2,
                 max_size=2),
        max_size=8,
    )
)  # fmt: skip
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["first", "second"], *rows])
    records, findings = written(tmp_path_factory.mktemp("csv") / "x.csv", text.getvalue())
    expected = [[cell or None for cell in row] for row in rows if any(row)]
    assert [list(value.values()) for value in values(records)] == expected
    assert {kind for kind, _ in told(findings)} <= {"blank-rows", "no-rows"}


@given(st.lists(st.text("a,;\t|\"' \\\n", max_size=12), max_size=8))
def test_no_text_stops_the_reader_and_good_rows_are_found(
    tmp_path_factory: pytest.TempPathFactory, junk: list[str]
) -> None:
    good = "good 1,good 2"
    text = "\n".join(["name 1,name 2", good, *junk, good, good, good])
    records, _ = written(tmp_path_factory.mktemp("junk") / "x.csv", text)
    found = [value for value in values(records) if list(value.values()) == good.split(",")]
    assert len(found) >= 2 or '"' in "".join(junk)


# ---- Parquet and Arrow --------------------------------------------------------------------------


@pytest.mark.train
def test_parquet_and_arrow_of_both_layouts(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.feather
    import pyarrow.parquet

    table = pyarrow.table(
        {"prompt": [f"q{i}" for i in range(2500)], "turns": [[{"role": "user"}]] * 2500}
    )
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet", row_group_size=700)
    pyarrow.feather.write_feather(table, tmp_path / "x.feather")
    arrow = str(tmp_path / "x.arrow")
    with pyarrow.OSFile(arrow, "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=600)
    for suffix in ("parquet", "feather", "arrow"):
        records, findings = read(tmp_path / f"x.{suffix}")
        assert values(records) == table.to_pylist()
        assert [record.line for record in records] == list(range(1, 2501))
        assert told(findings) == []


@pytest.mark.train
def test_broken_columns_cost_what_is_broken(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    raw = pyarrow.array([b"fine", b"caf\xe9", b"also fine"])
    table = pyarrow.table({"text": raw.view(pyarrow.string())})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    records, findings = read(tmp_path / "x.parquet")
    assert [(record.value["text"], record.line) for record in records] == [
        ("fine", 1),
        ("also fine", 3),
    ]
    assert told(findings) == [("invalid-utf8", 2)]
    pyarrow.parquet.write_table(table.slice(0, 0), tmp_path / "y.parquet")
    assert told(read(tmp_path / "y.parquet")[1]) == [("no-rows", 0)]
    whole = (tmp_path / "x.parquet").read_bytes()
    for name, content in {
        "none": b"",
        "no table": b"PAR1 no table PAR1",
        "cut off": whole[:-20],
        "text": b"prompt,completion\n",
    }.items():
        records, findings = written(tmp_path / f"{name}.parquet", content)
        assert (records, told(findings)) == ([], [("unreadable-file", 0)])
        assert "is no readable parquet file" in findings.kept[0].message

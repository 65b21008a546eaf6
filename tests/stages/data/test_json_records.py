"""JSON in every state: what is broken is named with its line, and everything else is read."""

from __future__ import annotations

import gzip
import io
import json
import math
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from qtui.config.models import DataConfig
from qtui.stages.data.reading import compressed, json_records, json_values
from qtui.stages.data.reading.sources import Source, locate
from qtui.stages.data.rows import Findings, Record


def read(path: Path, kind: Any = "auto", packed: Any = "") -> tuple[list[Record], Findings]:
    findings = Findings()
    source = Source("x", kind, path, compression=packed)
    records: list[Record] = []
    for item in json_records.items(source, findings):
        if isinstance(item, Record):
            records.append(item)
        else:
            records += json_records.parse_line(item[1], item[0], "x", findings)
    return records, findings


def written(path: Path, content: str | bytes, **how: Any) -> tuple[list[Record], Findings]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read(path, **how)


def line(text: str | bytes) -> tuple[list[Any], list[tuple[str, int]]]:
    findings = Findings()
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    records = json_records.parse_line(raw, 7, "x", findings)
    assert all(record.line == 7 for record in records)
    return [record.value for record in records], told(findings)


def told(findings: Findings) -> list[tuple[str, int]]:
    return [(finding.kind, finding.line) for finding in findings.kept]


# ---- one line -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values", "kinds"),
    [
        (
            '{"a": {"b": [1, 2.5, "\\u00e9\\ud83d\\ude00"]}}\r\n',
            [{"a": {"b": [1, 2.5, "é😀"]}}],
            [],
        ),
        ('  {"a" : 1 }  ', [{"a": 1}], []),
        ('{"a": 1, "a": 2}', [{"a": 2}], ["duplicate-key"]),
        ('{"a": 1, "\\u0061": 2}', [{"a": 2}], ["duplicate-key"]),
        ('[{"b": {"a": 1 , "a" :2}}]', [[{"b": {"a": 2}}]], ["duplicate-key"]),
        ('{"a": "\\":", "b\\\\": 1, "b\\\\": 2}', [{"a": '":', "b\\": 2}], ["duplicate-key"]),
        ('{"a": 1e999}', [{"a": math.inf}], ["not-a-number"]),
        ('{"a": -Infinity}', [{"a": -math.inf}], ["not-a-number"]),
        ('{"a": "\\ud800x"}', [{"a": "�x"}], ["lone-surrogate"]),
        ('{"\\udc00": 1}', [{"�": 1}], ["lone-surrogate"]),
        ('{"a": "\\\\ud83d\\udc00"}', [{"a": "\\ud83d�"}], ["lone-surrogate"]),
        ('{"a": 1} {"b": 2}', [{"a": 1}, {"b": 2}], ["several-values"]),
        ('{"a": 1}{"a": NaN}', None, ["not-a-number", "several-values"]),
        ('{"a": 1},', [], ["broken-json"]),
        ('{"a": 1', [], ["broken-json"]),
        ('{"a": 1}\x0b', [], ["broken-json"]),
        ("\ufeff{}", [], ["broken-json"]),
        ('{"a": "\ud800"}', [], ["invalid-utf8"]),
        (b'{"a": "caf\xe9"}', [], ["invalid-utf8"]),
        ("[" * 100_000, [], ["broken-json"]),
        ('{"a":' * 980 + '"\\ud800"' + "}" * 980, None, None),
        ("1" * 5000, [], ["broken-json"]),
        ("123456789012345678901234567890", [123456789012345678901234567890], []),
        ("null", [None], []),
        ('"text"', ["text"], []),
    ],
)
def test_a_line(text: str | bytes, values: list[Any] | None, kinds: list[str] | None) -> None:
    found, findings = line(text)
    assert values is None or found == values
    assert kinds is None or findings == [(kind, 7) for kind in kinds]
    for value in found:
        json.dumps(value).encode()


_texts = st.text(st.characters(), max_size=6) | st.sampled_from(['":', "\\", '\\":', " :", "a"])
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=10,
)


def strictly(raw: bytes) -> tuple[list[Any], list[tuple[str, int]]]:
    findings = Findings()
    records = json_values._strictly(raw, 7, "x", findings)
    return [record.value for record in records], told(findings)


@given(_values, st.booleans(), st.sampled_from([(", ", ": "), (",", ":"), (" ,", " :\t")]))
def test_the_fast_way_says_what_the_strict_one_says(
    value: Any, ascii_only: bool, separators: tuple[str, str]
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, separators=separators)
    raw = text.encode("utf-8", "surrogatepass")
    assert repr(line(raw)) == repr(strictly(raw))


@given(st.lists(st.tuples(_texts, st.integers(0, 9)), min_size=1, max_size=5), st.integers(0, 2))
@example([("a", 1), ("b", 2), ("a", 3)], 0)
def test_every_key_that_stands_twice_is_said(pairs: list[tuple[str, int]], depth: int) -> None:
    text = "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in pairs) + "}"
    values, findings = line("[" * depth + text + "]" * depth)
    twice = len({key for key, _ in pairs}) < len(pairs)
    assert (("duplicate-key", 7) in findings) == twice
    assert len(values) == 1


@given(st.binary(max_size=30) | st.text('{}[]",: \\ua1e', max_size=20).map(str.encode))
def test_no_bytes_crash_a_line_and_both_ways_agree(raw: bytes) -> None:
    assert repr(line(raw)) == repr(strictly(raw))


# ---- lines --------------------------------------------------------------------------------------


def rows(count: int) -> list[str]:
    return [json.dumps({"n": n, "text": "ä" * (n % 50)}, ensure_ascii=False) for n in range(count)]


def packed(content: bytes, how: str) -> bytes:
    if how == "gz":
        return gzip.compress(content)
    return zstandard.ZstdCompressor().compress(content) if how == "zst" else content


@pytest.mark.parametrize("how", ["", "gz", "zst"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("array", [False, True])
def test_lines_and_arrays_in_every_wrapping(
    tmp_path: Path, how: str, encoding: str, array: bool
) -> None:
    texts = rows(3000)
    text = "[" + ",\n".join(texts) + "]" if array else "\r\n".join(texts)
    name = "x.json" + (f".{how}" if how else "")
    (tmp_path / name).write_bytes(packed(text.encode(encoding), how))
    (source,) = locate(str(tmp_path / name), DataConfig(), Findings())
    assert source.compression == how
    records, findings = read(tmp_path / name, packed=how)
    assert [record.value for record in records] == [json.loads(text) for text in texts]
    assert [record.line for record in records] == list(range(1, 3001))
    assert {kind for kind, _ in told(findings)} <= {"encoding"}


def test_an_old_encoding_is_read_when_there_is_enough_of_it(tmp_path: Path) -> None:
    texts = [json.dumps({"q": f"彼は{n}番目の質問をした。"}, ensure_ascii=False) for n in range(40)]
    records, findings = written(tmp_path / "x.jsonl", "\n".join(texts).encode("cp932"))
    assert [record.value for record in records] == [json.loads(text) for text in texts]
    assert [finding.message for finding in findings.kept] == ["read as CP932"]


def test_a_few_bad_bytes_are_no_other_encoding(tmp_path: Path) -> None:
    texts = [text.encode() for text in rows(40)]
    texts[5], texts[9] = b'{"n": "caf\xe9"}', b"\x80\x81\xff\x00"
    records, findings = written(tmp_path / "x.jsonl", b"\n".join(texts))
    assert len(records) == 38
    assert told(findings) == [("invalid-utf8", 6), ("invalid-utf8", 10)]


def test_files_that_were_put_together(tmp_path: Path) -> None:
    one = '\ufeff{"a": 1}\n'
    records, findings = written(tmp_path / "x.jsonl", one * 3)
    assert ([record.value for record in records], told(findings)) == ([{"a": 1}] * 3, [])


def test_a_line_of_two_gigabytes_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    memory = Path("/dev/shm")  # a hole in a file takes no time there
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        path = Path(folder, "x.jsonl")
        with path.open("wb") as file:
            file.write(b'{"a": 1}\n{"long": "')
            file.truncate(2 * 2**30)
            file.seek(0, io.SEEK_END)
            file.write(b'"}\n{"a": 2}\n')
        tracemalloc.start()
        records, findings = read(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert [(record.value, record.line) for record in records] == [({"a": 1}, 1), ({"a": 2}, 3)]
    assert told(findings) == [("long-line", 2)]
    assert peak < 300 * 2**20


@pytest.mark.parametrize("text", ['{"a": "%s"}\n{"a": 1}', '[\n{"a": "%s"},\n{"a": 1}]'])
def test_a_row_that_is_too_long_is_left_out_and_reading_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(json_records, "MAX_LINE_BYTES", 5000)
    monkeypatch.setattr(json_records, "_WINDOW", 1000)
    records, findings = written(tmp_path / "x.json", text % ("x" * 300_000))
    assert [record.value for record in records] == [{"a": 1}]
    ((kind, number),) = told(findings)
    assert kind in ("long-line", "broken-json")
    assert number == text.count("\n", 0, text.index("%")) + 1


def test_a_file_that_changes_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n' * 3)
    findings = Findings()
    items = json_records.items(Source("x", "auto", path), findings)
    next(items)
    with path.open("a") as file:
        file.write('{"a": 2}\n')
    assert len(list(items)) >= 2
    assert told(findings) == [("changed-while-read", 0)]


@pytest.mark.parametrize("content", [b"", b" \n\n\t", b"\xef\xbb\xbf", "\n".encode("utf-16")])
def test_an_empty_file_is_said(tmp_path: Path, content: bytes) -> None:
    records, findings = written(tmp_path / "x.jsonl", content)
    assert (records, [f.kind for f in findings.kept if f.level == "error"]) == ([], ["empty-file"])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x1f\x8b\x08\n{}", "a gzip file: let its name end in .gz"),
        (b"(\xb5/\xfd\n{}", "a zstd file"),
        (b"PK\x03\x04\n{}", "a zip file"),
        (b"PAR1", "a Parquet file"),
        (b"%PDF-1.7", "a PDF"),
        (b"\x7fELF\0\0\0\0\0", "a binary file"),
    ],
)
def test_another_format_is_called_by_its_name(tmp_path: Path, content: bytes, what: str) -> None:
    records, findings = written(tmp_path / "x.jsonl", content)
    assert (records, told(findings)) == ([], [("unreadable-file", 0)])
    assert what in findings.kept[0].message


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    records, findings = read(tmp_path / "gone.jsonl")
    assert (records, told(findings)) == ([], [("unreadable-file", 0)])


# ---- compressed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["gz", "zst"])
@pytest.mark.parametrize("damage", ["cut", "flip", "tail"])
def test_a_damaged_stream_keeps_the_rows_before(tmp_path: Path, how: str, damage: str) -> None:
    import random

    texts = [json.dumps({"n": n, "x": random.Random(n).random()}) for n in range(20_000)]
    whole = packed("\n".join(texts).encode(), how)
    middle = len(whole) * 2 // 3
    content = {
        "cut": whole[:middle],
        "flip": whole[:middle] + bytes(64) + whole[middle + 64 :],
        "tail": whole + b"no more of it",
    }[damage]
    records, findings = written(tmp_path / "x", content, packed=how)
    # Until flipped bits are noticed, they may come out as anything.
    noticed = [one for one in told(findings) if damage != "flip" or one[0] == "damaged"]
    assert noticed == [("damaged", 0)]
    whole_rows = 10_000 if damage != "tail" else 19_999
    assert len(records) >= whole_rows
    assert [r.value for r in records[:whole_rows]] == [*map(json.loads, texts[:whole_rows])]


@pytest.mark.parametrize("how", ["gz", "zst"])
def test_packed_files_put_together_and_an_empty_one(tmp_path: Path, how: str) -> None:
    one = packed(b'{"a": 1}\n', how)
    records, findings = written(tmp_path / "x", one + one + packed(b"", how) + one, packed=how)
    assert ([record.value for record in records], told(findings)) == ([{"a": 1}] * 3, [])
    assert told(written(tmp_path / "y", packed(b"", how), packed=how)[1]) == [("empty-file", 0)]


@pytest.mark.parametrize("how", ["gz", "zst"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "FREE_BYTES", 2**20)
    row = b'{"a": "' + b"x" * 1000 + b'"}\n'
    records, findings = written(tmp_path / "x", packed(row * 100_000, how), packed=how)
    assert told(findings) == [("bomb", 0)]
    assert 500 < len(records) < 90_000
    records, findings = written(tmp_path / "y", packed(row * 500, how), packed=how)
    assert (len(records), told(findings)) == (500, [])


def test_a_stream_that_wants_gigabytes_to_unpack_is_refused(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30)
    packer = zstandard.ZstdCompressor(compression_params=parameters)
    out = io.BytesIO()
    with packer.stream_writer(out, closefd=False) as writer:
        writer.write(b'{"a": 1}\n')
    records, findings = written(tmp_path / "x", out.getvalue(), packed="zst")
    assert (records, told(findings)) == ([], [("damaged", 0)])


# ---- documents ----------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [40, 64, 1000, 2**20])
def test_arrays_are_read_by_any_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(json_records, "_WINDOW", window)
    values = [
        {"n": n, "text": 'é"\\ }, {' * (n % 30), "f": [n / 7, None, True]} for n in range(200)
    ]
    for indent in (None, 1):
        for ascii_only in (True, False):
            text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
            records, findings = written(tmp_path / "x.json", text)
            assert [record.value for record in records] == values
            assert told(findings) == []
            if indent:
                lines = text.splitlines()
                assert all(lines[record.line - 1].strip() == "{" for record in records)


@pytest.mark.parametrize("window", [50, 2**20])
def test_a_broken_row_inside_an_array_costs_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(json_records, "_WINDOW", window)
    turn = '{"role": "user", "content": "x"}'
    texts = [f'{{"messages": [{turn}, {turn}, {turn}], "n": {n}}}' for n in range(30)]
    texts[7] = f'{{"messages": [{{"role": "user" "content": "x"}}, {turn}, {turn}], "n": 7}}'
    texts[20] = texts[20].replace('"n":', '"n"')
    records, findings = written(tmp_path / "x.json", "[" + ",\n".join(texts) + "\n]")
    assert [record.value["n"] for record in records] == [n for n in range(30) if n not in (7, 20)]
    assert told(findings) == [("broken-json", 8), ("broken-json", 21)]


def test_a_wrapped_array_and_one_that_was_cut_off(tmp_path: Path) -> None:
    wrapped = json.dumps({"train": [{"a": 1}, {"a": 2}], "test": []}, indent=1)
    assert [r.value for r in written(tmp_path / "x.json", wrapped)[0]] == [{"a": 1}, {"a": 2}]
    records, findings = written(tmp_path / "y.json", '[{"a": 1},\n{"a": 2},\n{"a"')
    assert [record.value for record in records] == [{"a": 1}, {"a": 2}]
    assert told(findings) == [("broken-json", 3)]
    records, findings = written(tmp_path / "z.json", '[{"a": 1},\n{"a": 2},\n')
    assert told(findings) == [("broken-json", 3)]
    assert "cut off" in findings.kept[0].message


def test_bad_bytes_in_an_array_cost_their_row_only(tmp_path: Path) -> None:
    records, findings = written(tmp_path / "x.json", b'[{"a": 1},\n{"a": "caf\xe9"},\n{"a": 3}]')
    assert [record.value for record in records] == [{"a": 1}, {"a": 3}]
    assert told(findings) == [("invalid-utf8", 2)]


def test_one_value_too_large_to_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_records, "MAX_DOCUMENT_BYTES", 1000)
    monkeypatch.setattr(json_records, "_WINDOW", 100)
    text = json.dumps({"version": 1, "data": [{"a": 1}] * 500}, indent=1)
    records, findings = written(tmp_path / "x.json", text)
    assert (records, told(findings)) == ([], [("unreadable-file", 0)])
    assert "Write it as JSONL" in findings.kept[0].message
    assert len(written(tmp_path / "y.json", json.dumps([{"a": 1}] * 500))[0]) == 500

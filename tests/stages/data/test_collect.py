"""All rows of all sources: what is broken is named, copies fall away, no row is on two sides."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.config.models import DataConfig
from qtui.errors import InputError, NotFoundError, StoppedError
from qtui.stages.data.reading import json_records
from qtui.stages.data.rows import Row
from tests.stages.data.collecting import Loaded, load

SFT = Path(__file__).parents[3].parent / "shared" / "data" / "sft"

# file: usable rows, copies of another row among them, findings of other kinds
REAL: dict[str, tuple[int, int, dict[str, int]]] = {
    "axolotl/conversation.json": (1, 0, {}),
    "gpteacher/roleplay-simple-deduped-roleplay-instruct.json": (1923, 0, {}),
    "llamafactory/glaive_toolcall_en_demo.json": (300, 35, {"truncated-answer": 1}),
    "llamafactory/identity.json": (91, 0, {"placeholder": 85}),
    "tinker/conversations.jsonl": (128, 0, {}),
}
COMPARED = ("duplicate", "near-duplicate")
needs_sft = pytest.mark.skipif(not SFT.is_dir(), reason="the folder of real data sets is absent")


def loaded(path: Path | str | list[str], **settings: Any) -> Loaded:
    values = {"validation_split": 0, "max_bad_rows": 1, "on_duplicate": "keep", **settings}
    names = path if isinstance(path, list) else str(path)
    return load(DataConfig(input_path=names, **values), seed=1)


def write(path: Path, *lines: str | bytes) -> Path:
    path.write_bytes(
        b"".join(
            (x.encode("utf-8", "surrogatepass") if isinstance(x, str) else x) + b"\n" for x in lines
        )
    )
    return path


def row(question: str = "q", answer: str = "a", **more: Any) -> str:
    return json.dumps({"instruction": question, "output": answer, **more})


def said(one: Loaded) -> list[list[tuple[str, str]]]:
    return [[(m["role"], m["content"]) for m in row.messages] for row in one.train]


@needs_sft
@pytest.mark.parametrize("name", REAL)
def test_real_files(name: str) -> None:
    rows, copies, findings = REAL[name]
    result = loaded(SFT / name)
    assert len(result.train) == rows == result.read
    assert result.bad == 0
    others = {k: n for k, n in result.findings.counts.items() if k not in COMPARED}
    assert {k: n for k, n in others.items() if not k.startswith("pii")} == findings
    assert result.findings.counts["duplicate"] == copies
    assert len(loaded(SFT / name, on_duplicate="drop").train) == rows - copies


BROKEN: dict[str, tuple[str | bytes, str, str]] = {
    "cut off": ('{"instruction": "q", "output": "a', "broken-json", "not valid JSON"),
    "comma behind it": (row() + ",", "broken-json", "a comma after the row"),
    "invalid utf-8": (
        b'{"instruction": "caf\xe9", "output": "a"}',
        "invalid-utf8",
        "byte 0xe9 at column 21",
    ),
    "a number": ("42", "not-a-row", "a number"),
    "a text": ('"hello"', "not-a-row", "text"),
    "null": ("null", "not-a-row", "null"),
    "an empty object": ("{}", "unknown-shape", "an empty object"),
    "null output": ('{"instruction": "q", "output": null}', "null-text", "output is null"),
    "blank output": (row("q", " \n"), "blank-text", "output is blank"),
    "number as output": ('{"instruction": "q", "output": 3}', "wrong-type", "output is a number"),
    "missing output": (
        '{"instruction": "q"}',
        "missing-key",
        "a question (instruction) without an answer",
    ),
    "unknown keys": ('{"x": "y"}', "unknown-shape", "keys: x"),
    "unknown role": (
        '{"messages": [{"role": "wizard", "content": "q"}]}',
        "unknown-role",
        "'wizard'",
    ),
    "no answer": ('{"messages": [{"role": "user", "content": "q"}]}', "no-answer", "no answer"),
    "an image": (
        '{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}',
        "media",
        "image_url",
    ),
    "a message alone": ('{"role": "user", "content": "q"}', "unknown-shape", "a single message"),
    "numbers": ('{"loss": 1.5, "step": 3}', "not-text", "keys: loss, step"),
    "nested too deep": ("[" * 100_000, "broken-json", "cannot be read"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_row_is_named_and_the_rest_is_read(tmp_path: Path, name: str) -> None:
    bad, kind, message = BROKEN[name]
    result = loaded(write(tmp_path / "x.jsonl", row("q1"), "", bad, row("q2")))
    assert [r.messages[0]["content"] for r in result.train] == ["q1", "q2"]
    assert (result.bad, result.read) == (1, 3)
    (finding,) = result.findings.kept
    assert (finding.level, finding.kind, finding.line, finding.row) == ("error", kind, 3, 1)
    assert message in finding.message


ODD: dict[str, tuple[str, str, int]] = {
    "duplicate keys": ('{"instruction": "q", "output": "x", "output": "a"}', "duplicate-key", 1),
    "NaN": ('{"instruction": "q", "output": "a", "score": NaN}', "not-a-number", 1),
    "two objects": (row("q") + " " + row("p"), "several-values", 2),
    "lone surrogate": ('{"instruction": "q\\ud800", "output": "a"}', "lone-surrogate", 1),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_row_is_used_and_said(tmp_path: Path, name: str) -> None:
    text, kind, rows = ODD[name]
    result = loaded(write(tmp_path / "x.jsonl", row(), text))
    assert (len(result.train), result.bad) == (1 + rows, 0)
    (finding,) = [f for f in result.findings.kept if f.kind not in COMPARED]
    assert (finding.level, finding.kind, finding.line, finding.row) == ("warning", kind, 2, 1)
    for one in result.train:
        assert one.messages[1]["content"] == "a"
        one.messages[0]["content"].encode()


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x"])
@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + row("q1") + "\r\n\r\n" + row("q2") + "\r\n",
        json.dumps([json.loads(row("q1")), json.loads(row("q2"))]),
        "[" + row("q1") + ",\n" + row("q2") + "\n]\n",
        json.dumps(
            {"version": 1, "data": [json.loads(row("q1")), json.loads(row("q2"))]}, indent=1
        ),
        json.dumps({"train": [json.loads(row("q1")), json.loads(row("q2"))], "test": []}, indent=1),
    ],
    ids=["bom and crlf", "one-line array", "array", "under data", "under train"],
)
def test_the_content_says_how_a_file_is_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode())
    result = loaded(tmp_path / name)
    assert [r.messages[0]["content"] for r in result.train] == ["q1", "q2"]


def test_a_single_pretty_printed_object_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps(json.loads(row()), indent=2))
    assert len(loaded(tmp_path / "x.jsonl").train) == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_wide_encodings_with_a_mark_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "x.jsonl").write_bytes(f"{row('ä')}\n{row('é')}".encode(encoding))
    result = loaded(tmp_path / "x.jsonl")
    assert [r.messages[0]["content"] for r in result.train] == ["ä", "é"]


def test_elements_of_an_array_have_their_own_lines_and_a_broken_one_costs_itself_only(
    tmp_path: Path,
) -> None:
    rows = [
        "[",
        row("q1") + ",",
        '{"instruction": "q2", "output": },',
        row("q3") + ",",
        row("q4"),
        "]",
    ]
    result = loaded(write(tmp_path / "x.json", *rows))
    assert [(r.messages[0]["content"], r.line) for r in result.train] == [
        ("q1", 2),
        ("q3", 4),
        ("q4", 5),
    ]
    (finding,) = result.findings.kept
    assert (finding.kind, finding.line) == ("broken-json", 3)


def test_an_array_that_was_cut_off_keeps_what_came_before(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[" + row("q1") + ",\n" + row("q2") + ",\n" + row("q3")[:9])
    result = loaded(tmp_path / "x.json")
    assert [r.messages[0]["content"] for r in result.train] == ["q1", "q2"]
    assert result.findings.counts == {"broken-json": 1}


def test_an_invalid_byte_in_an_array_costs_its_row_only(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(
        b"["
        + row("q1").encode()
        + b',\n{"instruction": "caf\xe9", "output": "a"},\n'
        + row("q3").encode()
        + b"]"
    )
    result = loaded(tmp_path / "x.json")
    assert [r.messages[0]["content"] for r in result.train] == ["q1", "q3"]
    (finding,) = result.findings.kept
    assert (finding.kind, finding.line) == ("invalid-utf8", 2)


def test_a_line_too_long_to_hold_is_named_and_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_records, "MAX_LINE_BYTES", 1000)
    result = loaded(write(tmp_path / "x.jsonl", row("q1"), row("x" * 5000), row("q2")))
    assert [r.messages[0]["content"] for r in result.train] == ["q1", "q2"]
    (finding,) = result.findings.kept
    assert (finding.kind, finding.line) == ("long-line", 2)


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\x1f\x8b\x08", "gzip"),
        (b"(\xb5/\xfd", "zstd"),
        (b"PK\x03\x04", "zip"),
        (b"PAR1", "Parquet"),
        (b"%PDF-1.7", "PDF"),
        (b"\x7fELF\x00\x00", "binary"),
    ],
)
def test_other_formats_are_called_by_their_name(tmp_path: Path, head: bytes, what: str) -> None:
    (tmp_path / "x.jsonl").write_bytes(head + b"\n{}")
    with pytest.raises(InputError, match=what):
        loaded(tmp_path / "x.jsonl")


def test_too_many_bad_rows_refuse_and_name_the_first(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", *[row(f"q{i}") for i in range(40)], "{", "nonsense", "}")
    with pytest.raises(InputError) as refused:
        loaded(path, max_bad_rows=0.05)
    assert "3 of 43 rows" in refused.value.message
    assert f"{path}:41: not valid JSON" in refused.value.message
    assert "data.max_bad_rows" in refused.value.remedy
    assert len(loaded(path, max_bad_rows=0.1).train) == 40


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=40), max_size=8))
def test_no_bytes_crash_the_reader_and_good_rows_are_found(
    tmp_path_factory: pytest.TempPathFactory, junk: list[bytes]
) -> None:
    lines = [line.replace(b"\n", b" ").replace(b"\r", b" ").replace(b"\x00", b" ") for line in junk]
    path = write(tmp_path_factory.mktemp("junk") / "x.jsonl", row("first"), *lines, row("last"))
    result = load(
        DataConfig(input_path=str(path), input_type="jsonl", validation_split=0, max_bad_rows=1),
        seed=1,
    )
    asked = [r.messages[0]["content"] for r in result.train]
    assert asked == ["first", "last"]


# ---- where rows come from -----------------------------------------------------------------------


def test_a_folder_is_all_its_json_files_sorted(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "b.jsonl", row("b"))
    write(tmp_path / "a.json", row("a"))
    write(tmp_path / "sub" / "c.jsonl", row("c"))
    write(tmp_path / "LICENSE.txt", "no rows")
    write(tmp_path / ".hidden.jsonl", row("hidden"))
    write(tmp_path / "dataset_info.json", "{}")
    result = loaded(tmp_path)
    assert [r.messages[0]["content"] for r in result.train] == ["a", "b", "c"]


def test_links_neither_loop_nor_lead_out_of_a_folder(tmp_path: Path) -> None:
    outside = write(tmp_path / "secret.jsonl", row("secret"))
    inside = tmp_path / "data"
    inside.mkdir()
    write(inside / "a.jsonl", row("a"))
    (inside / "loop").symlink_to(inside, target_is_directory=True)
    (inside / "out.jsonl").symlink_to(outside)
    (inside / "twice.jsonl").symlink_to(inside / "a.jsonl")
    (inside / "dangling.jsonl").symlink_to(inside / "gone")
    result = loaded(inside)
    assert [r.messages[0]["content"] for r in result.train] == ["a", "a"]
    assert result.findings.counts == {"skipped": 1, "duplicate": 1}
    assert [r.messages[0]["content"] for r in loaded(inside / "out.jsonl").train] == ["secret"]


def test_a_missing_path_says_what_was_perhaps_meant(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", row())
    with pytest.raises(NotFoundError) as missing:
        loaded(tmp_path / "rwos.jsonl")
    assert str(tmp_path / "rows.jsonl") in missing.value.remedy


def test_a_folder_without_rows_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no JSON"):
        loaded(tmp_path)
    (tmp_path / "x.jsonl").write_text(" \n\n")
    with pytest.raises(InputError, match="the file is empty"):
        loaded(tmp_path / "x.jsonl")


def test_names_and_contents_with_escape_codes_are_made_safe(tmp_path: Path) -> None:
    path = write(tmp_path / "a\x1b[31m\n.jsonl", json.dumps({"\x1b]52;c;x\x07": 1}))
    with pytest.raises(InputError) as refused:
        loaded(path)
    assert not any(ord(c) < 32 and c != "\n" for c in refused.value.message)
    assert "\n.jsonl" not in refused.value.message


def test_the_first_rows_only_and_a_system_prompt(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", *[row(f"q{i}") for i in range(5)], "{broken")
    result = loaded(path, max_samples=3, system_prompt="be kind")
    assert [r.messages[1]["content"] for r in result.train] == ["q0", "q1", "q2"]
    assert all(r.messages[0] == {"role": "system", "content": "be kind"} for r in result.train)
    assert result.bad == 0
    own = loaded(write(tmp_path / "y.jsonl", row(system="be brief")), system_prompt="be kind")
    assert own.train[0].messages[0]["content"] == "be brief"


def test_copies_do_not_count_as_rows_that_are_wanted(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", *[row("q0")] * 5, *[row(f"q{i}") for i in range(20)])

    def asked(**settings: Any) -> list[str]:
        result = loaded(path, max_samples=6, **settings)
        return [r.messages[0]["content"] for r in result.train]

    assert asked(on_duplicate="drop") == [f"q{i}" for i in range(6)]
    assert asked() == ["q0"] * 6
    held = write(tmp_path / "v.jsonl", row("q0"), row("q3"))
    rest = ["q1", "q2", "q4", "q5", "q6", "q7"]
    assert asked(on_duplicate="drop", validation_path=str(held)) == rest
    assert asked(validation_path=str(held)) == rest
    # What is held out is what a copy repeats first of all.
    assert asked(validation_path=str(held), on_leakage="keep") == ["q0"] * 6


def test_fewer_rows_than_wanted_are_said(tmp_path: Path) -> None:
    long = " ".join(f"word{n}" for n in range(60))
    near = [row(long, f"answer {n}") for n in range(4)]
    path = write(tmp_path / "x.jsonl", *near, *[row(f"q{i}") for i in range(9)])
    result = loaded(path, max_samples=6, on_near_duplicate="drop")
    assert len(result.train) == 3
    assert result.collected.mixed == [
        "max_samples: 3 of 6 rows are used; the others of the first 6 repeat another row"
    ]
    assert loaded(path, max_samples=60).collected.mixed == []


@pytest.fixture
def entries(tmp_path: Path) -> list[str]:
    """Three files of 30 rows each."""
    return [
        str(write(tmp_path / f"{name}.jsonl", *[row(f"{name} {i}") for i in range(30)]))
        for name in "abc"
    ]


def shares(result: Loaded) -> list[int]:
    said = [r.messages[0]["content"][0] for r in result.train]
    return [said.count(name) for name in "abc"]


def test_a_mixture_of_so_many_rows(entries: list[str]) -> None:
    mixed = loaded(entries, max_samples=12, weights=[1, 2, 3])
    assert shares(mixed) == [2, 4, 6]
    assert mixed.read == 36
    assert mixed.collected.mixed == [
        "weights: 12 of 36 rows are used; of each entry 2 of 12 (16.7%), 4 of 12 (33.3%), "
        "6 of 12 (50.0%)",
        "max_samples: 12 of 36 rows are used, of the first 12 of each entry",
    ]
    assert shares(loaded(entries, max_samples=45, max_rows_per_source=20)) == [20, 20, 5]
    assert shares(loaded(entries, max_samples=2, weights=[1, 1, 1])) in (
        [1, 1, 0],
        [1, 0, 1],
        [0, 1, 1],
    )


def test_entries_that_give_no_row_are_said(entries: list[str]) -> None:
    first = loaded(entries, max_samples=12)
    assert shares(first) == [12, 0, 0]
    assert first.collected.mixed == [
        "max_samples: the first 12 rows are used, and none of entries 2 and 3 of input_path"
    ]
    twice = loaded([entries[0], entries[0], entries[1]], weights=[1, 1, 1])
    assert shares(twice) == [30, 30, 0]
    assert twice.collected.mixed == [
        "weights: entry 2 has no rows to mix (a file that is named twice is read once)"
    ]


def test_a_forced_shape_is_the_only_one_tried(tmp_path: Path) -> None:
    both = {
        "instruction": "q",
        "output": "a",
        "messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "b"}],
    }
    path = write(tmp_path / "x.jsonl", json.dumps(both))
    assert said(loaded(path, row_format="alpaca")) == [[("user", "q"), ("assistant", "a")]]
    assert said(loaded(path, row_format="messages")) == [[("user", "p"), ("assistant", "b")]]
    with pytest.raises(InputError, match="an answer"):
        loaded(write(tmp_path / "y.jsonl", '{"output": "a"}'), row_format="alpaca")


def test_reading_stops_when_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", row())
    with pytest.raises(StoppedError):
        load(DataConfig(input_path=str(path)), seed=1, stopped=lambda: True)


def test_the_built_in_rows_come_with_their_own_validation_rows() -> None:
    result = load(DataConfig(input_path="builtin:camara", max_samples=50), seed=1)
    assert len(result.train) == 50
    assert len(result.validation) > 10
    assert result.bad == 0


# ---- the split ----------------------------------------------------------------------------------


def parts(path: Path | list[str], **settings: Any) -> tuple[set[bytes], set[bytes]]:
    result = loaded(path, **{"validation_split": 0.2, **settings})
    return {r.key() for r in result.train}, {r.key() for r in result.validation}


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.floats(0.01, 0.9))
def test_the_split_is_disjoint_stable_and_blind_to_order(
    tmp_path_factory: pytest.TempPathFactory, seed: int, number: int, share: float
) -> None:
    folder = tmp_path_factory.mktemp("split")
    rows = [row(f"q{i}") for i in range(number)] + [row(" q0 "), row("q1")]
    first = write(folder / "a.jsonl", *rows[: number // 2])
    second = write(folder / "b.jsonl", *rows[number // 2 :])
    random.Random(seed).shuffle(rows)
    shuffled = write(folder / "c.jsonl", *rows)

    def split(paths: list[str]) -> tuple[set[bytes], set[bytes], int]:
        one = load(DataConfig(input_path=paths, validation_split=share), seed=seed)
        return {r.key() for r in one.train}, {r.key() for r in one.validation}, len(one.train)

    train, validation, kept = split([str(first), str(second)])
    assert split([str(second), str(first)]) == split([str(shuffled)]) == (train, validation, kept)
    assert not train & validation
    assert len(train | validation) == number
    assert len(validation) == min(max(1, round(share * number)), number - 1)


def test_another_seed_is_another_split_and_new_rows_move_few(tmp_path: Path) -> None:
    rows = [row(f"q{i}") for i in range(200)]
    before = write(tmp_path / "a.jsonl", *rows)
    after = write(tmp_path / "b.jsonl", *rows, *[row(f"new {i}") for i in range(20)])
    _, held = parts(before)
    train, still = parts(after)
    assert len(held & train) <= 12
    other = load(DataConfig(input_path=str(before), validation_split=0.2), seed=2)
    assert {r.key() for r in other.validation} != held
    assert len(still) == 44


def test_one_conversation_alone_is_trained_on(tmp_path: Path) -> None:
    result = loaded(write(tmp_path / "x.jsonl", row(), row()), validation_split=0.5)
    assert (len(result.train), len(result.validation)) == (2, 0)
    assert result.findings.counts == {"no-validation": 1, "duplicate": 1}


def test_rows_of_the_validation_file_are_not_trained_on(tmp_path: Path) -> None:
    train = write(tmp_path / "t.jsonl", row("q1"), row("q2"), row("q3"))
    held = write(tmp_path / "v.jsonl", row("q2 "), row("q4"))
    result = loaded(train, validation_path=str(held))
    assert [r.messages[0]["content"] for r in result.train] == ["q1", "q3"]
    assert [r.messages[0]["content"] for r in result.validation] == ["q2", "q4"]
    assert result.findings.counts == {"leak": 1}
    with pytest.raises(InputError, match="every training row"):
        loaded(train, validation_path=str(train))


# ---- rows by their key --------------------------------------------------------------------------


def key_of(text: str) -> str:
    """What the Data screen shows for the row that `text` is."""
    value = json.loads(text)
    pair = (("user", value["instruction"]), ("assistant", value["output"]))
    messages = tuple({"role": role, "content": content} for role, content in pair)
    return Row(messages, "x", 1).key()[:8].hex()


MAIL = row("whom do I write to?", "Write to jane.doe@acme-corp.com, please.")


def test_a_row_that_is_to_go_fails_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", row("q1"), MAIL)
    with pytest.raises(InputError, match="e-mail"):
        loaded(path, on_pii="fail")
    result = loaded(path, on_pii="fail", drop_rows=[key_of(MAIL)])
    assert [r.messages[0]["content"] for r in result.train] == ["q1"]
    assert result.findings.counts == {"drop-rows": 1}


def test_keys_that_no_row_has_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", row("q1"), MAIL, row("q3"))
    keys = {"drop_rows": [key_of(row("q1")), "0" * 16], "keep_rows": [key_of(MAIL), "1" * 16]}
    result = loaded(path, on_pii="drop", **keys)
    assert len(result.train) == 2
    unmatched = [found for found in result.findings.kept if found.kind == "unmatched-key"]
    assert [(found.level, found.message) for found in unmatched] == [
        ("warning", f"data.drop_rows names what no row that was read has: {'0' * 16}"),
        ("warning", f"data.keep_rows names what no row that was read has: {'1' * 16}"),
    ]
    many = loaded(path, drop_rows=[f"{number:016x}" for number in range(30)])
    (found,) = [found for found in many.findings.kept if found.kind == "unmatched-key"]
    assert found.message.endswith(f"{9:016x} and 20 more")


def test_a_variation_that_is_to_go_is_not_made(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", *[row(f"q{n}", f"a{n}") for n in range(20)])
    wanted = {"augment_share": 0.5, "augment_templates": ["{instruction}, please"]}
    made = loaded(path, **wanted)
    assert made.collected.augmented == 20
    gone = key_of(row("q3, please", "a3"))
    less = loaded(path, **wanted, drop_rows=[gone])
    assert less.collected.augmented == 19
    assert key_of(row("q3, please", "a3")) not in {r.key()[:8].hex() for r in less.train}
    assert not less.findings.counts
    assert less.collected.mixed == []
    kept = loaded(path, **wanted, keep_rows=[gone])
    assert not kept.findings.counts


# ---- nothing is left ----------------------------------------------------------------------------

TAKEN: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "language": (
        [row(f"Wie geht es dir heute, Nummer {n}?", "Danke, mir geht es gut.") for n in range(3)],
        {"languages": ["fr"], "on_language": "drop"},
        "3 were left out by data.on_language",
    ),
    "personal data": (
        [MAIL, row("mail?", "Mail me at joe@acme-corp.com."), row("ring?", "+49 30 901820")],
        {"on_pii": "drop"},
        "3 were left out by data.on_pii",
    ),
    "thumbs down": (
        [json.dumps({"prompt": f"q{n}", "completion": "a", "label": False}) for n in range(3)],
        {"preference_rows": "chosen"},
        "3 were left out by data.preference_rows",
    ),
    "keys": (
        [row("q1"), row("q2"), row("q3")],
        {"drop_rows": [key_of(row(f"q{n}")) for n in (1, 2, 3)]},
        "3 were left out by data.drop_rows",
    ),
    "cleaning": (
        [row("q1", "\u200b\x01"), MAIL, "{"],
        {"on_pii": "drop"},
        "1 was left out by data.on_pii",
    ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_took_the_rows_is_said(tmp_path: Path, name: str) -> None:
    rows, settings, message = TAKEN[name]
    path = write(tmp_path / "x.jsonl", *rows)
    with pytest.raises(InputError) as refused:
        loaded(path, **settings)
    assert "none of the 3 rows of data.input_path can be used" in refused.value.message
    assert message in refused.value.message
    assert ("not valid JSON" in refused.value.message) == ("{" in rows)
    with pytest.raises(InputError) as refused:
        loaded(write(tmp_path / "t.jsonl", row("q4")), validation_path=str(path), **settings)
    assert "none of the 3 rows of data.validation_path can be used" in refused.value.message
    assert message in refused.value.message


def test_files_that_are_held_out_need_no_group(tmp_path: Path) -> None:
    train = write(tmp_path / "t.jsonl", *[row(f"q{i}", team=f"t{i % 3}") for i in range(12)])
    held = write(tmp_path / "v.jsonl", row("other"), row("another"))
    result = loaded(train, validation_path=str(held), split_by="group", group_by="team")
    assert (len(result.train), len(result.validation), result.bad) == (12, 2, 0)


# ---- through the datasets library ---------------------------------------------------------------


@pytest.mark.train
def test_saved_folders_parquet_and_arrow(tmp_path: Path) -> None:
    import datasets

    rows = [
        {"messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": "a"}]}
        for i in range(3)
    ]
    data = datasets.Dataset.from_list(rows)
    data.save_to_disk(tmp_path / "saved")
    data.to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "tables" / "data").mkdir(parents=True)
    data.to_parquet(tmp_path / "tables" / "data" / "train-00000-of-00001.parquet")
    data.to_parquet(tmp_path / "tables" / "data" / "test-00000-of-00001.parquet")
    datasets.DatasetDict({"train": data, "test": data.select([0])}).save_to_disk(
        tmp_path / "splits"
    )
    arrow = next((tmp_path / "saved").glob("*.arrow"))
    for path in ("saved", "rows.parquet", "tables", "splits", arrow.relative_to(tmp_path)):
        result = loaded(tmp_path / path)
        assert [r.messages[0]["content"] for r in result.train] == ["q0", "q1", "q2"], path
    assert len(loaded(tmp_path / "splits", split="test").train) == 1
    with pytest.raises(NotFoundError) as missing:
        loaded(tmp_path / "splits", split="dev")
    assert "train, test" in missing.value.remedy
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no table PAR1")
    with pytest.raises(InputError, match="is no readable parquet file"):
        loaded(tmp_path / "broken.parquet")

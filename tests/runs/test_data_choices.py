"""Rows dropped and kept in the text of a run file: nothing else in it changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.config.load import load
from qtui.errors import InputError, NotFoundError
from qtui.runs import data_choices
from qtui.runs.data_choices import Choices

A, B, C = "0123456789abcdef", "1111111111111111", "12345678901234e5"
"""One that looks like a text, and two that YAML would take for numbers."""

FILES = {
    "empty": "",
    "only braces": "{}\n",
    "other sections": "# mine\npreset: quickstart\n\ntraining:\n  seed: 7 # lucky\n",
    "no line end": "training:\n  seed: 7",
    "data with nothing in it": "data:\ntraining:\n  seed: 7\n",
    "data, comments, order": (
        "# top\ndata:  # what it learns from\n  input_path: a.jsonl   # tickets\n"
        "  # held out\n  validation_split: 0.1\n\n# how\ntraining:\n  seed: 7\n"
    ),
    "data at the end": "training:\n    seed: 7\ndata:\n    input_path: 'a.jsonl'",
    "a list at the end of data": (
        "data:\n  input_path:\n  - a.jsonl\n  - b.jsonl # two\ntraining: {}\n"
    ),
    "a long text at its end": "data:\n  system_prompt: |\n    Be kind.\n\n    Be short.\n\n# end\n",
    "data in braces": "data: {input_path: a.jsonl}\n",
    "empty braces": "data: {}\ntraining: {seed: 7}\n",
    "all in braces": "{data: {input_path: a.jsonl}, training: {seed: 7}}\n",
    "no data in braces": "{training: {seed: 7}}\n",
    "windows": "data:\r\n  input_path: a.jsonl\r\n# end\r\n",
    "byte order mark": "\ufeffdata:\n  input_path: a.jsonl\n",
    "lists are there": f"data:\n  drop_rows: ['{B}']  # gone\n  keep_rows: []\n  input_path: a\n",
    "one item a line": (
        f"data:\n  drop_rows:\n    # bad\n    - '{B}'  # spam\n    - \"{A}\"\n  input_path: a\n"
    ),
    "a document's marks": "---\ndata:\n  input_path: a.jsonl\n",
}


def put(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_is_read_and_nothing_else_changes(tmp_path: Path, name: str) -> None:
    text = FILES[name]
    path = put(tmp_path, text)
    before = load(path, environ={}).model_dump()
    choices = data_choices.read(path)
    for key, choice in ((A, "drop"), (C, "drop"), (B, "keep"), (A, "drop"), (C, "keep")):
        choices = choices.toggled(key, choice)  # type: ignore[arg-type]
        data_choices.write(path, choices)
        assert data_choices.read(path) == choices
        config = load(path, environ={}).model_dump()
        assert config["data"].pop("drop_rows") == list(choices.drop)
        assert config["data"].pop("keep_rows") == list(choices.keep)
        for section in before:
            for key_name, value in config[section].items():
                assert value == before[section][key_name]
    now = path.read_bytes().decode()
    for line in text.removeprefix("\ufeff").splitlines():
        if "#" in line and "spam" not in line:
            assert line.partition("#")[2] in now
    assert now.startswith("\ufeff") == text.startswith("\ufeff")
    assert ("\r\n" in text) == ("\r\n" in now)
    assert "\n" not in now.replace("\r\n", "") if "\r\n" in text else True


LINES = st.lists(
    st.sampled_from(
        ["  input_path: a.jsonl", "  # a comment", "", "  splitter: token   # why", "  split: 'x'",
         "  augment_templates:\n    - 'say {instruction}'", "  chunk_size: 300"]
    ),
    max_size=6,
    unique_by=lambda line: line.strip().partition(":")[0] or line,
)  # fmt: skip


@settings(max_examples=40)
@given(
    LINES, st.booleans(), st.lists(st.tuples(st.sampled_from([A, B, C]), st.booleans()), max_size=4)
)
def test_all_other_lines_stay_where_they_are(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[str],
    more: bool,
    steps: list[tuple[str, bool]],
) -> None:
    text = "\n".join(["# head", "data:", *lines, *(["training:", "  seed: 7"] if more else [])])
    path = put(tmp_path_factory.mktemp("choices"), text + "\n")
    choices = Choices()
    for key, drop in steps:
        choices = choices.toggled(key, "drop" if drop else "keep")
        data_choices.write(path, choices)
        assert data_choices.read(path) == choices
    others = [line for line in path.read_text().split("\n") if "_rows: [" not in line]
    assert others == (text + "\n").split("\n")


def test_lists_that_are_nothing(tmp_path: Path) -> None:
    path = put(tmp_path, "data:\n  drop_rows:\n  keep_rows: null # none\n  input_path: a\n")
    data_choices.write(path, Choices((A,), (B,)))
    assert path.read_text() == (
        f'data:\n  drop_rows: ["{A}"]\n  keep_rows: ["{B}"] # none\n  input_path: a\n'
    )


def test_undone_the_file_is_as_it_was(tmp_path: Path) -> None:
    text = FILES["data, comments, order"]
    path = put(tmp_path, text)
    data_choices.write(path, Choices().toggled(A, "drop"))
    assert path.read_text() != text
    data_choices.write(path, Choices())
    assert path.read_text() == text


def test_a_row_is_dropped_or_kept_and_not_both() -> None:
    choices = Choices().toggled(A, "drop").toggled(B, "drop").toggled(A, "keep")
    assert choices == Choices(drop=(B,), keep=(A,))
    assert choices.of(A) == "keep"
    assert choices.of(C) is None
    assert choices.flags() == [
        "--set", f'data.drop_rows=["{B}"]', "--set", f'data.keep_rows=["{A}"]'
    ]  # fmt: skip
    assert choices.toggled(A, "keep").flags() == ["--set", f'data.drop_rows=["{B}"]']


def test_the_lists_of_a_frozen_config() -> None:
    config = {"data": {"drop_rows": [A], "keep_rows": [B]}}
    assert data_choices.of_config(config) == Choices((A,), (B,))
    for odd in ({}, {"data": None}, {"data": {"drop_rows": 3}}):
        assert data_choices.of_config(odd) == Choices()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data:\n  drop_rows: [12345678901234]\n", "must be lists of texts"),
        ("data:\n  drop_rows: [\n", "never closed"),
        ("data:\n  unknown: 3\n", "unknown setting"),
        (f"data:\n  drop_rows: ['{A}', # why\n    '{B}']\n", "not changed here"),
    ],
)
def test_a_file_that_cannot_be_changed_is_left_alone(tmp_path: Path, text: str, said: str) -> None:
    path = put(tmp_path, text)
    with pytest.raises(InputError) as caught:
        data_choices.write(path, Choices((C,), ()))
    assert said in str(caught.value)
    assert path.read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.yaml"]


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is gone"):
        data_choices.read(tmp_path / "run.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        data_choices.read(tmp_path)


def test_a_link_stays_a_link_and_permissions_stay(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = put(tmp_path / "real", "data:\n  input_path: a\n")
    path.chmod(0o600)
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    data_choices.write(link, Choices((A,), ()))
    assert link.is_symlink()
    assert data_choices.read(path).drop == (A,)
    assert path.stat().st_mode & 0o777 == 0o600

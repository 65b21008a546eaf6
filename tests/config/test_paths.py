from __future__ import annotations

from pathlib import Path

import pytest

from qtui.config.load import load, load_with_sources
from qtui.config.models import FineTuneConfig


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The run file's folder and the current one, which are not the same."""
    beside, here = tmp_path / "project", tmp_path / "elsewhere"
    beside.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return beside, here


def loaded(folder: Path, text: str, *overrides: str) -> FineTuneConfig:
    path = folder / "run.yaml"
    path.write_text(text)
    return load(path, overrides=overrides, environ={})


def test_paths_in_the_file_are_relative_to_its_folder(folders: tuple[Path, Path]) -> None:
    beside, _ = folders
    config = loaded(
        beside,
        "model: {model_name: ./model}\n"
        "data: {input_path: [train.jsonl, ../shared/more.jsonl, /abs/x.json, ~/y.jsonl],\n"
        "       validation_path: val.jsonl, chat_template: t.jinja, output_path: out}\n"
        "training: {output_dir: adapters/one}\n",
    )
    assert config.model.model_name == str(beside / "model")
    assert config.data.input_path == [
        str(beside / "train.jsonl"),
        str(beside.parent / "shared" / "more.jsonl"),
        "/abs/x.json",
        str(beside.parent / "home" / "y.jsonl"),
    ]
    assert config.data.validation_path == str(beside / "val.jsonl")
    assert config.data.chat_template == str(beside / "t.jinja")
    assert config.data.output_path == str(beside / "out")
    assert config.training.output_dir == str(beside / "adapters" / "one")


def test_paths_from_flags_and_environment_are_relative_to_here(folders: tuple[Path, Path]) -> None:
    beside, here = folders
    config = loaded(beside, "data: {input_path: a.jsonl}", "data.input_path=b.jsonl")
    assert config.data.input_path == str(here / "b.jsonl")
    environ = {"QTUI_TRAINING__OUTPUT_DIR": "out"}
    config = load(beside / "run.yaml", environ=environ)
    assert config.data.input_path == str(beside / "a.jsonl")
    assert config.training.output_dir == str(here / "out")


def test_a_run_file_named_relative_to_here(folders: tuple[Path, Path]) -> None:
    beside, _ = folders
    loaded(beside, "data: {input_path: a.jsonl}")
    config = load(Path("../project/run.yaml"), environ={})
    assert Path(str(config.data.input_path)).is_absolute()
    assert Path(str(config.data.input_path)).resolve() == beside / "a.jsonl"


@pytest.mark.parametrize("name", ["org/name", "name", "Qwen/Qwen3-0.6B", "builtin:tiny"])
def test_a_hub_id_stays_one_unless_a_folder_has_its_name(
    folders: tuple[Path, Path], name: str
) -> None:
    beside, here = folders
    text = f"model: {{model_name: '{name}'}}"
    (here / name).mkdir(parents=True)
    assert loaded(beside, text).model.model_name == name
    if ":" not in name:
        (beside / name).mkdir(parents=True)
        assert loaded(beside, text).model.model_name == str(beside / name)


def test_a_file_is_not_taken_for_a_model(folders: tuple[Path, Path]) -> None:
    beside, _ = folders
    (beside / "gpt2").touch()
    assert loaded(beside, "model: {model_name: gpt2}").model.model_name == "gpt2"


@pytest.mark.parametrize(
    ("name", "input_type", "is_path"),
    [
        ("builtin:camara", "auto", False),
        ("builtin:camara", "jsonl", False),
        ("hf://datasets/org/name", "auto", False),
        ("org/name", "auto", False),
        ("org/name-v1.2", "auto", False),
        ("squad", "dataset", False),
        ("org/name", "jsonl", True),
        ("data/train.jsonl", "auto", True),
        ("train.json.gz", "auto", True),
        ("notes.markdown", "auto", True),
        ("table.feather", "auto", True),
        ("data/**/*.pdf", "auto", True),
        ("*.jsonl", "auto", True),
        ("org/name-?", "dataset", True),
        ("rows[0-9].csv.zst", "csv", True),
        ("a/b/c", "auto", True),
        ("./org/name", "auto", True),
        ("../name", "dataset", True),
        ("two words", "auto", True),
        ("there", "auto", True),
        ("there", "dataset", True),
    ],
)
def test_what_is_a_path_and_what_a_data_set(
    folders: tuple[Path, Path], name: str, input_type: str, is_path: bool
) -> None:
    beside, _ = folders
    (beside / "there").mkdir()
    config = loaded(
        beside,
        f"data: {{input_path: '{name}', validation_path: '{name}', input_type: {input_type}}}",
    )
    expected = str((beside / name).resolve()) if is_path else name
    assert config.data.input_path == expected
    assert config.data.validation_path == expected


def test_a_link_keeps_its_name_and_dots_after_a_link_follow_it(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    beside, _ = folders
    store = tmp_path / "store" / "deep"
    store.mkdir(parents=True)
    (store / "blob").write_text("{}")
    (beside / "train.jsonl").symlink_to(store / "blob")
    (beside / "link").symlink_to(store)
    config = loaded(beside, "data: {input_path: [train.jsonl, link/../x.jsonl]}")
    assert config.data.input_path == [
        str(beside / "train.jsonl"),
        str(tmp_path / "store" / "x.jsonl"),
    ]


def test_dots_alone(folders: tuple[Path, Path]) -> None:
    beside, _ = folders
    config = loaded(beside, "data: {input_path: [., .., ../..]}")
    assert config.data.input_path == [
        str(beside),
        str(beside.parent),
        str(beside.parent.parent),
    ]


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-here/x", "a/" * 600 + "x", ".", ".."])
def test_odd_names_do_not_break_it(folders: tuple[Path, Path], name: str) -> None:
    beside, _ = folders
    config = loaded(beside, f"data: {{input_path: '{name}'}}\nmodel: {{model_name: '{name}'}}")
    assert isinstance(config.data.input_path, str)


def test_loading_what_was_resolved_changes_nothing(folders: tuple[Path, Path]) -> None:
    from qtui.config.template import dump

    beside, here = folders
    config = loaded(beside, "data: {input_path: [../a.jsonl, org/name], output_path: out}")
    assert loaded(here, dump(config, only_changed=True)) == config


def test_sources_keep_what_was_written(folders: tuple[Path, Path]) -> None:
    beside, _ = folders
    path = beside / "run.yaml"
    path.write_text("data: {input_path: a.jsonl}")
    assert load_with_sources(path, environ={}).sources["data.input_path"].value == "a.jsonl"

"""Models and data that lie below a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtui.system import nearby
from qtui.system.hub_cache import cached_models
from tests.model_folder import write_model


def test_folders_with_a_config_and_weights_are_models(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "mine")
    write_model(tmp_path / "runs" / "x" / "model")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "config.json").write_text("{}")
    assert nearby.models_below(tmp_path) == ["./models/mine"]


def test_data_files_and_folders_with_several(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "mine", parts=2)
    rows = tmp_path / "data" / "tickets"
    rows.mkdir(parents=True)
    for name in ("a.jsonl", "B.JSON", "notes.md"):
        (rows / name).touch()
    (tmp_path / "one.jsonl").touch()
    assert nearby.data_below(tmp_path) == [
        "./data/tickets/",
        "./data/tickets/B.JSON",
        "./data/tickets/a.jsonl",
        "./one.jsonl",
    ]


def test_links_and_hidden_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "a.jsonl").touch()
    (tmp_path / "around").symlink_to(tmp_path)
    (tmp_path / "b.jsonl").touch()
    assert nearby.data_below(tmp_path) == ["./b.jsonl"]
    assert nearby.data_below(tmp_path / "missing") == []


def test_the_walk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path.joinpath(*"abcdef")
    deep.mkdir(parents=True)
    (deep / "far.jsonl").touch()
    (tmp_path / "near.jsonl").touch()
    assert nearby.data_below(tmp_path) == ["./near.jsonl"]
    many = tmp_path / "many"
    many.mkdir()
    for number in range(30):
        (many / f"{number}.jsonl").touch()
    monkeypatch.setattr(nearby, "MOST_ENTRIES", 20)
    assert nearby.data_below(tmp_path) == ["./near.jsonl"]


def test_models_in_the_hubs_cache_are_listed_by_name(tmp_path: Path) -> None:
    commit = "0" * 40
    for name, whole in (("models--b--two-3", True), ("models--a--one", True), ("models--c", False)):
        folder = tmp_path / name
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(commit)
        if whole:
            (folder / "snapshots" / commit).mkdir(parents=True)
            (folder / "snapshots" / commit / "config.json").write_text("{}")
    (tmp_path / "datasets--x--y").mkdir()
    environment = {"HF_HUB_CACHE": str(tmp_path)}
    assert cached_models(environment) == ["a/one", "b/two-3"]
    assert cached_models({"HF_HUB_CACHE": str(tmp_path / "missing")}) == []

"""Trackers write into the run's folder; what they lack is said before anything is loaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from qtui.errors import ImpossibleError
from qtui.runs.folder import Run
from qtui.stages.training import trackers


@pytest.fixture
def _all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: object())


@pytest.mark.usefixtures("_all_installed")
def test_each_writes_into_the_run(tmp_path: Path) -> None:
    environment = {"WANDB_API_KEY": "key"}
    run = Run(tmp_path / "20261120-120000-calm-owl")
    trackers.set_up(["wandb", "tensorboard", "trackio"], run, environment)
    for name in ("WANDB_DIR", "TENSORBOARD_LOGGING_DIR", "TRACKIO_DIR"):
        assert Path(environment[name]).is_relative_to(run.path)
    assert environment["WANDB_RUN_ID"] == run.id
    assert environment["WANDB_PROJECT"] == "qtui"


@pytest.mark.usefixtures("_all_installed")
def test_what_the_user_set_wins(tmp_path: Path) -> None:
    environment = {"WANDB_API_KEY": "key", "WANDB_PROJECT": "mine", "WANDB_DIR": "/elsewhere"}
    trackers.set_up(["wandb"], Run(tmp_path), environment)
    assert (environment["WANDB_PROJECT"], environment["WANDB_DIR"]) == ("mine", "/elsewhere")


@pytest.mark.usefixtures("_all_installed")
def test_wandb_without_a_key_is_refused_with_three_ways_out(tmp_path: Path) -> None:
    environment = {"NETRC": str(tmp_path / "none")}
    with pytest.raises(ImpossibleError, match="no key") as caught:
        trackers.set_up(["wandb"], Run(tmp_path), environment)
    for way in ("wandb login", "WANDB_API_KEY", "WANDB_MODE=offline"):
        assert way in caught.value.remedy


@pytest.mark.usefixtures("_all_installed")
@pytest.mark.parametrize("way", ["offline", "netrc"])
def test_wandb_offline_or_logged_in_is_fine(tmp_path: Path, way: str) -> None:
    environment = {"NETRC": str(tmp_path / "netrc")}
    if way == "offline":
        environment["WANDB_MODE"] = "offline"
    else:
        (tmp_path / "netrc").write_text("machine api.wandb.ai\n  login user\n  password key\n")
    trackers.set_up(["wandb"], Run(tmp_path), environment)
    assert environment["WANDB_DIR"] == str(tmp_path)


def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        trackers, "find_spec", lambda name: None if name == "trackio" else real(name)
    )
    with pytest.raises(ImpossibleError) as caught:
        trackers.set_up(["trackio"], Run(tmp_path), {})
    assert "pip install 'qtui[trackio]'" in caught.value.remedy


def test_nothing_is_touched_without_trackers(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    trackers.set_up([], Run(tmp_path), environment)
    assert environment == {}

"""Secrets in a command line do not reach the run folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtui.runs import folder, provenance
from qtui.runs.provenance import mask

SECRETS = [
    "hf_" + "AbCdEfGh" * 4,
    "sk-proj-" + "a1B2c3D4" * 4,
    "sk-ant-api03-" + "x" * 30,
    "0123456789abcdef0123456789abcdef01234567",
    "ghp_" + "a" * 36,
    "github_pat_" + "a" * 40,
    "AKIA" + "ABCDEFGHIJKLMNOP",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "words",
    [["{}"], ["--set", "x={}"], ["--note={}"], ["pre {} post"], ["https://u:{}@host/x"]],
)
def test_what_looks_like_a_token_is_masked_wherever_it_stands(
    tmp_path: Path, secret: str, words: list[str]
) -> None:
    command = ["qtui", "train", *(word.format(secret) for word in words)]
    run = folder.create(tmp_path, kind="train", config={}, command=command)
    text = (run.path / "run.json").read_text()
    assert secret not in text
    assert "***" in text


@pytest.mark.parametrize(
    ("command", "masked"),
    [
        (["--set", "hub_token=abc"], ["--set", "hub_token=***"]),
        (["--set", "a.API-KEY=x y"], ["--set", "a.API-KEY=***"]),
        (["--password", "abc", "run.yaml"], ["--password", "***", "run.yaml"]),
        (["--wandb-api-key", "abc"], ["--wandb-api-key", "***"]),
        (["--token=abc"], ["--token=***"]),
        (["https://me:pw@host/a"], ["https://***@host/a"]),
        (["--token", "--detach"], ["--token", "--detach"]),
    ],
)
def test_values_whose_name_speaks_of_a_secret_are_masked(
    command: list[str], masked: list[str]
) -> None:
    assert mask(command) == masked


@pytest.mark.parametrize(
    "word",
    [
        "evaluation.sample_max_new_tokens=128",
        "model.model_name=meta-llama/Llama-3.2-1B",
        "training.learning_rate=2e-4",
        "data/tokens.jsonl",
        "--set",
        "task-skill-one",
        "run.yaml",
    ],
)
def test_what_is_no_secret_stays_readable(word: str) -> None:
    assert mask(["qtui", "train", word]) == ["qtui", "train", word]


def test_versions_are_read_without_importing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = provenance.versions()
    assert found["qtui"]
    monkeypatch.setattr(provenance, "PACKAGES", ("qtui", "surely-not-installed"))
    assert set(provenance.versions()) == {"python", "qtui"}


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git(tmp_path) is None

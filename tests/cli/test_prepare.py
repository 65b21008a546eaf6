"""`qtui prepare-data`: a run of its own, a report at its end, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.programs import qtui

RUN_FILE = "model: {model_name: 'builtin:tiny'}\ndata: {input_path: 'builtin:camara'}\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "run.yaml").write_text(RUN_FILE)
    return tmp_path


def test_the_report_is_the_result_and_the_way_there_is_beside_it(place: Path) -> None:
    shown = qtui("prepare-data", "run.yaml", "--name", "first", cwd=place, fake=True)
    assert shown.code == 0, shown.stderr
    assert "90 rows to train on, 5 held out" in shown.text
    assert "a.jsonl:7: no JSON" in shown.text
    assert "and 2 more of the kind broken-line" in shown.text
    assert "1 train" in shown.text
    assert b"loading dataset" not in shown.stdout
    assert b"loading dataset" in shown.stderr
    assert b"qtui train run.yaml" in shown.stderr
    (run,) = (place / "runs").iterdir()
    assert run.name.endswith("-first")
    assert json.loads((run / "run.json").read_text())["kind"] == "prepare"


def test_json_is_one_document(place: Path) -> None:
    shown = qtui("prepare-data", "run.yaml", "--json", cwd=place, fake=True)
    assert shown.code == 0, shown.stderr
    document = json.loads(shown.stdout)
    assert document["report"]["train_rows"] == 90
    assert Path(document["path"], "rows.jsonl").is_file()


def test_what_is_wrong_ends_as_the_run_does(place: Path) -> None:
    env = {"FAKE": "impossible"}
    shown = qtui("prepare-data", "run.yaml", cwd=place, fake=True, env=env)
    assert shown.code == 4
    assert b"no room" in shown.stderr
    assert b"buy some" in shown.stderr
    shown = qtui("prepare-data", "run.yaml", "--json", cwd=place, fake=True, env=env)
    assert shown.code == 4
    document = json.loads(shown.stdout)
    assert document["report"] is None
    assert document["end"]["message"] == "no room"


def test_detached_says_the_run_and_returns(place: Path) -> None:
    shown = qtui("prepare-data", "run.yaml", "--detach", cwd=place, fake=True)
    assert shown.code == 0
    (run,) = (place / "runs").iterdir()
    assert shown.text.splitlines()[0] == run.name
    assert qtui("runs", "attach", "latest", cwd=place, fake=True).code == 0

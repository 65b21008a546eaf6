"""The whole circle by keys: trained, talked to, judged, and trained again on the judgement."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtui.errors import EXIT_DONE
from qtui.runs import launch
from qtui.runs.folder import all_runs
from qtui.runs.lock import is_held
from qtui.runs.series import load
from qtui.runs.serving import living
from qtui.runs.state import Status, status
from tests.cli.programs import qtui as headless
from tests.e2e.counting import until
from tests.e2e.terminal import Terminal, qtui

PATIENCE = 150.0
PROMPT = "Ten minutes of low latency from 10.0.0.1 to 10.0.0.9"
WANTED = '{"profile": "low-latency"}'


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """A workspace whose servers end with the test."""
    yield tmp_path
    for server in living(tmp_path):
        launch.request_stop(server, save=False)
        launch.wait(server, timeout=30)


@pytest.mark.train
def test_what_is_judged_in_the_chat_is_trained_on(workspace: Path) -> None:
    settings = ("training.max_steps=2", "training.eval_steps=2", "evaluation.num_samples=0")
    done = headless(
        *("train", "--preset", "quickstart", "--name", "otter"),
        *(word for setting in settings for word in ("--set", setting)),
        cwd=workspace,
    )
    assert done.code == EXIT_DONE, done.stderr
    (first,) = all_runs(workspace)

    with Terminal(qtui(), cwd=workspace) as terminal:
        terminal.until("otter")
        terminal.press("6")
        terminal.until("otter vs base")
        terminal.press(PROMPT)  # at once: nobody waits for the model
        terminal.until(PROMPT)
        terminal.press("enter")
        terminal.until(lambda: terminal.text.count("first ") == 2, PATIENCE)
        terminal.until("esc to the answers", PATIENCE)  # while one is written it says stop
        server = all_runs(workspace)[0]
        assert server.spec.kind == "serve"

        terminal.press("escape", "right", "e")
        terminal.until("What it should have said")
        terminal.press("ctrl+a", "ctrl+k", WANTED, "ctrl+s")
        terminal.until("edited")
        terminal.until("1 row, 1 pair in runs/")

        terminal.press("t")
        terminal.until("Train on 1 judged answer?")
        terminal.press("y")
        terminal.until("launch")
        terminal.press("ctrl+l")
        terminal.until(lambda: len(all_runs(workspace)) == 3, PATIENCE)
        second = all_runs(workspace)[0]
        terminal.until(lambda: status(second) is Status.COMPLETED, PATIENCE)
        terminal.until("completed")
        terminal.press("6")
        terminal.until(WANTED)
        terminal.press("q")
        terminal.until("Leave the server running?")
        terminal.press("s")
        until(lambda: not is_held(server.lock), PATIENCE)
        terminal.until("n new")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0

    assert second.spec.config["data"]["input_path"] == str(first.path / "chat" / "sft.jsonl")
    rows = [json.loads(line) for line in (second.data / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 1
    assert WANTED in json.dumps(rows[0]).replace("\\", "")
    assert load(second).metric("loss")[0] == [1, 2]
    assert (second.adapter / "adapter_config.json").exists()

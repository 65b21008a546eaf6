"""The whole way round: trained, talked to, judged, and trained again on the judgement; by keys, in
a real pseudo-terminal, with a real server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtui.chat import server
from qtui.runs import launch, serving
from qtui.runs.folder import Run, all_runs, create
from qtui.runs.state import Status, status
from tests.dashboard.run_folders import config
from tests.e2e.counting import until
from tests.e2e.terminal import Terminal, qtui
from tests.e2e.wire import foreign

PATIENCE = 240.0
"""For real workers on a machine that does other things as well."""


def trained(workspace: Path) -> Run:
    """A run of a few steps on the built-in model and data."""
    settings = config(
        "model.model_name=builtin:tiny", "data.input_path=builtin:camara", "training.max_steps=3",
        "training.batch_size=2", "training.gradient_accumulation_steps=1",
        "data.max_samples=40", "training.max_seq_length=256",
    )  # fmt: skip
    run = create(workspace, kind="train", config=settings, command=["qtui"], name="quiet-otter")
    launch.launch(run)
    assert launch.wait(run, timeout=PATIENCE) is Status.COMPLETED, run.worker_log.read_text()
    return run


def answered(terminal: Terminal) -> bool:
    """Whether both sides have said how long they took, and nothing is being written."""
    return (
        len(re.findall(r"first \d+\.\d+ s", terminal.text)) == 2
        and "esc to the answers" in terminal.text
    )


@pytest.fixture(autouse=True)
def no_server_outlives_it(tmp_path: Path) -> Iterator[None]:
    yield
    for each in serving.living(tmp_path):
        server.stop(each)


@pytest.mark.train
def test_an_answer_is_judged_and_trained_on(tmp_path: Path) -> None:
    run = trained(tmp_path)
    (tmp_path / ".settings/qtui").mkdir(parents=True)
    (tmp_path / ".settings/qtui/config.toml").write_text("bell = false\n")
    with Terminal(qtui(), cwd=tmp_path) as terminal:
        terminal.until("completed")
        terminal.press("T")
        terminal.until("quiet-otter vs base")
        terminal.press("How do I return a lamp?", "enter")  # the model is still being loaded
        terminal.until(lambda: answered(terminal), PATIENCE)
        terminal.press("escape")
        terminal.until("▸ base")
        terminal.press("2")
        terminal.until("better")
        terminal.press("right", "e")
        terminal.until("What it should have said")
        terminal.press("Open Orders and choose Return.", "\x13")
        terminal.until(f"1 row, 2 pairs in runs/{run.id}/chat/sft.jsonl")
        terminal.press("t")
        terminal.until("Train on 1 judged answer?")
        terminal.press("y")
        terminal.until("sft.jsonl")
        terminal.until("new run file")
        terminal.press("\x0c")  # ctrl+l
        until(lambda: _newer(tmp_path, run), PATIENCE)
        again = _newer(tmp_path, run)
        assert again is not None
        until(lambda: status(again) is Status.COMPLETED, PATIENCE)
        terminal.press("6")
        terminal.until("quiet-otter vs base")
        terminal.press("v")
        terminal.until("stop it now")
        (served,) = serving.living(tmp_path)
        terminal.press("s")
        until(lambda: status(served) is Status.STOPPED, PATIENCE)
        terminal.press("\x11")  # ctrl+q
        assert terminal.wait() == 0
        assert not foreign(bytes(terminal.sent))

    (row,) = map(json.loads, (run.path / "chat/sft.jsonl").read_text().splitlines())
    assert row["messages"][-1]["content"].endswith("Open Orders and choose Return.")
    assert row["provenance"]["run"] == run.id
    assert again.spec.config["data"]["input_path"] == str(run.path / "chat/sft.jsonl")
    assert (again.adapter / "adapter_config.json").exists()


def _newer(workspace: Path, run: Run) -> Run | None:
    """The training run that came after `run`."""
    others = [each for each in all_runs(workspace) if each.id != run.id]
    return next((each for each in others if each.spec.kind == "train"), None)

"""Run folders for the commands to look at: a plain one and one that attacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qtui.runs import folder
from qtui.runs.events import (
    AlertEvent,
    ArtifactEvent,
    CheckpointEvent,
    FailedEvent,
    FinishedEvent,
    LogEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
    SampleEvent,
)
from qtui.runs.folder import Run
from qtui.runs.log import EventLog
from tests.cli.corpus import EVERYTHING, IN_FILES

CONFIG: dict[str, Any] = {
    "model": {"model_name": "builtin:tiny", "use_qlora": True},
    "data": {"input_path": "rows.jsonl"},
    "training": {"learning_rate": 2e-4},
}


def finished_run(workspace: Path, name: str, *, rate: float = 2e-4, steps: int = 20) -> Run:
    """A completed run of `steps` steps with one evaluation, one sample and a memory peak."""
    config = CONFIG | {"training": {"learning_rate": rate}}
    run = folder.create(workspace, kind="train", config=config, command=["qtui"], name=name)
    log = EventLog(run.events)
    log.write(PhaseEvent(phase=Phase.INITIALIZING))
    log.write(PhaseEvent(phase=Phase.TRAINING))
    for step in range(1, steps + 1):
        log.write(ProgressEvent(what="train", done=step, total=steps))
        log.write(MetricsEvent(step=step, epoch=step / steps, values={"loss": 2 / step}))
    log.write(MetricsEvent(step=steps, values={"eval_loss": 0.5}))
    log.write(SampleEvent(step=steps, prompt="[INST] how?", output="<|im_start|>so"))
    summary = {"estimated_memory": 11e9, "peak_memory_allocated": 10e9}
    log.write(FinishedEvent(status="completed", step=steps, summary=summary))
    log.close()
    return run


def hostile_run(workspace: Path, name: str = "evil") -> Run:
    """A failed run in which every text that a run can hold attacks the terminal."""
    text = IN_FILES
    config = {
        "model": {"model_name": text},
        "data": {"input_path": [text, text]},
        text: {text: text},
    }
    run = folder.create(workspace, kind="train", config=config, command=["qtui", text], name=name)
    spec = json.loads((run.path / "run.json").read_text())
    spec |= {"kind": text, "versions": {text: text}, "host": {"hostname": text}}
    (run.path / "run.json").write_text(json.dumps(spec))
    log = EventLog(run.events)
    log.write(PhaseEvent(phase=Phase.TRAINING, detail=text))
    log.write(ProgressEvent(what=text, done=1, total=4, unit="bytes"))
    log.write(MetricsEvent(step=1, values={"loss": 1.0, text: 2.0, "eval_loss": 1.5}))
    log.write(SampleEvent(step=1, prompt=text, output=text, reference=text))
    log.write(LogEvent(level="error", message=text))
    log.write(AlertEvent(kind=text, message=text))
    log.write(CheckpointEvent(step=1, path=f"checkpoints/{text}", size=5))
    log.write(ArtifactEvent(kind=text, path=text, size=1, detail={text: text}))
    log.write(ResumedEvent(step=1, reason=text, overrides={text: text}))
    log.write(FailedEvent(error=text, message=text, remedy=text))
    log.close()
    run.worker_log.write_bytes(
        EVERYTHING.encode("utf-8", "surrogatepass")
        + b"\n\x9b31m \xff\x1b[35m raw\x9d52;c;ZQ==\x07\n"
    )
    return run


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty workspace."""
    return tmp_path

"""Stands in for `python -m qtui.worker` where a test is about the commands, not about training.

A real process with the real lock and the real log: it trains nothing, but it starts, reports,
takes requests and ends as a worker does. What it does is asked for by the run's name or, where a
test does not choose the name, by the variable FAKE; `slow` comes to life only when the file FAKE_GO
is there, and says in `FAKE_GO.waiting` that it waits for it.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from pathlib import Path

from qtui.runs.commands import OVERRIDES, CommandReader
from qtui.runs.dataset import Part, StoredRow, StoredTokens
from qtui.runs.events import (
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
    SaveNow,
    Stop,
)
from qtui.runs.folder import Run
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog
from tests.cli.corpus import IN_FILES
from tests.dashboard import prepared

STEPS = 5
REPORT = {
    **{"train_rows": 90, "validation_rows": 5, "trained_tokens": 380, "tokens": 1000},
    **{"trained_share": 0.38, "lengths": {"p50": 12, "p90": 20, "p99": 40, "max": 44}},
    **{"max_seq_length": 256, "rows_truncated": 0, "rows_dropped": 0, "rows_bad": 1},
    **{"rows_read": 96, "suggestions": ["max_seq_length 256 is long"]},
    **{"finding_counts": {"broken-line": 3}, "finding_levels": {"broken-line": "error"}},
    "findings": [
        {
            "level": "error",
            "kind": "broken-line",
            "message": "no JSON",
            "source": "a.jsonl",
            "line": 7,
        }
    ],
}
TEXT = "[INST]\r\nsay \x1b[2J[/INST] ok</s>"


def main() -> int:
    run = Run(Path(sys.argv[1]))
    if "dies" in run.name:
        print("no such library \x1b[35m[INST]")
        return 3
    if "slow" in run.name or os.environ.get("FAKE") == "slow":
        _wait_for_go(Path(os.environ["FAKE_GO"]))
    commands = CommandReader(run.commands)
    with RunLock(run.lock), EventLog(run.events) as log:
        print(f"worker of {run.name} says {IN_FILES}", flush=True)
        resumed = log.next_seq > 0
        log.write(PhaseEvent(phase=Phase.INITIALIZING))
        if resumed:
            if changed := json.loads(os.environ.pop(OVERRIDES, "{}")):
                log.write(ResumedEvent(step=5, reason="settings", overrides=changed))
            log.write(ResumedEvent(step=2, reason="checkpoint"))
        if run.spec.kind == "prepare":
            return _prepare(run, log, commands)
        if run.spec.kind == "serve":
            return _serve(run, log, commands)
        log.write(PhaseEvent(phase=Phase.TRAINING, detail=f"{STEPS} steps"))
        if not resumed:
            log.write(SampleEvent(step=0, prompt="a slice", output="dunno", reference="{}"))
        for step in range(3 if resumed else 1, STEPS + 1):
            log.write(ProgressEvent(what="train", done=step, total=STEPS))
            log.write(MetricsEvent(step=step, epoch=step / 5, values={"loss": 2 / step}))
        if "fails" in run.name:
            log.write(FailedEvent(error="E", message=f"it broke {IN_FILES}", remedy="mend it"))
            return 1
        log.write(SampleEvent(step=STEPS, prompt="a slice", output="{json}", reference="{}"))
        deadline = time.monotonic() + 60
        while "waits" in run.name and not resumed and time.monotonic() < deadline:
            for command in commands.poll():
                if isinstance(command, SaveNow):
                    log.write(CheckpointEvent(step=2, path="checkpoints/step-000002", size=1000))
                if isinstance(command, Stop):
                    how = "saved" if command.save else "discarded"
                    log.write(PhaseEvent(phase=Phase.STOPPING))
                    log.write(FinishedEvent(status="stopped", step=STEPS, message=how))
                    return 130
            time.sleep(0.02)
        run.adapter.mkdir(exist_ok=True)
        log.write(LogEvent(level="info", message=f"nearly there {IN_FILES}"))
        log.write(PhaseEvent(phase=Phase.SAVING_ADAPTER))
        log.write(ArtifactEvent(kind="adapter", path="adapter", size=1234))
        log.write(FinishedEvent(status="completed", step=STEPS, message="done"))
    return 0


def _wait_for_go(go: Path) -> None:
    go.with_suffix(".waiting").touch()
    deadline = time.monotonic() + 60
    while not go.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def _wait_for_stop(commands: CommandReader) -> None:
    deadline = time.monotonic() + 60
    while not commands.poll() and time.monotonic() < deadline:
        time.sleep(0.02)


def _serve(run: Run, log: EventLog, commands: CommandReader) -> int:
    """Says that it listens, and does not."""
    log.write(PhaseEvent(phase=Phase.LOADING_MODEL, detail=run.spec.config["model"]["model_name"]))
    if os.environ.get("FAKE") == "impossible":
        log.write(FailedEvent(error="E", message="no room", remedy="buy some", exit_code=4))
        return 4
    detail = {"url": "http://127.0.0.1:8123"}
    log.write(ArtifactEvent(kind="server", path="", detail=detail))
    log.write(PhaseEvent(phase=Phase.SERVING, detail="http://127.0.0.1:8123"))
    _wait_for_stop(commands)
    log.write(FinishedEvent(status="stopped", message="3 requests were answered"))
    return 130


def _prepare(run: Run, log: EventLog, commands: CommandReader) -> int:
    log.write(PhaseEvent(phase=Phase.LOADING_DATASET))
    if os.environ.get("FAKE") == "impossible":
        log.write(FailedEvent(error="E", message="no room", remedy="buy some", exit_code=4))
        return 4
    if commands.poll():
        log.write(FinishedEvent(status="stopped"))
        Path(os.environ["FAKE_GO"]).with_suffix(".stopped").touch()
        return 130
    if os.environ.get("FAKE") == "reads":
        log.write(ProgressEvent(what="reading", done=3, total=96, unit="rows"))
        _wait_for_stop(commands)
        log.write(FinishedEvent(status="stopped"))
        Path(os.environ["FAKE_GO"]).with_suffix(".stopped").touch()
        return 130
    seen = StoredTokens(
        text=TEXT,
        trained=[(24, 30)],
        ids=struct.pack("<9I", *range(9)),
        ends=struct.pack("<9I", 6, 8, 11, 12, 16, 23, 24, 26, 30),
        kept=9,
        trained_tokens=2,
    )
    row = StoredRow(source="a.jsonl", line=1, key="0" * 16, text=TEXT)
    made = prepared.Made(rows=[row], parts=[Part.TRAIN], tokens=[seen])
    prepared.write(run.data, made, report=REPORT)
    log.write(FinishedEvent(status="completed"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

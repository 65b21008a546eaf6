"""Stands in for `python -m qtui.worker` where a test is about who watches: it only counts steps.

A real process with the real lock, log and commands. It takes a step every `STEP_SECONDS` (an
environment variable), keeps a checkpoint every 20 steps, goes on from the newest one when it is
resumed, and ends when it is told to or after `training.max_steps`.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from qtui.runs.commands import CommandReader
from qtui.runs.events import (
    CheckpointEvent,
    FinishedEvent,
    LogEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
    SaveNow,
    Stop,
)
from qtui.runs.folder import Run
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog
from qtui.runs.summary import summarize
from tests.dashboard.run_folders import steps

EVERY = 20


def main(run: Run) -> int:
    pause = float(os.environ.get("STEP_SECONDS", "0.05"))
    total = int(run.spec.config["training"]["max_steps"] or 100_000)
    commands = CommandReader(run.commands)
    with RunLock(run.lock), EventLog(run.events) as log:
        first = 1
        log.write(PhaseEvent(phase=Phase.INITIALIZING))
        if log.next_seq > 1:
            first = max(summarize(run).checkpoints, default=0) + 1
            log.write(ResumedEvent(step=first - 1, reason="checkpoint"))
        if run.spec.kind == "prepare":
            return _prepare(run, log)
        log.write(LogEvent(level="info", message="a worker that only counts"))
        log.write(PhaseEvent(phase=Phase.TRAINING, detail=f"{total} steps"))
        for step in range(first, total + 1):
            for event in steps(step, step, total=total, end=0, every=total + 1):
                log.write(event)
            asked = commands.poll()
            stop = next((command for command in asked if isinstance(command, Stop)), None)
            saves = any(isinstance(command, SaveNow) for command in asked)
            if stop is not None:
                log.write(PhaseEvent(phase=Phase.STOPPING, detail="saving a checkpoint"))
            if step % EVERY == 0 or saves or (stop is not None and stop.save):
                _checkpoint(run, log, step)
            if stop is not None:
                log.write(FinishedEvent(status="stopped", step=step, message="stopped"))
                return 130
            time.sleep(pause)
        log.write(FinishedEvent(status="completed", step=total, message="counted"))
    return 0


def _checkpoint(run: Run, log: EventLog, step: int) -> None:
    path = run.checkpoints / f"step-{step:06d}"
    path.mkdir(parents=True, exist_ok=True)
    (path / "manifest.json").write_text("{}")
    log.write(CheckpointEvent(step=step, path=f"checkpoints/{path.name}", size=1000))


def _prepare(run: Run, log: EventLog) -> int:
    log.write(PhaseEvent(phase=Phase.LOADING_DATASET))
    log.write(ProgressEvent(what="prepare", done=1, total=1, unit="rows"))
    log.write(FinishedEvent(status="completed"))
    return 0


if __name__ == "__main__":
    sys.exit(main(Run(Path(sys.argv[1]))))

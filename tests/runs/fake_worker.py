"""A worker that trains nothing: takes the lock, writes events, reacts to commands. For tests.

`python fake_worker.py MODE RUN`. Modes: `train` (until told to stop, or 100,000 steps), `finish`
(at once), `crash` (before the lock), `fail` (with a `failed` event), `hang` (never the lock),
`child` (as train, with a forked child that outlives it), `exec` (executes itself once, then
trains).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from qtui.runs.commands import CommandReader
from qtui.runs.events import (
    CheckpointEvent,
    FailedEvent,
    FinishedEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
    Stop,
)
from qtui.runs.folder import Run
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog


def main(mode: str, run: Run) -> int:
    print("fake worker, mode", mode, flush=True)
    if mode == "crash":
        raise SystemExit("\x1b[31mno torch here")
    if mode == "hang":
        time.sleep(600)
    executed = "QTUI_LOCK_FD" in os.environ
    lock = RunLock.adopt(run.lock) or RunLock(run.lock)
    lock.acquire()
    log = EventLog(run.events)
    reader = CommandReader(run.commands)
    if mode == "exec" and not executed:
        log.write(PhaseEvent(phase=Phase.INITIALIZING))
        log.write(ResumedEvent(step=0, reason="out_of_memory"))
        log.close()
        lock.keep_over_exec()
        os.execv(sys.executable, [sys.executable, *sys.argv])
    again = log.next_seq > 0 and not executed
    log.write(PhaseEvent(phase=Phase.INITIALIZING))
    if again:
        log.write(ResumedEvent(step=0))
    if mode == "fail":
        log.write(FailedEvent(error="HubError", message="no network", remedy="wait"))
        return 1
    if mode == "finish":
        log.write(FinishedEvent(status="completed"))
        return 0
    if mode == "child" and (pid := os.fork()) == 0:
        (run.path / "child").write_text(str(os.getpid()))
        signal.pause()
    elif mode == "child":
        print("child", pid, flush=True)
    return train(log, reader)


def train(log: EventLog, reader: CommandReader) -> int:
    log.write(PhaseEvent(phase=Phase.TRAINING))
    for step in range(1, 100_001):
        log.write(MetricsEvent(step=step, values={"loss": 1 / step}))
        log.write(ProgressEvent(what="training", done=step, total=100_000))
        for command in reader.poll():
            if isinstance(command, Stop):
                log.write(PhaseEvent(phase=Phase.STOPPING))
                log.write(FinishedEvent(status="stopped", step=step, message=str(command.save)))
                return 130
            log.write(CheckpointEvent(step=step, path=f"checkpoints/step-{step:06d}", size=0))
        time.sleep(0.002)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Run(Path(sys.argv[2]))))

"""Stands in for the worker of a preparation: the real lock and log, and data made by `prepared`.

What it does is asked for by the variable FAKE: `reads` (until it is told to stop), `fails`, `dies`
(before it is seen), else it prepares. With FAKE_GO it waits for that file before it is done.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from qtui.runs.commands import CommandReader
from qtui.runs.events import FailedEvent, FinishedEvent, Phase, PhaseEvent, ProgressEvent
from qtui.runs.folder import Run
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog
from tests.dashboard import prepared


def main() -> int:
    run, fake = Run(Path(sys.argv[1])), os.environ.get("FAKE", "")
    if fake == "dies":
        print("no such library \x1b[35m[INST]")
        return 3
    commands = CommandReader(run.commands)
    with RunLock(run.lock), EventLog(run.events) as log:
        log.write(PhaseEvent(phase=Phase.INITIALIZING))
        log.write(PhaseEvent(phase=Phase.LOADING_DATASET, detail="tickets.jsonl"))
        if fake == "fails":
            message = "3 of 4 rows cannot be read \x1b[2J"
            log.write(FailedEvent(error="InputError", message=message, remedy="mend the file"))
            return 2
        log.write(ProgressEvent(what="read", done=24, total=48, unit="rows"))
        run.data.mkdir()
        (run.data / ".rows.jsonl.part").write_text("half")
        go, deadline = os.environ.get("FAKE_GO"), time.monotonic() + 60
        while fake == "reads" or (go and not Path(go).exists()):
            if commands.poll() or time.monotonic() > deadline:
                log.write(PhaseEvent(phase=Phase.STOPPING))
                log.write(FinishedEvent(status="stopped"))
                return 130
            time.sleep(0.02)
        made = prepared.tickets()
        prepared.write(run.data, made)
        prepared.batch(run.data, made)
        log.write(FinishedEvent(status="completed", message="the data are prepared"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

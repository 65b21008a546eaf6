"""`python -m qtui.worker`, except that a server's engine has no model: run as a program by tests.

Worker, log, lock, stop and HTTP server are the real ones. FAKE_ENGINE says what is different:
`fails` while it is loaded, is `killed` there, `waits` until the file FAKE_GO is there, `holds` (no
word ever comes), `dies` at the third request.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from qtui.config.serve import ServeConfig
from qtui.errors import ImpossibleError
from qtui.runs.folder import Run
from qtui.stages.inference import serve
from qtui.worker import main
from tests.stages.inference.fake_engine import FakeEngine, echo

MODE = os.environ.get("FAKE_ENGINE", "")


def engine(run: Run, config: ServeConfig, *_: Any) -> FakeEngine:
    """What `serve` serves instead of a model."""
    if MODE == "fails":
        raise ImpossibleError("needs 5.1 GB, 2.3 GB free", remedy="use the CPU, or stop the run")
    if MODE == "killed":
        print("last words \x1b[2J", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    go = Path(os.environ.get("FAKE_GO", "/"))
    deadline = time.monotonic() + 60
    while not go.exists() and time.monotonic() < deadline:
        time.sleep(0.02)

    def answer(job: Any) -> str:
        if MODE == "dies" and len(made.jobs) >= 2:
            made.die()
        if "many words" in str(job.prompt):
            return "word " * 5000
        return echo(job)

    made = FakeEngine(
        answer=answer,
        adapters=[adapter.name for adapter in config.adapters],
        max_context=100_000,
        max_concurrent=config.max_concurrent,
    )
    if MODE == "holds":
        made.hold()
        made.let(2)
    return made


if __name__ == "__main__":
    serve._engine = engine  # type: ignore[assignment]
    serve._require_packages = lambda config: None
    sys.exit(main())

"""Runs that only count, for tests of who watches; started here or by a dashboard under test."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from qtui.errors import InputError
from qtui.runs import folder, launch
from qtui.runs.folder import Run
from qtui.runs.series import load
from qtui.runs.state import Status, status
from tests.dashboard.run_folders import config

WORKER = (sys.executable, "-m", "tests.e2e.stepping_worker")
STEPS = 2000
"""A run ends by itself after these, should a test forget it."""


def counting_run(workspace: Path, name: str = "quiet-otter", steps: int = STEPS) -> Run:
    """A run that is not started yet."""
    settings = config(f"training.max_steps={steps}")
    return folder.create(workspace, kind="train", config=settings, command=["qtui"], name=name)


def start(run: Run) -> Run:
    launch.launch(run, argv=WORKER)
    return run


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for `condition`; fail when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def taken(run: Run) -> list[int]:
    """The steps that the log tells of, in its order, each once."""
    return load(run).metric("loss")[0]


def goes_on(run: Run, *, steps: int = 15) -> None:
    """Wait until the run has taken so many more steps, and see that none is missing."""
    before = len(taken(run))
    until(lambda: len(taken(run)) >= before + steps)
    now = taken(run)
    assert now == list(range(1, now[-1] + 1))


def end(run: Run) -> None:
    """Stop the run's worker, if there is one."""
    try:
        launch.request_stop(run, save=False)
    except InputError:  # it has none
        return
    assert launch.wait(run, timeout=60) is Status.STOPPED, status(run)

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qtui.runs import folder, launch
from qtui.runs.folder import Run

FAKE = str(Path(__file__).with_name("fake_worker.py"))


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for `condition`; fail the test when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make(tmp_path)


def make(workspace: Path, name: str | None = None, **config: object) -> Run:
    return folder.create(
        workspace, kind="train", config=config, command=["qtui", "train", "run.yaml"], name=name
    )


@pytest.fixture
def start() -> Iterator[Callable[..., int]]:
    """Launch a fake worker; whatever is left of it is killed after the test."""
    pids: list[int] = []

    def started(run: Run, mode: str = "train", *, again: bool = False, timeout: float = 60) -> int:
        verb = launch.resume if again else launch.launch
        pids.append(verb(run, argv=[sys.executable, FAKE, mode], timeout=timeout))
        return pids[-1]

    yield started
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().find(b"fake_worker") >= 0:
                os.kill(pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            continue

"""Requests reach a worker: by signal or by file, at once or at the next boundary."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qtui.runs import commands
from qtui.runs.events import SaveNow, Stop

WORKER = """
import sys, time
from pathlib import Path
from qtui.runs.commands import CommandReader
from qtui.stages.control import Control, StopNow

control = Control(CommandReader(Path(sys.argv[1])))
control.listen()
try:
    if sys.argv[2] == "loading":
        print("ready", flush=True)
        while True:
            try:
                time.sleep(100)
            except Exception:
                pass
    with control.shielded():
        print("ready", flush=True)
        deadline = time.monotonic() + 60
        while control.stop is None and time.monotonic() < deadline:
            if control.save_now:
                control.save_now = False
                print("saved", flush=True)
            time.sleep(0.01)
        print("boundary", control.stop, flush=True)
    control.check()
except StopNow:
    print("stopped", flush=True)
"""


def start(path: Path, mode: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), mode], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def rest(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_interrupts_loading_at_once(tmp_path: Path, number: int) -> None:
    process = start(tmp_path / "commands.jsonl", "loading")
    os.kill(process.pid, number)
    assert rest(process) == "stopped\n"


def test_a_line_in_the_file_interrupts_loading_too(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    process = start(path, "loading")
    commands.append(path, Stop(save=False))
    assert rest(process) == "stopped\n"


def test_a_shielded_loop_comes_to_it_at_its_boundary(tmp_path: Path) -> None:
    process = start(tmp_path / "commands.jsonl", "loop")
    os.kill(process.pid, signal.SIGTERM)
    assert rest(process) == "boundary Stop(save=True, time=0.0)\nstopped\n"


def test_discard_reaches_the_loop_and_a_later_signal_does_not_undo_it(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    process = start(path, "loop")
    commands.append(path, Stop(save=False))
    output = rest(process)
    assert "boundary Stop(save=False" in output


def test_save_now_is_seen_once_for_each_time_it_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    process = start(path, "loop")
    assert process.stdout is not None
    for _ in range(2):
        commands.append(path, SaveNow())
        assert process.stdout.readline() == "saved\n"
    os.kill(process.pid, signal.SIGTERM)
    assert rest(process).startswith("boundary")


def test_a_hang_up_is_not_for_a_worker(tmp_path: Path) -> None:
    process = start(tmp_path / "commands.jsonl", "loop")
    os.kill(process.pid, signal.SIGHUP)
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        assert process.poll() is None
    os.kill(process.pid, signal.SIGTERM)
    assert rest(process).endswith("stopped\n")

"""The dashboard over a real SSH connection: on a slow line, and when the line is lost.

`LINE_DOWN_SECONDS=60` keeps the line down for so long; without it until the run has taken some
steps that nobody saw.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from qtui.runs.folder import Run
from qtui.runs.state import Status, status
from tests.e2e.counting import counting_run, end, goes_on, start, taken, until
from tests.e2e.slow_line import slow_line
from tests.e2e.sshd import Pod, serve
from tests.e2e.terminal import Terminal, environment, qtui
from tests.e2e.test_dashboard_terminal import follows, monitor

DOWN = float(os.environ.get("LINE_DOWN_SECONDS", "0"))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "work space"
    path.mkdir()
    return path


@pytest.fixture
def served(workspace: Path, tmp_path: Path) -> Iterator[Pod]:
    """sshd whose sessions find this qtui and its tests, and have nothing else of ours."""
    kept = ("PATH", "PYTHONPATH", "LANG", "TZ", "XDG_CONFIG_HOME")
    variables = {name: environment(workspace)[name] for name in kept}
    with serve(tmp_path / "ssh", variables | {"STEP_SECONDS": "0.05"}) as pod:
        yield pod


@pytest.fixture
def run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("STEP_SECONDS", "0.05")
    monkeypatch.setenv("PYTHONPATH", environment(workspace)["PYTHONPATH"])
    made = counting_run(workspace)
    yield made
    end(made)


def connect(pod: Pod, workspace: Path, port: int | None = None) -> Terminal:
    """A terminal on a laptop in which somebody logs in and opens the dashboard."""
    there = f"cd {shlex.quote(str(workspace))} && exec {shlex.join(qtui(fake=True))}"
    login = pod.login_through(port or pod.port)
    return Terminal([login[0], "-tt", *login[1:], there], cwd=workspace)


def dashboards(workspace: Path) -> list[psutil.Process]:
    """The dashboards that run in `workspace` on the far side."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = process.info["cmdline"] or []
        if "tests.e2e.qtui_with_fake_worker" in command and process.info["cwd"] == str(workspace):
            found.append(process)
    return [process for process in found if process.name() != "ssh"]


def test_a_lost_connection_leaves_the_run_alone_and_no_step_is_missing(
    served: Pod, run: Run, workspace: Path
) -> None:
    with connect(served, workspace) as terminal:
        terminal.until(run.name)
        terminal.press("r")
        until(lambda: status(run) is Status.TRAINING)
        monitor(terminal, run)
        follows(terminal, run)
        seen = taken(run)[-1]
        lost = time.monotonic()
        served.cut_connections()
        terminal.wait()
    until(lambda: not dashboards(workspace))
    until(lambda: time.monotonic() >= lost + DOWN, DOWN + 60)
    goes_on(run)
    with connect(served, workspace) as terminal:
        monitor(terminal, run)
        follows(terminal, run)
        now = taken(run)
    assert now == list(range(1, now[-1] + 1))
    assert now[-1] > seen


def test_a_slow_line_is_enough_to_start_watch_and_stop_a_run(
    served: Pod, run: Run, workspace: Path
) -> None:
    start(run)
    with (
        slow_line(served.port) as port,
        connect(served, workspace, port) as terminal,
    ):
        monitor(terminal, run)
        follows(terminal, run)
        terminal.press("?")
        terminal.until("monitor.stop")
        terminal.press("escape")
        terminal.until(lambda: "monitor.stop" not in terminal.text)
        follows(terminal, run)
        terminal.press("s")
        terminal.until(f"Stop {run.name}")
        terminal.press("enter")
        terminal.until("stopped")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
    assert status(run) is Status.STOPPED

"""The real dashboard on a real terminal: opened, used, left; and whatever becomes of it, the run
that it started goes on.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from qtui.runs.folder import Run, all_runs
from qtui.runs.state import Status, status
from qtui.runs.summary import summarize
from tests.dashboard import run_folders
from tests.e2e.counting import counting_run, end, goes_on, start, taken, until
from tests.e2e.terminal import Terminal, environment, qtui
from tests.tools import need


@pytest.fixture(autouse=True)
def _counts_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """For workers that tests start; those of a dashboard have its environment."""
    monkeypatch.setenv("STEP_SECONDS", "0.05")
    monkeypatch.setenv("PYTHONPATH", environment(Path())["PYTHONPATH"])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run that is not started yet; it is ended after the test."""
    made = counting_run(tmp_path)
    yield made
    end(made)


def dashboard(workspace: Path, size: tuple[int, int] = (80, 24)) -> Terminal:
    return Terminal(qtui(fake=True), cwd=workspace, size=size)


def monitor(terminal: Terminal, run: Run) -> None:
    """From Home to the Monitor of `run`, the only one there; wait until it shows the steps."""
    terminal.until(run.name)
    terminal.press("enter")
    terminal.until(f"/{run.spec.config['training']['max_steps']}")


def shown_step(terminal: Terminal, run: Run) -> int:
    """The step that the Monitor says the run is at; 0 while a frame is only half drawn."""
    planned = run.spec.config["training"]["max_steps"]
    return max(map(int, re.findall(rf"(\d+)/{planned}\b", terminal.text)), default=0)


def follows(terminal: Terminal, run: Run) -> None:
    """Wait until the screen has come to a step that the run takes after this moment."""
    now = summarize(run).step
    terminal.until(lambda: shown_step(terminal, run) > now)


def test_it_opens_answers_keys_follows_the_window_and_leaves_no_trace(tmp_path: Path) -> None:
    with run_folders.every_state(tmp_path) as runs, dashboard(tmp_path) as terminal:
        for name in (run.name for run in runs.values()):
            terminal.until(name)
        terminal.press("9")
        terminal.until(lambda: "quiet-otter" not in terminal.text)
        terminal.press("1")
        for size in ((120, 40), (60, 16), (80, 24), (200, 60)):
            terminal.resize(*size)
            terminal.until("quiet-otter")
            terminal.until(lambda rows=size[1]: terminal.rows[rows - 1].strip())
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        for left in (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l", b"\x1b[?2004l", b"\x1b[?7h"):
            assert left in terminal.sent
        assert terminal.sent.rindex(b"\x1b[?1049l") > terminal.sent.rindex(b"\x1b[?1049h")
        assert status(runs["training"]) is Status.TRAINING


def test_keys_that_come_all_at_once_are_taken_one_by_one(tmp_path: Path) -> None:
    """A slow line hands over what was typed in one piece: each key acts on what the last opened."""
    with run_folders.every_state(tmp_path), dashboard(tmp_path) as terminal:
        terminal.until("7 runs")
        terminal.press("/quit\x7fet\r\rl")  # filter, mend, take it, open the run, the whole log
        terminal.until("412/1200")
        terminal.until("step 200")  # which its pane of five lines would not show
        terminal.press("12/max_steps\r\r\x7f40\r")  # Home, the form, a setting, its new value
        terminal.until("1 set by you")
        assert any("max_steps" in row and "* 40" in row for row in terminal.rows)
        terminal.press("1?\x1b")
        terminal.until("1 of 7 runs")
        terminal.press("\x11")
        assert terminal.wait() == 0


def test_quitting_is_asked_about_and_says_that_runs_go_on(run: Run, tmp_path: Path) -> None:
    start(run)
    with dashboard(tmp_path) as terminal:
        terminal.until(run.name)
        terminal.press("q")
        terminal.until("go on")
        terminal.press("escape")
        terminal.until(lambda: "go on" not in terminal.text)
        assert terminal.alive
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
    goes_on(run)


ENDS: dict[str, Callable[[Terminal], None]] = {
    "SIGKILL": lambda terminal: terminal.signal(signal.SIGKILL),
    "SIGTERM": lambda terminal: terminal.signal(signal.SIGTERM),
    "SIGHUP": lambda terminal: terminal.signal(signal.SIGHUP),
    "the window is closed": Terminal.close_window,
}


@pytest.mark.parametrize("how", ENDS)
def test_a_run_started_here_outlives_its_dashboard(how: str, run: Run, tmp_path: Path) -> None:
    with dashboard(tmp_path) as terminal:
        terminal.until(run.name)
        terminal.press("r")
        until(lambda: status(run) is Status.TRAINING)
        monitor(terminal, run)
        follows(terminal, run)
        children = psutil.Process(terminal.pid).children(recursive=True)
        ENDS[how](terminal)
        terminal.wait()
        until(
            lambda: all(not c.is_running() or "worker" in " ".join(c.cmdline()) for c in children)
        )
    goes_on(run)
    with dashboard(tmp_path) as other:
        monitor(other, run)
        follows(other, run)
    assert len(taken(run)) == taken(run)[-1]


def test_a_run_started_in_tmux_outlives_the_tmux_server(run: Run, tmp_path: Path) -> None:
    tmux = [need("tmux"), "-S", str(tmp_path / "tmux.sock"), "-f", os.devnull]
    variables = environment(tmp_path)

    def shown() -> str:
        return subprocess.run(
            [*tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True, env=variables
        ).stdout

    subprocess.run(
        [*tmux, "new-session", "-d", "-x", "80", "-y", "24", *qtui(fake=True)],
        cwd=tmp_path,
        env=variables,
        check=True,
    )
    try:
        until(lambda: run.name in shown())
        subprocess.run([*tmux, "send-keys", "r"], check=True)
        until(lambda: status(run) is Status.TRAINING)
        subprocess.run([*tmux, "send-keys", "Enter"], check=True)
        until(lambda: "/2000" in shown())
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
    goes_on(run)
    with dashboard(tmp_path) as other:
        monitor(other, run)
        follows(other, run)


def test_two_dashboards_watch_one_run_and_both_see_its_end(run: Run, tmp_path: Path) -> None:
    start(run)
    with dashboard(tmp_path) as one, dashboard(tmp_path, (120, 40)) as two:
        monitor(one, run)
        monitor(two, run)
        follows(one, run)
        follows(two, run)
        one.press("s")
        one.until(f"Stop {run.name}")
        one.press("enter")
        one.until("stopped")
        two.until("stopped")
        last = summarize(run).step
        for terminal in (one, two):
            terminal.until(lambda shown=terminal: shown_step(shown, run) == last)
    assert taken(run) == list(range(1, last + 1))


def test_a_killed_worker_is_said_to_be_interrupted_and_goes_on_by_one_key(
    run: Run, tmp_path: Path
) -> None:
    start(run)
    with dashboard(tmp_path) as terminal:
        monitor(terminal, run)
        until(lambda: summarize(run).checkpoints)
        worker = next(
            process
            for process in psutil.process_iter(["cmdline"])
            if {str(run.path), "tests.e2e.stepping_worker"} <= set(process.info["cmdline"] or ())
        )
        worker.kill()
        terminal.until("interrupted")
        terminal.press("r")
        until(lambda: status(run) is Status.TRAINING)
        terminal.until("training")
        follows(terminal, run)
    goes_on(run)


def test_nothing_heavy_is_ever_loaded(tmp_path: Path) -> None:
    """Every screen is visited, then the process says itself what it has loaded."""
    tell = tmp_path / "loaded"
    program = (
        "import signal, sys, pathlib\n"
        f"tell = pathlib.Path({str(tell)!r})\n"
        "def say(*_): tell.with_suffix('.new').write_text(chr(10).join(sys.modules)); "
        "tell.with_suffix('.new').rename(tell)\n"
        "signal.signal(signal.SIGUSR1, say)\n"
        "from qtui.cli.main import main\n"
        "sys.exit(main([]))\n"
    )
    with (
        run_folders.every_state(tmp_path),
        Terminal([sys.executable, "-c", program], cwd=tmp_path) as terminal,
    ):
        terminal.until("quiet-otter")
        terminal.press("/")
        terminal.until("esc all runs")
        terminal.press("quiet")
        terminal.until(lambda: "swift-ibis" not in terminal.text)
        terminal.press("enter")
        terminal.until(lambda: "esc all runs" not in terminal.text)
        terminal.press("enter")
        terminal.until("412/1200")
        terminal.press("2")
        terminal.until("Fits")
        terminal.press("9")
        terminal.until("Python")
        terminal.press("1")
        terminal.until("of 7 runs")
        terminal.signal(signal.SIGUSR1)
        terminal.until(tell.exists)
        loaded = {name.partition(".")[0] for name in tell.read_text().splitlines()}
        memory = psutil.Process(terminal.pid).memory_info().rss
    assert "textual" in loaded
    assert not loaded & {"torch", "transformers", "numpy", "pandas", "peft", "trl", "datasets"}
    assert memory < 200 << 20


def test_all_runs_of_a_workspace_are_the_ones_on_disk(tmp_path: Path) -> None:
    runs = run_folders.many(tmp_path, 30)
    with dashboard(tmp_path) as terminal:
        terminal.until(runs[0].name)
        terminal.press("end")
        terminal.until(runs[-1].name)
    assert len(all_runs(tmp_path)) == 30

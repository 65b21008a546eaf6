"""However the dashboard ends, the terminal is as it was before and no process is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import termios
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.e2e.terminal import Terminal, environment, qtui

READY = "? help"
SOON = 30.0
"""Seconds in which things are over on a busy machine; what spins or hangs never is."""


def modes(sent: bytes) -> dict[str, str]:
    """The last state (h: set, l: not) of every private mode that was touched."""
    return {number.decode(): how.decode() for number, how in re.findall(rb"\?(\d+)([hl])", sent)}


def assert_restored(sent: bytes) -> None:
    """Every mode is as a shell expects it, and the keyboard's stack is as high as before."""
    after = modes(sent)
    assert after.pop("25") == "h", "the cursor is hidden"
    assert after.pop("7") == "h", "lines do not wrap"
    assert {number for number, how in after.items() if how == "h"} == set()
    assert {"1049", "1000", "1003", "1006", "1015", "1004", "2004"} <= after.keys()
    assert len(re.findall(rb"\x1b\[>\d+u", sent)) == len(re.findall(rb"\x1b\[<u", sent)) == 1
    assert sent.rindex(b"\x1b[<u") < sent.rindex(b"\x1b[?1049l")


def marked(mark: str) -> list[psutil.Process]:
    """The living processes that inherited `mark`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("QTUI_TEST_MARK") == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


def gone(mark: str) -> None:
    """Wait until no process with `mark` is left."""
    deadline = time.monotonic() + SOON
    while left := marked(mark):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.05)


def script(path: Path, text: str) -> list[str]:
    """A command that runs `text`, and then qtui in the same process."""
    path.write_text(f"{text}\nimport sys\nfrom qtui.cli.main import main\nsys.exit(main([]))\n")
    return [sys.executable, str(path)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_in_order(number: signal.Signals, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    with Terminal(qtui(), cwd=tmp_path, env={"QTUI_TEST_MARK": mark}) as terminal:
        before = termios.tcgetattr(terminal._fd)
        terminal.until(READY)
        assert termios.tcgetattr(terminal._fd) != before
        terminal.signal(number)
        assert terminal.wait(SOON) == 128 + number
        gone(mark)
        terminal.until(lambda: b"\x1b[?25h" in terminal.sent, alive=False)
        assert_restored(bytes(terminal.sent))
        assert termios.tcgetattr(terminal._fd) == before


def test_ctrl_c_says_how_to_leave_and_ctrl_q_leaves(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    with Terminal(qtui(), cwd=tmp_path, env={"QTUI_TEST_MARK": mark}) as terminal:
        terminal.until(READY)
        terminal.press("ctrl+c")
        terminal.until("ctrl+q leaves")
        terminal.press("ctrl+q")
        assert terminal.wait(SOON) == 0
        gone(mark)
        assert_restored(bytes(terminal.sent))


def test_without_the_mouse_no_mode_of_it_is_set(tmp_path: Path) -> None:
    settings = tmp_path / ".settings" / "qtui"
    settings.mkdir(parents=True)
    (settings / "config.toml").write_text("mouse = false\n")
    with Terminal(qtui(), cwd=tmp_path) as terminal:
        terminal.until(READY)
        terminal.press("ctrl+q")
        assert terminal.wait(SOON) == 0
        assert not {"1000", "1003", "1006", "1015", "1016"} & modes(bytes(terminal.sent)).keys()


def test_a_closed_window_ends_it(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    with Terminal(qtui(), cwd=tmp_path, env={"QTUI_TEST_MARK": mark}) as terminal:
        terminal.until(READY)
        terminal.close_window()
        assert terminal.wait(SOON) == 128 + signal.SIGHUP
        gone(mark)


def test_the_end_of_input_alone_ends_it_and_nothing_spins(tmp_path: Path) -> None:
    # Not its controlling terminal: nobody sends SIGHUP, the input just ends.
    mark = uuid.uuid4().hex
    ours, its = os.openpty()
    process = subprocess.Popen(
        qtui(), cwd=tmp_path, env=environment(tmp_path, {"QTUI_TEST_MARK": mark}),
        stdin=its, stdout=its, stderr=its, start_new_session=True,
    )  # fmt: skip
    os.close(its)
    try:
        sent = b""
        while READY.split()[1].encode() not in sent:
            sent += os.read(ours, 65536)
        used = sum(psutil.Process(process.pid).cpu_times()[:2])
        os.close(ours)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 128 + signal.SIGHUP
        assert usage.ru_utime + usage.ru_stime - used < 1.5
        gone(mark)
    finally:
        for left in marked(mark):
            left.kill()


def test_the_death_of_its_parent_ends_it(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    parent = [sys.executable, "-c", f"import subprocess; subprocess.run({qtui()!r})"]
    with Terminal(parent, cwd=tmp_path, env={"QTUI_TEST_MARK": mark}) as terminal:
        terminal.until(READY)
        terminal.signal(signal.SIGKILL)
        gone(mark)


def test_a_terminal_that_takes_nothing_does_not_keep_it(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    with Terminal(qtui(), cwd=tmp_path, env={"QTUI_TEST_MARK": mark}) as terminal:
        terminal.until(READY)
        stall(terminal)
        for _ in range(40):
            terminal.press("ctrl+t")
        terminal.signal(signal.SIGTERM)
        assert terminal.wait(SOON) == 128 + signal.SIGTERM
        gone(mark)


def stall(terminal: Terminal) -> None:
    """Stop reading what the program writes, as a frozen connection does."""
    os.write(terminal._stop_write, b"x")
    terminal._reader.join(SOON)
    os.read(terminal._stop_read, 1)


def test_keys_work_while_the_terminal_takes_nothing_and_the_screen_comes_back(
    tmp_path: Path,
) -> None:
    written = tmp_path / "themes"
    command = script(
        tmp_path / "noting.py",
        f"""
from qtui.app import QtuiApp
kept = QtuiApp.use_theme
def use_theme(self, name):
    with open({str(written)!r}, "a") as file:
        file.write(name + "\\n")
    kept(self, name)
QtuiApp.use_theme = use_theme
""",
    )
    with Terminal(command, cwd=tmp_path, size=(120, 40)) as terminal:
        terminal.until(READY)
        stall(terminal)
        # Each theme draws the whole screen: far more than a terminal's buffer and the backlog.
        for count in range(1, 61):
            terminal.press("ctrl+t")
            terminal.until(
                lambda n=count: written.exists() and len(written.read_text().split()) >= n
            )
        terminal.press("?")
        terminal._reader = type(terminal._reader)(target=terminal._read, daemon=True)
        terminal._reader.start()
        terminal.until("Help: what every key does")
        terminal.until("On every screen")
        terminal.until(lambda: "esc, q" in terminal.rows[-1])
        terminal.press("ctrl+q")
        assert terminal.wait(SOON) == 0
        assert_restored(bytes(terminal.sent))


def test_a_crash_is_told_without_what_variables_held(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    command = script(
        tmp_path / "crashing.py",
        """
from qtui.app import QtuiApp
def crash(self):
    token = "hf_verysecret"
    raise ValueError("odd \\x1b]0;title\\x07 value")
QtuiApp.action_help = crash
""",
    )
    variables = {"QTUI_TEST_MARK": mark, "XDG_STATE_HOME": str(tmp_path / "state")}
    with Terminal(command, cwd=tmp_path, env=variables, size=(100, 24)) as terminal:
        before = termios.tcgetattr(terminal._fd)
        terminal.until(READY)
        terminal.press("?")
        assert terminal.wait(SOON) == 1
        gone(mark)
        terminal.until("the dashboard crashed: ValueError: odd", alive=False)
        assert_restored(bytes(terminal.sent))
        assert termios.tcgetattr(terminal._fd) == before
        assert b"\x1b]0;title" not in terminal.sent
        assert "Traceback" not in terminal.text
        (report,) = (tmp_path / "state" / "qtui").iterdir()
        assert report.name in terminal.text.replace("\n", "")
        told = report.read_text()
        assert "in crash" in told
        assert "ValueError" in told
        assert "hf_verysecret" not in told
        assert report.stat().st_mode & 0o077 == 0


def test_a_thread_that_hangs_does_not_keep_it(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    command = script(
        tmp_path / "hanging.py",
        f"""
import pathlib, threading
import qtui.app
def hang(app):
    pathlib.Path({str(begun)!r}).touch()
    threading.Event().wait()
qtui.app.run_deeds = hang
""",
    )
    with Terminal(command, cwd=tmp_path) as terminal:
        terminal.until(READY)
        terminal.press(":")
        terminal.until(begun.exists)
        terminal.press("ctrl+q")
        assert terminal.wait(SOON) == 0
        assert_restored(bytes(terminal.sent))


def test_a_thread_that_fails_is_told(tmp_path: Path) -> None:
    command = script(
        tmp_path / "failing.py",
        """
from qtui.dashboard.reading import MachineReader
def fail(self):
    raise OSError("the sensor fell off")
MachineReader._read = fail
""",
    )
    variables = {"XDG_STATE_HOME": str(tmp_path / "state")}
    with Terminal(command, cwd=tmp_path, env=variables) as terminal:
        terminal.until("machine-reader stopped")
        terminal.until("sensor fell off")
        terminal.press("ctrl+q")
        assert terminal.wait(SOON) == 0
        assert list((tmp_path / "state" / "qtui").iterdir())


def test_it_goes_to_the_background_and_comes_back(tmp_path: Path) -> None:
    shell = ["bash", "--norc", "--noediting", "-i"]
    with Terminal(shell, cwd=tmp_path, env={"PS1": "$ "}) as terminal:
        terminal.until("$")
        terminal.press(" ".join(qtui()), "enter")
        terminal.until(READY)
        terminal.press("ctrl+z")
        terminal.until("Stopped")
        assert_restored(bytes(terminal.sent))
        so_far = len(terminal.sent)
        terminal.press("fg", "enter")
        terminal.until(lambda: b"1 Home" in terminal.sent[so_far:])
        terminal.press("ctrl+q")
        terminal.until(lambda: b"\x1b[?25h" in terminal.sent[so_far:])
        assert_restored(bytes(terminal.sent[so_far:]))
        terminal.press("echo code $?", "enter")
        terminal.until("code 0")


def test_without_a_terminal_it_prints_and_ends(tmp_path: Path) -> None:
    ways: dict[str, Callable[[], list[str]]] = {
        "a pipe": lambda: qtui(),
        "asked to": lambda: qtui("--headless"),
        "JSON": lambda: qtui("--json"),
    }
    for way, command in ways.items():
        done = subprocess.run(
            command(), cwd=tmp_path, env=environment(tmp_path), capture_output=True, check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert b"\x1b" not in done.stdout, way


@pytest.mark.parametrize("arguments", [["--headless"], ["--json"]])
def test_on_a_terminal_it_prints_when_asked_to(arguments: list[str], tmp_path: Path) -> None:
    with Terminal(qtui(*arguments), cwd=tmp_path) as terminal:
        assert terminal.wait(SOON) == 0
        assert b"1049h" not in terminal.sent


def test_messages_may_go_to_a_file(tmp_path: Path) -> None:
    command = ["sh", "-c", f"exec {' '.join(qtui())} 2>messages"]
    with Terminal(command, cwd=tmp_path) as terminal:
        terminal.until(READY)
        terminal.press("ctrl+q")
        assert terminal.wait(SOON) == 0
    assert (tmp_path / "messages").read_bytes() == b""


def test_a_dumb_terminal_gets_text(tmp_path: Path) -> None:
    with Terminal(qtui(), cwd=tmp_path, env={"TERM": "dumb"}) as terminal:
        assert terminal.wait(SOON) == 0
        assert Counter(terminal.sent)[0x1B] == 0

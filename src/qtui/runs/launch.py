"""Starting, resuming, stopping and waiting for a worker; the only place that starts one.

A worker is a process of its own session with its output in the run's `worker.log`. Nothing of
it depends on whoever started it: a terminal that closes, a line that drops, a killed dashboard
leave it alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from qtui.errors import InputError, QtuiError
from qtui.runs import commands, durable, lock, state
from qtui.runs.events import SettingValue, Stop
from qtui.runs.folder import Run
from qtui.runs.state import FINAL, Status
from qtui.terminal import clean, clean_line

START_SECONDS = 120.0
WORKER: tuple[str, ...] = (sys.executable, "-m", "qtui.worker")
"""The worker's program; the run's path is appended."""

_TAIL = 4096


def launch(run: Run, *, argv: Sequence[str] | None = None, timeout: float = START_SECONDS) -> int:
    """Start the worker of `run` and return its process id once it holds the run's lock.

    `argv` replaces `WORKER`. The worker's working directory is the workspace. Raises `InputError`
    when a worker lives already, `QtuiError` with the end of `worker.log` when it died at once, or
    when it has not taken the lock in `timeout` seconds (it is then ended, so that no unseen run is
    left). A KeyboardInterrupt ends the waiting alone: the worker goes on with its start.
    """
    return _alone(run, argv, timeout, {})


def _alone(
    run: Run, argv: Sequence[str] | None, timeout: float, overrides: Mapping[str, SettingValue]
) -> int:
    # Of two that launch one run at once, one would take the other's worker for its own.
    launching = lock.RunLock(run.path / ".launch")
    try:
        launching.acquire(timeout=0)
    except lock.HeldError as error:
        raise _living(run) from error
    try:
        if state.worker_lives(run):
            raise _living(run)
        return _start(run, argv, timeout, overrides)
    finally:
        launching.path.unlink(missing_ok=True)
        launching.release()


def _living(run: Run) -> InputError:
    return InputError(
        f"run {clean_line(run.id)} already has a living worker",
        remedy=f"follow it with `qtui runs attach {clean_line(run.id)}`",
    )


def _start(
    run: Run, argv: Sequence[str] | None, timeout: float, overrides: Mapping[str, SettingValue]
) -> int:
    worker = argv if argv is not None else WORKER
    path = run.path.resolve()
    log_before = _size(run.worker_log)
    events_before = _size(run.events)
    inherited = (lock.LOCK_FD, commands.OVERRIDES)  # these are meant for one process
    environ = {key: value for key, value in os.environ.items() if key not in inherited}
    environ |= {
        commands.COMMANDS_FROM: str(_size(run.commands)),
        # Modules in the workspace must not take the place of installed ones.
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
    }
    if overrides:
        environ[commands.OVERRIDES] = msgspec.json.encode(overrides).decode()
    try:
        output = os.open(run.worker_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise durable.write_error(run.worker_log, 0, error) from error
    try:
        process = subprocess.Popen(
            [*worker, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=path.parent.parent,
            env=environ,
            start_new_session=True,
        )
    finally:
        os.close(output)
    deadline = time.monotonic() + timeout
    pause = 0.005
    while process.poll() is None:
        # A log with an end in it must have moved on, or a waiter would take the old end for new.
        if lock.is_held(run.lock) and (not events_before or _size(run.events) != events_before):
            threading.Thread(target=process.wait, name="reap-worker", daemon=True).start()
            return process.pid
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise QtuiError(
                f"the worker of run {clean_line(run.id)} did not start within {timeout:.0f} s"
                + _log_tail(run.worker_log, log_before),
                remedy="try again: the machine may be busy or its disk slow",
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    if _size(run.events) != events_before:  # it lived, reported and left before we looked
        return process.pid
    code = process.returncode
    ended = f"signal {-code}" if code < 0 else f"exit code {code}"
    raise QtuiError(
        f"the worker of run {clean_line(run.id)} died at its start ({ended})"
        + _log_tail(run.worker_log, log_before),
        remedy="`qtui doctor` finds what is missing",
    )


def resume(
    run: Run,
    *,
    overrides: Mapping[str, SettingValue] | None = None,
    argv: Sequence[str] | None = None,
    timeout: float = START_SECONDS,
) -> int:
    """Start the worker of a run that is over again; it goes on from its newest checkpoint.

    `overrides` are settings that change from here on (key to value, see `config.resumable`); the
    worker keeps them for later resumes. A run that was never started is started. Raises as
    `refuse_unless_over` and `launch` do.
    """
    refuse_unless_over(run)
    return _alone(run, argv, timeout, overrides or {})


def refuse_unless_over(run: Run) -> None:
    """Raise `InputError` when `run` is living or completed, so that it cannot be resumed."""
    now = state.settled(run)
    shown = clean_line(run.id)
    if now is Status.COMPLETED:
        raise InputError(
            f"run {shown} is completed: there is nothing to resume",
            remedy="start a new run to train further",
        )
    if now not in FINAL and now is not Status.QUEUED:
        raise InputError(
            f"run {shown} is {now.value}: it needs no resuming",
            remedy=f"follow it with `qtui runs attach {shown}`",
        )


def request_stop(run: Run, *, save: bool) -> None:
    """Ask the worker to end, with a checkpoint first or without; returns at once.

    Raises `InputError` when there is no worker. `wait` tells when it is gone.
    """
    commands.send(run, Stop(save=save))


def wait(run: Run, *, timeout: float | None = None) -> Status:
    """The status when the run is over and its worker gone, or when `timeout` seconds are up."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        now = state.settled(run)
        if now in FINAL and not lock.is_held(run.lock):
            return now
        if deadline is not None and time.monotonic() > deadline:
            return now
        time.sleep(0.05)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _log_tail(path: Path, start: int) -> str:
    """The end of what was written to the log since byte `start`, to go into a message."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - _TAIL))
        text = clean(file.read().decode("utf-8", "replace")).strip()
    return f"; its last words:\n{text}" if text else "; it said nothing"

"""The GPUs of this machine, watched without ever waiting for them.

`GpuMonitor` keeps the newest snapshot that a probe process (`gpu_probe` says why a process) has
printed, read on a daemon thread. `snapshot()` returns at once, always. A probe that stops
answering is killed and replaced after a wait that doubles up to a minute; one that cannot even
be killed, because it hangs in the kernel, is left alone, and no other is started until it is
gone: at most one is ever stuck. `read_once` is the same for commands that need one reading.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from typing import Self

import msgspec

from qtui.system.gpu_readings import Cause, Gpu, Reading, Snapshot, snapshot_decoder

__all__ = ["Gpu", "GpuMonitor", "Reading", "Snapshot", "read_once"]

_MAX_WAIT = 60.0
_KILL_WAIT = 1.0
_LONGEST_LINE = 4 * 1024 * 1024


def _start_probe(*arguments: str) -> subprocess.Popen[bytes]:
    """A probe in a session of its own, so that Ctrl-C in the terminal does not reach it."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "qtui.system.gpu_probe", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _put_down(process: subprocess.Popen[bytes]) -> bool:
    """Kill `process`; whether it is gone. It is not while it hangs in the kernel."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(_KILL_WAIT)
    except subprocess.TimeoutExpired:
        return False
    return True


def _ending(code: int | None) -> tuple[str, Cause]:
    """Why a probe that ended with `code` gave no answer."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"the driver's library crashed ({name})", "crash"
    return f"the probe ended with exit code {code}", "error"


class GpuMonitor:
    """Watches the GPUs until closed; also a context manager. Nothing runs before `start`.

    `interval` is the time between two readings (at least one second is kind to the driver),
    `timeout` how long a reading may take, `first_timeout` the first one, in which the driver may
    have to wake the GPUs. All in seconds.
    """

    def __init__(
        self, *, interval: float = 1.0, timeout: float = 5.0, first_timeout: float = 20.0
    ) -> None:
        self._interval = interval
        self._timeout = timeout
        self._first_timeout = first_timeout
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._probe: subprocess.Popen[bytes] | None = None
        self._stuck: subprocess.Popen[bytes] | None = None
        self._last: Snapshot | None = None
        self._last_at = time.monotonic()
        self._why = ""
        self._cause: Cause = "starting"
        self._remedy = ""

    def start(self) -> Self:
        """Begin to watch; does nothing when already begun."""
        if self._thread is None:
            self._last_at = time.monotonic()
            self._thread = threading.Thread(target=self._run, name="gpu-monitor", daemon=True)
            self._thread.start()
        return self

    def close(self) -> None:
        """Stop watching and end the probe; returns within two seconds even if that hangs."""
        self._closed.set()
        with self._lock:
            probe = self._probe
        if probe is not None:
            probe.kill()
        if self._thread is not None:
            self._thread.join(2 * _KILL_WAIT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def snapshot(self) -> Snapshot:
        """The newest reading with its age, at once; says why when there is none."""
        with self._lock:
            last, why, cause, remedy = self._last, self._why, self._cause, self._remedy
            since = time.monotonic() - self._last_at
        if cause == "starting":
            waiting = f"waiting for the NVIDIA driver's first answer, {since:.0f} s so far"
            return Snapshot(available=False, why=waiting, cause=cause)
        if cause:
            shown = last or Snapshot(available=False)
            return msgspec.structs.replace(
                shown,
                available=False,
                why=f"unavailable since {since:.0f} s: {why}",
                cause=cause,
                remedy=remedy,
                age=since if last else None,
            )
        assert last is not None
        return msgspec.structs.replace(last, age=since)

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set():
            if self._stuck is not None and self._stuck.poll() is None:
                self._fail("the driver hangs in the kernel and cannot be interrupted", "timeout")
            else:
                self._stuck = None
                failures = 0 if self._watch() else failures + 1
            self._closed.wait(min(self._interval * 2**failures, _MAX_WAIT))

    def _watch(self) -> bool:
        """Follow one probe until it fails; whether it had given a reading."""
        try:
            probe = _start_probe(f"--interval={self._interval}")
        except OSError as error:
            self._fail(f"the probe cannot be started: {error.strerror}", "error")
            return False
        with self._lock:
            self._probe = probe
        # close() may have looked for the probe just before it was there.
        if self._closed.is_set():
            probe.kill()
        assert probe.stdout is not None
        fd = probe.stdout.fileno()
        good, rest = False, b""
        deadline = time.monotonic() + self._first_timeout
        while True:
            ready, _, _ = select.select([fd], [], [], max(deadline - time.monotonic(), 0))
            chunk = os.read(fd, 1 << 16) if ready else b""
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if self._take(line):
                    good = True
                    deadline = time.monotonic() + self._interval + self._timeout
            if len(rest) > _LONGEST_LINE:
                break
        timed_out = not ready
        if timed_out:
            self._fail("the driver does not answer", "timeout")
        with self._lock:
            self._probe = None
        gone = _put_down(probe) if timed_out else self._reap(probe)
        if not gone:
            self._stuck = probe
        return good

    def _reap(self, probe: subprocess.Popen[bytes]) -> bool:
        """End a probe that closed its output; a crash is told, an explained end is not repeated."""
        try:
            code = probe.wait(_KILL_WAIT)
        except subprocess.TimeoutExpired:
            return _put_down(probe)
        for pipe in (probe.stdin, probe.stdout):
            if pipe is not None:
                pipe.close()
        if code != 0 and not self._closed.is_set():
            self._fail(*_ending(code))
        return True

    def _take(self, line: bytes) -> bool:
        """Keep the snapshot in `line`; whether the GPUs could be read."""
        try:
            snapshot = snapshot_decoder.decode(line)
        except msgspec.DecodeError:
            return False  # a line that the driver's library printed
        if not snapshot.available:
            self._fail(snapshot.why, snapshot.cause, snapshot.remedy)
            return False
        with self._lock:
            self._last, self._last_at = snapshot, time.monotonic()
            self._why, self._cause, self._remedy = "", "", ""
        return True

    def _fail(self, why: str, cause: Cause, remedy: str = "") -> None:
        with self._lock:
            self._why, self._cause, self._remedy = why, cause, remedy


def read_once(timeout: float = 20.0) -> Snapshot:
    """One reading of the GPUs, waited for at most `timeout` seconds; never raises."""
    try:
        probe = _start_probe("--once")
    except OSError as error:
        why = f"the probe cannot be started: {error.strerror}"
        return Snapshot(available=False, why=why, cause="error")
    try:
        output, _ = probe.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _put_down(probe)
        why = f"the driver did not answer within {timeout:g} s"
        return Snapshot(available=False, why=why, cause="timeout")
    if probe.returncode != 0 or not output:
        why, cause = _ending(probe.returncode)
        return Snapshot(available=False, why=why, cause=cause)
    try:
        return snapshot_decoder.decode(output.splitlines()[-1])
    except msgspec.DecodeError:
        return Snapshot(available=False, why="the probe's answer cannot be read", cause="error")

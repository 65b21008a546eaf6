"""Runs the real `qtui` as tests need it: with pipes, or under a real pseudo-terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import chdir, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pexpect

from qtui.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120


@dataclass(frozen=True)
class Shown:
    """What a program wrote and how it ended. Under a terminal, `stdout` has both streams."""

    code: int
    stdout: bytes
    stderr: bytes = b""

    @property
    def text(self) -> str:
        return self.stdout.decode()


def command(arguments: tuple[str, ...], *, fake: bool = False) -> list[str]:
    """The argument list that starts qtui with `arguments`."""
    module = "tests.cli.qtui_with_fake_worker" if fake else "qtui"
    return [sys.executable, "-m", module, *arguments]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A quiet UTF-8 environment that finds the tests' own modules."""
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "LC_ALL")}
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    base = {"PYTHONPATH": paths, "TERM": "xterm-256color", "LANG": "C.UTF-8", "NO_COLOR": "1"}
    return kept | base | dict(extra or {})


def qtui(
    *arguments: str,
    cwd: Path,
    fake: bool = False,
    env: Mapping[str, str] | None = None,
) -> Shown:
    """Run qtui with pipes to its end."""
    done = subprocess.run(
        command(arguments, fake=fake),
        cwd=cwd,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
    )
    return Shown(done.returncode, done.stdout, done.stderr)


def in_process(
    *arguments: str,
    cwd: Path,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> Shown:
    """As `qtui`, within this process: for commands that are called often and leave nothing."""
    reading, writing = os.pipe()
    filling = threading.Thread(target=_fill, args=(writing, stdin))
    filling.start()
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(reading, encoding="utf-8"), out, err
    try:
        with chdir(cwd), patch.dict(os.environ, {"LANG": "C.UTF-8", **(env or {})}):
            code = main(arguments)
    finally:
        sys.stdin.close()
        sys.stdin, sys.stdout, sys.stderr = before
        filling.join()
    for stream in (out, err):
        stream.flush()
    return Shown(code, out.buffer.getvalue(), err.buffer.getvalue())  # type: ignore[attr-defined]


def _fill(writing: int, data: bytes) -> None:
    with suppress(BrokenPipeError), open(writing, "wb") as file:
        file.write(data)


def spawn(
    *arguments: str,
    cwd: Path,
    fake: bool = False,
    env: Mapping[str, str] | None = None,
    size: tuple[int, int] = (24, 80),
) -> pexpect.spawn:
    """Start qtui under a pseudo-terminal of `size` (rows, columns)."""
    program, *rest = command(arguments, fake=fake)
    return pexpect.spawn(
        program, rest, cwd=str(cwd), env=environment(env), dimensions=size, timeout=SECONDS
    )


def on_terminal(
    *arguments: str,
    cwd: Path,
    fake: bool = False,
    env: Mapping[str, str] | None = None,
    size: tuple[int, int] = (24, 80),
) -> Shown:
    """Run qtui under a pseudo-terminal to its end."""
    child = spawn(*arguments, cwd=cwd, fake=fake, env=env, size=size)
    shown = child.read()
    child.close()
    return Shown(child.exitstatus if child.exitstatus is not None else -child.signalstatus, shown)


def wait_for(what: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until `what` is true, or fail."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)

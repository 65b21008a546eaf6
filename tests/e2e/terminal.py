"""A terminal to run the dashboard in: a real pseudo-terminal, and an emulator that draws it.

`with Terminal(qtui(), cwd=workspace) as terminal:` then `press`, `until`, `text`. Everything that
was written to the terminal is kept in `sent`, byte for byte.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil
import pyte

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120.0
"""How long a test waits for what it expects; more only where something hangs."""

_KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "backspace": "\x7f",
    "space": " ",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
    "f1": "\x1bOP",
}


def qtui(*arguments: str, fake: bool = False) -> list[str]:
    """The command line of the real qtui; `fake`: one whose workers train nothing."""
    module = "tests.e2e.qtui_with_fake_worker" if fake else "qtui"
    return [sys.executable, "-m", module, *arguments]


def environment(cwd: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's, without what would change the dashboard's look or language."""
    dropped = {"COLUMNS", "LINES", "LC_ALL", "NO_COLOR", "TMUX", "STY", "TEXTUAL", "COLORTERM"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    own = {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "XDG_CONFIG_HOME": str(cwd / ".settings"),
        "XDG_STATE_HOME": str(cwd / ".state"),
    }
    return kept | own | dict(extra or {})


def key(name: str) -> str:
    """What a terminal sends for the key of that name; a single character for itself."""
    if name.startswith("ctrl+") and len(name) == 6:
        return chr(ord(name[-1].upper()) - 64)
    return _KEYS.get(name, name)


class Terminal:
    """A program on a pseudo-terminal of `size` (columns, rows), and what is seen there."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        size: tuple[int, int] = (80, 24),
    ) -> None:
        self.sent = bytearray()
        self.size = size
        self._heard = time.monotonic()
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._fd, program_end = os.openpty()
        self._set_size(*size)
        self._process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env=environment(cwd, env),
            stdin=program_end,
            stdout=program_end,
            stderr=program_end,
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        os.close(program_end)
        self._stop_read, self._stop_write = os.pipe()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        while True:
            ready, _, _ = select.select([self._fd, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            try:
                data = os.read(self._fd, 65536)
            except OSError:  # the last program on this terminal is gone
                return
            with self._lock:
                self.sent += data
                self._heard = time.monotonic()
                # The emulator takes the end of kitty's keyboard protocol for a letter.
                self._stream.feed(data.replace(b"\x1b[<u", b""))

    @property
    def text(self) -> str:
        """The rows as they are seen, without the blanks at their ends."""
        with self._lock:
            return "\n".join(row.rstrip() for row in self._screen.display)

    @property
    def rows(self) -> list[str]:
        return self.text.split("\n")

    def press(self, *keys: str) -> None:
        """Press keys one after the other; a text of several characters is typed."""
        for name in keys:
            self._heard = time.monotonic()
            os.write(self._fd, key(name).encode())

    def until(
        self, wanted: str | Callable[[], object], seconds: float = SECONDS, *, alive: bool = True
    ) -> None:
        """Wait until the screen shows a text, or a condition holds; else fail with the screen."""
        deadline = time.monotonic() + seconds
        while not (wanted in self.text if isinstance(wanted, str) else wanted()):
            gone = alive and not self.alive
            if gone or time.monotonic() > deadline:
                what = "the program has ended" if gone else f"waited in vain for {wanted!r}"
                raise AssertionError(f"{what}; the screen shows\n{self.text}")
            time.sleep(0.02)

    def still(self, seconds: float) -> bool:
        """Whether nothing has been pressed or written for so long."""
        return time.monotonic() - self._heard >= seconds

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def resize(self, columns: int, rows: int) -> None:
        with self._lock:
            self._screen.resize(rows, columns)
        self.size = (columns, rows)
        self._set_size(columns, rows)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def close_window(self) -> None:
        """What happens when somebody closes the terminal's window: its end goes away."""
        if self._fd >= 0:
            os.write(self._stop_write, b"x")
            self._reader.join(SECONDS)
            os.close(self._fd)
            self._fd = -1

    def wait(self, seconds: float = SECONDS) -> int:
        """The exit code of the program, negative for a signal, once it has ended."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end; it shows\n{self.text}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.alive:
            for child in psutil.Process(self.pid).children(recursive=True):
                if _in_session(child.pid, self.pid):
                    child.kill()
            self._process.kill()
            self._process.wait()
        self.close_window()
        os.close(self._stop_read)
        os.close(self._stop_write)


def _own_terminal() -> None:
    """In the new process: make its standard input the terminal that controls it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _in_session(pid: int, session: int) -> bool:
    try:
        return os.getsid(pid) == session
    except ProcessLookupError:
        return False

"""The terminal, held so that it can go away, hang or be taken back at any moment.

Textual's own driver is the base. Added to it:

- The end of the input (the terminal was closed) ends the program instead of a loop that spins.
- SIGTERM, SIGHUP and SIGINT end it in order, with the terminal as it was before (`leaving`).
- A terminal that takes nothing (a stalled connection, Ctrl-S) never makes the interface wait:
  frames are dropped, and once it takes bytes again the whole screen is drawn anew.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
from codecs import getincrementaldecoder
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from qtui.dashboard.leaving import Leaves

if TYPE_CHECKING:
    from qtui.app import QtuiApp

_BACKLOG = 32 * 1024  # bytes that may wait for the terminal before frames are dropped
_PATIENCE = 5.0  # seconds for what puts the terminal back, on a slow line

# In this order: the kitty keyboard's stack belongs to the alternate screen.
RESTORE = "".join(
    (
        "\x1b[?2026l",  # synchronised output
        "\x1b[?2004l",  # bracketed paste
        "\x1b[?2048l",  # reports of a new size
        "\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l",  # mouse
        "\x1b[?1004l",  # reports of the focus
        "\x1b[<u",  # kitty's keyboard
        "\x1b[?1049l",  # the alternate screen
        "\x1b[?7h",  # lines wrap
        "\x1b[?25h",  # the cursor is seen
        "\x1b[0m",  # no colour
    )
)
"""Takes back everything that the driver sets."""


class TtyDriver(Leaves, LinuxDriver):
    """Textual's driver for terminals, on standard input and output."""

    def __init__(
        self,
        app: QtuiApp,
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        # Standard error may be a file: `qtui 2>log`.
        assert sys.__stdout__ is not None
        self._file = sys.__stdout__
        self._out = sys.__stdout__.fileno()
        self._encoding = sys.__stdout__.encoding or "utf-8"
        self._at_work = False
        self._writer: TerminalWriter | None = None

    def _get_terminal_size(self) -> tuple[int, int]:
        # Not shutil's: it prefers COLUMNS, which a shell may have exported long ago.
        try:
            columns, lines = os.get_terminal_size(self._out)
        except OSError:
            columns, lines = 0, 0
        return columns or 80, lines or 24

    # -- writing --------------------------------------------------------------------------------

    def write(self, data: str) -> None:
        if self._writer is not None:
            self._writer.write(data.encode(self._encoding, "replace"))

    # -- from start to end ------------------------------------------------------------------------

    def start_application_mode(self) -> None:
        self._writer = TerminalWriter(self._out, self.drawn_too_little)
        self._writer.start()
        self._at_work = True
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.heed_signals()
        # The base has made a writer of its own, whose queue makes the interface wait.
        if self._writer_thread is not None:
            self._writer_thread.stop()
            self._writer_thread = None

    def stop_application_mode(self) -> None:
        if not self._at_work:
            return
        if self._writer is not None:
            self._writer.drop_frames()
        super().stop_application_mode()
        if self._mouse_pixels:
            self.write("\x1b[?1016l")
        self._at_work = False

    def close(self) -> None:
        if self._writer is not None:
            self._writer.stop()
            self._writer = None

    def _sigcont_application(self, *arguments: object) -> None:
        # After a SIGSTOP from outside there was no farewell, and nothing is to be started again.
        if not self._at_work:
            super()._sigcont_application(*arguments)
        if self._in_foreground():
            self._loop.call_soon_threadsafe(self._qtui.draw_anew)

    def _in_foreground(self) -> bool:
        """Whether the terminal is ours to draw on: not while a shell has it."""
        try:
            return os.tcgetpgrp(self.fileno) == os.getpgrp()
        except OSError:  # hung up, which the kernel tells with SIGCONT too: the input will end
            return False

    # -- leaving ----------------------------------------------------------------------------------

    def _last_words(self) -> None:
        if self._at_work:
            os.write(self._out, RESTORE.encode("ascii"))
            if self.attrs_before is not None:
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)

    # -- reading ----------------------------------------------------------------------------------

    def run_input_thread(self) -> None:
        """Hand over what is typed until told to end, or until the terminal is gone."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        try:
            while not self.exit_event.is_set():
                ready, _, _ = select.select([self.fileno], [], [], 0.1)
                if ready:
                    typed = self._read()
                    if not typed:
                        self.leave(128 + signal.SIGHUP)
                        return
                    self.hand_over(parser.feed(decode(typed)))
                for event in parser.tick():
                    self.process_message(event)
        finally:
            self._finish(parser)

    def _read(self) -> bytes:
        """What was typed; nothing when there is no terminal any more."""
        try:
            return os.read(self.fileno, 4096)
        except OSError:  # EIO: hung up, or no longer ours to read from
            return b""

    @staticmethod
    def _finish(parser: XTermParser) -> None:
        try:
            for _ in parser.feed(""):
                pass
        except (EOFError, ParseError):
            pass  # half a sequence at the end is of no use to anybody


class TerminalWriter(threading.Thread):
    """Writes to the terminal in the background; `write` never waits.

    What comes while more than `_BACKLOG` bytes wait is dropped, and `dropped` is called (on this
    thread) when all that waited is out. After `drop_frames` nothing more is dropped: what is left
    puts the terminal back.
    """

    def __init__(self, descriptor: int, dropped: Callable[[], None]) -> None:
        super().__init__(name="terminal-writer", daemon=True)
        self._descriptor = descriptor
        self._dropped = dropped
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._missing = False
        self._ending = False
        self._farewell = False

    def write(self, data: bytes) -> None:
        """Take `data`, one whole frame or control sequence."""
        with self._changed:
            if self._bytes > _BACKLOG and not self._farewell:
                self._missing = True
                return
            self._waiting.append(data)
            self._bytes += len(data)
            self._changed.notify()

    def drop_frames(self) -> None:
        """Forget what has not been begun; from now on everything is kept."""
        with self._changed:
            self._farewell = True
            self._missing = False
            self._waiting.clear()

    def stop(self) -> None:
        """Write what is left, for as long as the terminal takes it, and end."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self.join(_PATIENCE)

    def run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._ending:
                    self._changed.wait()
                if not self._waiting:
                    return
                data = b"".join(self._waiting)
                self._waiting.clear()
            if not self._write(data):
                return
            with self._changed:
                self._bytes = sum(map(len, self._waiting))
                drawn_too_little = self._missing and not self._waiting
                self._missing = self._missing and not drawn_too_little
            if drawn_too_little:
                self._dropped()

    def _write(self, data: bytes) -> bool:
        """Whether all of `data` reached the terminal; not when it is gone."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # somebody has made the terminal non-blocking
                select.select([], [self._descriptor], [], 0.1)
            except OSError:
                return False
        return True

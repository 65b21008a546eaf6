"""What the world asks of a living worker: stop, save now.

Requests come as signals and as lines of `commands.jsonl`; both end here, in two fields that the
stage reads at each step boundary. Outside the training loop there is nothing to save, and
loading a large model takes minutes: there a request to stop interrupts at once, wherever the
main thread is. `StopNow` is a `BaseException` so that no library's `except Exception` eats it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from qtui.runs.commands import CommandReader
from qtui.runs.events import SaveNow, Stop

_POLL_SECONDS = 0.25

BLOCKED_OVER_EXEC = (signal.SIGTERM, signal.SIGINT)
"""Signals that wait while a worker replaces itself by a fresh process."""


class StopNow(BaseException):
    """The run is to end here; there is nothing that a checkpoint could keep."""


class Control:
    """Requests to this worker. One per process: it owns SIGTERM, SIGINT, SIGHUP and SIGUSR1."""

    def __init__(self, commands: CommandReader) -> None:
        self.stop: Stop | None = None
        self.save_now = False
        self._commands = commands
        self._mutex = threading.Lock()
        self._interruptible = True

    def listen(self) -> None:
        """Take over the signals and begin to watch the command file.

        SIGHUP is ignored: a worker outlives the terminal it was started from.
        """
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._on_signal)
        # A worker that replaced itself blocked them until somebody would listen.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED_OVER_EXEC)
        threading.Thread(target=self._watch, name="qtui-commands", daemon=True).start()

    def poll(self) -> bool:
        """Read new commands; returns whether one of them was the first to ask for a stop.

        Cheap: one `stat` when there is nothing new.
        """
        with self._mutex:
            before = self.stop
            for command in self._commands.poll():
                if isinstance(command, Stop):
                    self.stop = command
                elif isinstance(command, SaveNow):
                    self.save_now = True
            return before is None and self.stop is not None

    def check(self) -> None:
        """Raise `StopNow` when a stop was asked for."""
        if self.stop is not None:
            raise StopNow

    def stopped(self) -> bool:
        """Whether a stop was asked for; for loops that end by themselves."""
        return self.stop is not None

    def shield(self) -> None:
        """From here on a request only sets the fields."""
        self._interruptible = False

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Inside, a request only sets the fields: the loop comes to it at its next boundary."""
        before, self._interruptible = self._interruptible, False
        try:
            yield
        finally:
            self._interruptible = before

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGUSR1 and self.stop is None:
            self.stop = Stop(save=True)
        if self._interruptible and self.stop is not None:
            raise StopNow

    def _watch(self) -> None:
        pause = threading.Event()
        while self.stop is None:
            if self.poll():
                # Wake the main thread: it may be in the middle of loading a model. Nobody else
                # has told it; a stop that it knows already must not interrupt it again.
                os.kill(os.getpid(), signal.SIGUSR1)
            pause.wait(_POLL_SECONDS)

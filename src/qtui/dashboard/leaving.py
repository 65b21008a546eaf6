"""What every driver of the dashboard does alike: it leaves when told to, and takes keys in turn.

The end is for certain: whatever hangs, the process is gone shortly after it was told to leave. And
a key is handed over when the one before has been dealt with (`in_turn`).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from textual.driver import Driver
from textual.events import Key
from textual.message import Message

from qtui.dashboard.in_turn import InTurn

if TYPE_CHECKING:
    from qtui.app import QtuiApp

LEAVE_WITHIN = 1.5
"""Seconds from a signal, or the end of the input, until the process is ended by force."""

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""What ends the dashboard in order."""

_KEY_PATIENCE = 0.3
"""Seconds after which the next key comes all the same: something may hang, or have closed."""

_LAST_WORDS = 0.3  # seconds for what puts the terminal back, when there is no more time


class Leaves(Driver):
    """A driver that can be told to leave at any moment."""

    exit_event: threading.Event
    """Set when the input is not to be read any more."""

    def __init__(
        self,
        app: QtuiApp,
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._qtui = app
        self._leaving = threading.Event()

    def heed_signals(self) -> None:
        """From now on a signal ends the program in order."""
        for number in SIGNALS:
            signal.signal(number, self._told_to_leave)

    def _told_to_leave(self, number: int, _frame: object) -> None:
        self.leave(128 + number)

    def leave(self, code: int) -> None:
        """End the program with `code`; from any thread. What hangs does not hold it up."""
        if self._leaving.is_set():
            return
        self._leaving.set()
        self.end_within(LEAVE_WITHIN, code)
        try:
            self._loop.call_soon_threadsafe(partial(self._app.exit, return_code=code))
        except RuntimeError:  # it has ended by itself just now
            os._exit(code)

    def end_within(self, seconds: float, code: int) -> None:
        """See to it that the process is gone in `seconds`, and the terminal put back."""
        end_by_force(seconds, code, self._last_words)

    def _last_words(self) -> None:
        """What has to be written even when everything else hangs."""

    def drawn_too_little(self) -> None:
        """On the writer's thread: frames were dropped, and now bytes are taken again."""
        self._loop.call_soon_threadsafe(self._qtui.draw_anew)

    def hand_over(self, events: Iterable[Message]) -> None:
        """On the thread that reads: give what was typed to the application, key by key."""
        for event in events:
            self.process_message(event)
            if isinstance(event, Key):
                self._until_dealt_with()

    def _until_dealt_with(self) -> None:
        done = threading.Event()
        deadline = time.monotonic() + _KEY_PATIENCE
        self.send_message(InTurn(done.set))
        while not done.wait(0.02):
            if self.exit_event.is_set() or time.monotonic() > deadline:
                return


def end_by_force(seconds: float, code: int, last_words: Callable[[], None] | None = None) -> None:
    """End the process with `code` in `seconds`, whatever it is doing then.

    `last_words` is called before, on a thread of its own, and not waited for long.
    """

    def end() -> None:
        time.sleep(seconds)
        if last_words is not None:
            thread = threading.Thread(target=last_words, daemon=True)
            thread.start()
            thread.join(_LAST_WORDS)
        os._exit(code)

    threading.Thread(target=end, name="end-by-force", daemon=True).start()

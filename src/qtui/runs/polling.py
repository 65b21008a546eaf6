"""Looks again and again on a thread of its own, and says so when a look does not come back.

A disk may be a network volume that stops answering in the middle of a read. Nothing can end such
a read; so it is made where nobody waits for it, and a second thread tells since when it hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from qtui.errors import QtuiError
from qtui.terminal import clean_line

PATIENCE = 2.0
"""Seconds without a sign of life after which a look counts as hanging."""

_T = TypeVar("_T")


class Poller(Generic[_T]):
    """Calls `look` every `interval` seconds, and `tell` with what it returned.

    `tell(seen, since, why)` is called by one thread at a time: `since` is the Unix time since when
    there is no answer (none while all is well), `why` a sentence about it, and `seen` is none then.
    A `look` that raises `OSError` or `QtuiError` is such a time, and is tried again. `tell` hears
    the same trouble more than once.
    """

    def __init__(
        self,
        name: str,
        look: Callable[[], _T],
        tell: Callable[[_T | None, float | None, str], None],
        interval: float,
    ) -> None:
        self._name = name
        self._look = look
        self._tell = tell
        self._interval = interval
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._resting = False
        self._telling = threading.Lock()
        self._sign_of_life: tuple[float, float] | None = None
        """Monotonic and Unix time of it; none between two looks."""
        self._since: float | None = None

    def start(self) -> None:
        """Begin; not done at once, so that `look` may use this object."""
        for part, target in (("", self._run), ("-guard", self._guard)):
            threading.Thread(target=target, name=self._name + part, daemon=True).start()

    def look_now(self) -> None:
        """Look at once, and go on looking after a `rest`."""
        self._resting = False
        self._wake.set()

    def rest(self) -> None:
        """Look no more until `look_now`."""
        self._resting = True

    def alive(self) -> None:
        """Called from within a long `look`: it gets on."""
        self._sign_of_life = time.monotonic(), time.time()

    def close(self) -> None:
        """End both threads; returns at once. Nothing that begins after this is told."""
        self._closed.set()
        self._wake.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            if not self._resting:
                self._once()
            self._wake.wait(None if self._resting else self._interval)
            self._wake.clear()

    def _once(self) -> None:
        begun = time.time()
        self.alive()
        seen: _T | None = None
        why = ""
        try:
            seen = self._look()
        except QtuiError as error:
            why = error.message
        except OSError as error:
            why = f"{clean_line(str(error.filename or 'a file'))}: {error.strerror or error}"
        with self._telling:
            self._sign_of_life = None
            self._since = (self._since or begun) if why else None
            self._say(seen, why)

    def _guard(self) -> None:
        while not self._closed.wait(PATIENCE / 4):
            with self._telling:
                last = self._sign_of_life
                if last is not None and time.monotonic() - last[0] > PATIENCE:
                    self._since = self._since or last[1]
                    self._say(None, "the disk does not answer")

    def _say(self, seen: _T | None, why: str) -> None:
        if not self._closed.is_set():
            self._tell(seen, self._since, why)

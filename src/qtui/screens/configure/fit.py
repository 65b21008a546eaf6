"""Reckons whether the form fits, a moment after it changed, one thread at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.screen import Screen
from textual.timer import Timer

from qtui.config.models import FineTuneConfig
from qtui.dashboard.background import off_loop
from qtui.system.fit import Fit, examine
from qtui.system.gpu_readings import Snapshot

if TYPE_CHECKING:
    from qtui.app import QtuiApp

_PAUSE = 0.2
"""Seconds without a change before anything is reckoned."""
_MOVED = 0.02
"""Share by which the free memory of a GPU must move for that to count as a change."""


def examined(app: QtuiApp, config: FineTuneConfig) -> Fit:
    """Whether `config` fits, with the GPUs as they were read last. Waits for the disk."""
    machine = app.machine
    try:
        return examine(config, app.workspace, gpus=machine.gpus if machine else None)
    except OSError as error:  # such as a name that no file can have
        return Fit("cpu", None, None, None, None, None, str(error.strerror or error))


class Reckoner:
    """Keeps `fit`: whether the config that `wanted` gives fits; `done` is called when it is new.

    On a disk that hangs there is one thread that hangs, not one for each change.
    """

    def __init__(
        self,
        screen: Screen[None],
        app: QtuiApp,
        wanted: Callable[[], FineTuneConfig | None],
        done: Callable[[], object],
    ) -> None:
        self.fit: Fit | None = None
        """Of the newest config that was reckoned with; None where there is none."""
        self._screen = screen
        self._app = app
        self._wanted = wanted
        self._done = done
        self._timer: Timer | None = None
        self._running = False
        self._again = False
        self._free: tuple[int | None, ...] | None = None

    def changed(self) -> None:
        """The config is another one."""
        if self._wanted() is None:
            self.fit = None
        if self._timer is not None:
            self._timer.stop()
        self._timer = self._screen.set_timer(_PAUSE, self._start)

    def machine_read(self, gpus: Snapshot) -> None:
        """The GPUs were read: what is free on them may have moved by more than flicker."""
        free = tuple(gpu.memory_free.value for gpu in gpus.gpus)
        before = self._free
        if before is None or len(free) != len(before) or any(map(_has_moved, before, free)):
            self._free = free
            self.changed()

    def _start(self) -> None:
        self._again = self._running
        config = self._wanted()
        if not self._running and config is not None:
            self._running = True
            self._screen.run_worker(self._reckon(config))

    async def _reckon(self, config: FineTuneConfig) -> None:
        fit = await off_loop(lambda: examined(self._app, config))
        self._running = False
        if config == self._wanted():
            self.fit = fit
            self._done()
        if self._again:
            self._start()


def _has_moved(before: int | None, now: int | None) -> bool:
    if before is None or now is None:
        return before is not now
    return abs(before - now) > _MOVED * max(before, 1)

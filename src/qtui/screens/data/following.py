"""A preparation that goes on, told to the data screen until it is over."""

from __future__ import annotations

from contextlib import suppress

from textual.message import Message
from textual.message_pump import MessagePump

from qtui.errors import QtuiError
from qtui.runs.folder import Run
from qtui.runs.series import History
from qtui.runs.state import FINAL, Status
from qtui.runs.watch import Batch, RunFollower

_READY = frozenset({Status.TRAINING, Status.EVALUATING, Status.SAVING_ADAPTER, Status.COMPLETED})
_ENDS = {Status.STOPPED: "was stopped", Status.INTERRUPTED: "was interrupted"}


class Went(Message, bubble=False):
    """The run that `following` follows got on."""

    def __init__(self, following: Following, batch: Batch) -> None:
        super().__init__()
        self.following = following
        self.batch = batch


class Following:
    """Follows `run` until closed; `screen` gets `Went`, and gives what is in it to `take`."""

    def __init__(self, run: Run, screen: MessagePump) -> None:
        self.run = run
        self.history = History()
        self._screen = screen
        self._follower = RunFollower(run, self._deliver)

    def _deliver(self, batch: Batch) -> None:
        with suppress(RuntimeError):  # the dashboard is being closed
            self._screen.post_message(Went(self, batch))

    def close(self) -> None:
        """Follow no more; returns at once."""
        self._follower.close()

    def take(self, batch: Batch) -> Status | None:
        """Take in what is new; the status once the data are ready or will never be."""
        if batch.history is not None:
            self.history = batch.history
        self.history.feed(batch.events)
        over = batch.unavailable_since is None and batch.status in _READY | FINAL
        return batch.status if over else None

    def ready(self, status: Status) -> bool:
        """Whether the data are there at that status."""
        return status in _READY

    def trouble(self, status: Status) -> tuple[str, QtuiError]:
        """Why there will be no data."""
        end = self.history.end
        title = f"The preparation {_ENDS.get(status, 'failed')}"
        message = end.message if end is not None else "the worker is gone without a word"
        remedy = getattr(end, "remedy", "") or f"qtui runs logs {self.run.id} tells more"
        return title, QtuiError(message, remedy=remedy)

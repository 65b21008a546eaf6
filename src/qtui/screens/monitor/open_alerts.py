"""Which alert of a run a person still has to see."""

from __future__ import annotations

from collections.abc import Iterable

from qtui.runs.alerts import Alert
from qtui.runs.events import Phase
from qtui.runs.folder import Run
from qtui.runs.series import History


class OpenAlerts:
    """The alerts of one living run: the worker's own and those that the dashboard raised.

    `newest` is the newest one that nobody has dismissed, as a sentence; empty without any.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._newest: tuple[str, float, str] | None = None  # kind, time, message
        self._dismissed: set[tuple[str, float]] = set()
        self._told: set[str] = set()

    @property
    def newest(self) -> str:
        return self._newest[2] if self._newest is not None else ""

    def look(self, history: History, active: Iterable[Alert]) -> list[Alert]:
        """Account for what the log says and for the alerts that go on; those of them that are
        new, and not in the log, are returned."""
        born = max((p.time for p in history.phases if p.phase is Phase.INITIALIZING), default=0.0)
        found = [(a.kind, a.time, a.message) for a in history.alerts if a.time >= born]
        logged = {message for _, _, message in found}
        new = []
        for alert in active:
            if alert.run not in ("", self._run.id) or alert.message in logged:
                continue
            found.append((alert.kind, alert.time, alert.message))
            if alert.message not in self._told:
                self._told.add(alert.message)
                new.append(alert)
        still = [alert for alert in found if alert[:2] not in self._dismissed]
        self._newest = max(still, key=lambda alert: alert[1], default=None)
        return new

    def none(self) -> None:
        """The run lives no more: how it ended says more than its alerts."""
        self._newest = None

    def dismiss(self) -> None:
        """The newest one was seen."""
        if self._newest is not None:
            self._dismissed.add(self._newest[:2])

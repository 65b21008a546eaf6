"""Brings alerts to the person: a message on whatever screen is up, the bell, the webhook.

Runs are watched on a thread (`runs.alert_feed`), the machine by the readings that come anyway.
Each alert is told once; those that go on are in `active`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.message import Message
from textual.notifications import SeverityLevel

from qtui.runs import naming
from qtui.runs.alert_feed import AlertWatch
from qtui.runs.alerts import Alert, AlertLevel
from qtui.runs.machine_alerts import MachineAlerts
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from qtui.app import QtuiApp
    from qtui.dashboard.reading import MachineRead
    from qtui.runs.webhook import Webhook

_SEVERITY: dict[AlertLevel, SeverityLevel] = {
    "note": "information",
    "warning": "warning",
    "error": "error",
}


class AlertsRaised(Message, bubble=False):
    """Alerts that came up; sent to the application."""

    def __init__(self, alerts: Sequence[Alert]) -> None:
        super().__init__()
        self.alerts = tuple(alerts)


class WebhookFailed(Message, bubble=False):
    """An alert could not be posted; `sentence` says why."""

    def __init__(self, sentence: str) -> None:
        super().__init__()
        self.sentence = sentence


class Alerting:
    """The alerts of one dashboard, from `start` to `close`."""

    def __init__(self, app: QtuiApp) -> None:
        self._app = app
        self._machine = MachineAlerts()
        self._watch: AlertWatch | None = None
        self._webhook: Webhook | None = None

    @property
    def active(self) -> list[Alert]:
        """Alerts that were raised and have not cleared."""
        runs = self._watch.active if self._watch is not None else []
        return [*self._machine.active.values(), *runs]

    def start(self) -> None:
        """Begin to watch."""
        app = self._app
        self._watch = AlertWatch(
            app.workspace, lambda alerts: app.post_message(AlertsRaised(alerts))
        )
        if app.user.webhook:
            from qtui.errors import InputError
            from qtui.runs.webhook import Webhook

            try:
                self._webhook = Webhook(
                    app.user.webhook,
                    lambda sentence: app.post_message(WebhookFailed(sentence)),
                )
            except InputError as error:
                app.say(f"{error.message}: {error.remedy}", "warning")

    def close(self) -> None:
        """Stop watching; returns at once."""
        for part in (self._watch, self._webhook):
            if part is not None:
                part.close()

    def machine(self, read: MachineRead) -> None:
        """Judge a reading of the machine."""
        runs = self._watch.runs if self._watch is not None else ()
        self.tell(self._machine.look(read.gpus, read.disk, runs, time.time()))

    def tell(self, alerts: Sequence[Alert]) -> None:
        """Show, ring and post `alerts`."""
        for alert in alerts:
            whose = f"{naming.name_of(alert.run)}: " if alert.run else ""
            self._app.say(clean_line(whose + alert.message), _SEVERITY[alert.level])
            if self._webhook is not None:
                self._webhook.send(alert)
        if alerts and self._app.user.bell:
            self._app.bell()

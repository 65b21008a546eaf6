"""Alerts for a command that watches: what the dashboard would tell, as lines and to the webhook."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtui.cli.output import Output, Part, Style, Styled
from qtui.config.user import read_user_config
from qtui.runs import naming
from qtui.runs.alert_feed import AlertFeed
from qtui.runs.alerts import Alert, AlertLevel
from qtui.runs.machine_alerts import MachineAlerts
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from pathlib import Path

    from qtui.runs.folder import Run
    from qtui.system.disk import Disk
    from qtui.system.gpu import Snapshot

_STYLES: dict[AlertLevel, Style] = {"note": "dim", "warning": "yellow", "error": "red"}
_LAST_SECONDS = 5.0
"""How long the end of a command may wait for what is still being posted."""


class WatchedAlerts:
    """The alerts of one command; `look` at each reading, `close` at the end.

    Raises InputError where the user's webhook is no address of the web.
    """

    def __init__(self, workspace: Path, only: Run | None, out: Output) -> None:
        self._feed = AlertFeed(workspace, only=only)
        self._machine = MachineAlerts()
        self._webhook = None
        user, _ = read_user_config()
        if user.webhook:
            from qtui.runs.webhook import Webhook

            self._webhook = Webhook(user.webhook, out.note)

    def look(self, snapshot: Snapshot, disk: Disk) -> list[Alert]:
        """What came up since the last look; it is on its way to the webhook, too."""
        now = time.time()
        found = self._feed.look(now)
        found += self._machine.look(snapshot, disk, self._feed.runs, now)
        if self._webhook is not None:
            for alert in found:
                self._webhook.send(alert)
        return found

    def close(self) -> None:
        """Wait a little for what is still being posted."""
        if self._webhook is not None:
            self._webhook.close(_LAST_SECONDS)


def line(alert: Alert) -> list[Part]:
    """An alert in one line."""
    whose = naming.name_of(alert.run) if alert.run else "this machine"
    return [Styled("alert   ", _STYLES[alert.level]), clean_line(f"{whose}: {alert.message}")]

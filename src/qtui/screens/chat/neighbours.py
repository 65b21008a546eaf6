"""Who the other screens are about: the run under Home's cursor, the run that Monitor shows.

Nothing here waits: what has to be read is a function for a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qtui.errors import QtuiError
from qtui.runs import folder, serving
from qtui.screens.chat.opening import Talk

if TYPE_CHECKING:
    from qtui.app import QtuiApp
    from qtui.screens.home.screen import HomeScreen
    from qtui.screens.monitor.screen import MonitorScreen


def finder(app: QtuiApp) -> Callable[[], Talk | None]:
    """Finds out who to talk to, coming from the screen that is shown now; else the newest run that
    has anything to talk to; none where there is no such run."""
    # Which screen it is, its mode says: to import all of them would take too long.
    workspace, mode, screen = app.workspace, app.current_mode, app.screen_stack[0]
    if mode == "home" and (selected := cast("HomeScreen", screen).table.selected) is not None:
        talk = Talk((selected.id,))
        return lambda: talk
    if mode == "monitor" and (followed := cast("MonitorScreen", screen).followed) is not None:
        watched = Talk((followed.run.id,))
        return lambda: watched
    return lambda: newest(workspace)


def newest(workspace: Path) -> Talk | None:
    """The newest training run that has an adapter or a checkpoint. Reads the disk."""
    for run in folder.all_runs(workspace):
        try:
            if run.spec.kind == "train":
                serving.of_run(workspace, run)
                return Talk((run.id,))
        except (QtuiError, OSError, ValueError):
            continue
    return None

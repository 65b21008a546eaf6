"""What the palette offers: the keys that work on the screen below it, screens, themes, runs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from qtui import keymap
from qtui.dashboard.remapping import display
from qtui.runs.folder import all_runs
from qtui.screens.palette import Deed

if TYPE_CHECKING:
    from qtui.app import QtuiApp

_NOT_HERE = ("app.palette", "app.escape", "app.how_to_quit", "app.theme")
"""Of no use in a list that one has just opened."""


def deeds_here(app: QtuiApp, screen: Screen[Any]) -> list[Deed]:
    """What can be done on `screen` now, in the order of the table; then the themes."""
    active = {
        found.binding.id: found
        for found in screen.active_bindings.values()
        if found.enabled and found.binding.id not in _NOT_HERE
    }
    deeds = []
    for key in keymap.TABLE:
        found = active.get(key.id)
        if found is None:
            continue

        async def do(action: str = found.binding.action, node: Any = found.node) -> None:
            await app.run_action(action, node)

        shown = display(app.remapped.get(key.id, key.keys))
        deeds.append(Deed(_name(key), key.help, do, shown))
    for name, look in app.looks.items():
        deeds.append(Deed(f"theme {name}", look.about, partial(app.use_theme, name)))
    return deeds


def run_deeds(app: QtuiApp) -> list[Deed]:
    """Opening each run, newest first. Reads the folder of runs: not for the event loop."""
    return [
        Deed(f"open {run.name}", run.id, partial(app.open_run, run))
        for run in all_runs(app.workspace)
    ]


def _name(key: keymap.Key) -> str:
    """`monitor.zoom_in` is "zoom in"; a screen is "go to home"."""
    words = key.id.partition(".")[2].replace("_", " ")
    return f"go to {words}" if key.action.startswith("screen(") else words

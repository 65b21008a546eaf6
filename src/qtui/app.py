"""The Textual application: screens, keys, the palette, and what all screens share.

Nothing here waits: the disk, NVML and processes are read by threads, and what they found is
handed over as messages. Quitting never touches a run.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App
from textual.screen import Screen

from qtui import keymap

_SCREENS = {
    "home": "qtui.screens.home:HomeScreen",
    "configure": "qtui.screens.configure:ConfigureScreen",
    "monitor": "qtui.screens.monitor:MonitorScreen",
    "system": "qtui.screens.system:SystemScreen",
}


def _screen(path: str) -> Callable[[], Screen[Any]]:
    """Makes the screen when it is first shown; its module is imported no earlier."""

    def make() -> Screen[Any]:
        module, name = path.split(":")
        screen: Screen[Any] = getattr(import_module(module), name)()
        return screen

    return make


class QtuiApp(App[None]):
    """The dashboard over the runs of `workspace`."""

    TITLE = "qtui"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        name: _screen(path) for name, path in _SCREENS.items()
    }
    DEFAULT_MODE = "home"
    BINDINGS = [*keymap.bindings(keymap.EVERYWHERE)]

    def __init__(self, workspace: Path) -> None:
        super().__init__()
        self.workspace = workspace
        self.animation_level = "none"

    def action_screen(self, name: str) -> None:
        """Show the screen of that name."""
        self.switch_mode(name)

    async def action_back(self) -> None:
        """One screen back; from the first one of a mode, to Home."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif self.current_mode != "home":
            self.switch_mode("home")

"""The Textual application: screens, keys, the palette, and what all screens share.

Nothing here waits: the disk, NVML and processes are read by threads, and what they found is
handed over as messages. Quitting never touches a run.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App
from textual.notifications import SeverityLevel
from textual.screen import Screen

from qtui import keymap
from qtui.alerting import Alerting, AlertsRaised, WebhookFailed
from qtui.config.user import read_user_config
from qtui.reading import MachineRead, MachineReader
from qtui.system.terminal_abilities import terminal_abilities
from qtui.terminal import clean

if TYPE_CHECKING:
    from qtui.config.models import FineTuneConfig
    from qtui.runs.folder import Run

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
    """The dashboard over the runs of `workspace`.

    `user` are the user's settings, `unicode` whether anything but ASCII may be drawn, `machine`
    the newest reading of the machine (None until the first one), `alerting` the alerts.
    """

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
        self.user, self._problems = read_user_config()
        self.unicode = not self.user.ascii and terminal_abilities().unicode
        self.machine: MachineRead | None = None
        self.alerting = Alerting(self)
        self._reader = MachineReader(workspace, self.post_message)

    def on_mount(self) -> None:
        self._reader.start()
        self.alerting.start()
        for problem in self._problems:
            self.say(problem, "warning")

    def on_unmount(self) -> None:
        self._reader.close()
        self.alerting.close()

    def on_machine_read(self, message: MachineRead) -> None:
        """Keep the reading, and tell the screens that are up."""
        self.machine = message
        self.alerting.machine(message)
        for screen in self.screen_stack:
            screen.post_message(
                MachineRead(message.gpus, message.memory, message.disk, message.gpu_text)
            )

    def on_alerts_raised(self, message: AlertsRaised) -> None:
        """Tell what came up in a run."""
        self.alerting.tell(message.alerts)

    def on_webhook_failed(self, message: WebhookFailed) -> None:
        """Say that nobody out there hears of the alerts."""
        self.say(message.sentence, "warning")

    def say(self, sentence: str, severity: SeverityLevel = "information") -> None:
        """Show `sentence` for a few seconds in a corner; it may hold foreign text."""
        seconds = {"information": 5.0, "warning": 8.0, "error": 12.0}[severity]
        self.notify(clean(sentence), severity=severity, timeout=seconds, markup=False)

    def open_run(self, run: Run) -> None:
        """Show `run` on the Monitor screen."""
        self._at("monitor", lambda screen: screen.show(run))

    def configure(self, config: FineTuneConfig | None = None, path: Path | None = None) -> None:
        """Show the Configure screen with `config`, with the run file at `path`, or as it is."""
        self._at("configure", lambda screen: screen.open(config, path))

    def _at(self, mode: str, then: Callable[[Any], object]) -> None:
        """Go to the first screen of `mode`, and call `then` with it once it is there."""
        shown = self.switch_mode(mode)
        first = self.screen_stack[0]
        while len(self.screen_stack) > 1:
            self.pop_screen()

        async def wait() -> None:
            await shown
            then(first)

        self.call_next(wait)

    def action_screen(self, name: str) -> None:
        """Show the screen of that name."""
        self.switch_mode(name)

    async def action_back(self) -> None:
        """One screen back; from the first one of a mode, to Home."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif self.current_mode != "home":
            self.switch_mode("home")

"""The Textual application: screens, keys, the palette, and what all screens share.

Nothing here waits: the disk, NVML and processes are read by threads, and what they found is
handed over as messages. Quitting never touches a run.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from inspect import isawaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import RenderableType
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.driver import Driver
from textual.events import Event, Resize
from textual.filter import LineFilter, Monochrome, NoColor
from textual.notifications import SeverityLevel
from textual.screen import ModalScreen, Screen
from textual.scrollbar import ScrollBar
from textual.widget import Widget

from qtui import keymap
from qtui.config.user import config_file, config_folder, read_user_config
from qtui.dashboard.alerting import Alerting, AlertsRaised, WebhookFailed
from qtui.dashboard.background import off_loop
from qtui.dashboard.in_turn import InTurn, pass_on
from qtui.dashboard.leaving import Leaves
from qtui.dashboard.reading import MachineRead, MachineReader
from qtui.dashboard.remapping import display, remap
from qtui.dashboard.wire import Sent, Written, pieces
from qtui.screens.dialogs import Choice, Option
from qtui.screens.help import Help
from qtui.screens.jump import Jump, targets_of
from qtui.screens.palette import Deed, Palette
from qtui.screens.palette_deeds import deeds_here, run_deeds
from qtui.system.terminal_abilities import TerminalAbilities, terminal_abilities
from qtui.terminal import clean, clean_line
from qtui.themes.load import Look, load_themes
from qtui.widgets.glyphs import InAscii, PlainScrollBar
from qtui.widgets.gpu_past import GpuPasts

if TYPE_CHECKING:
    from qtui.config.models import FineTuneConfig
    from qtui.runs.folder import Run
    from qtui.runs.serving import Address
    from qtui.screens.chat.opening import Talk
    from qtui.screens.chat.sampling import Draft

_SCREENS = {
    "home": "qtui.screens.home.screen:HomeScreen",
    "configure": "qtui.screens.configure.screen:ConfigureScreen",
    "data": "qtui.screens.data.screen:DataScreen",
    "monitor": "qtui.screens.monitor.screen:MonitorScreen",
    "chat": "qtui.screens.chat.screen:ChatScreen",
    "system": "qtui.screens.system:SystemScreen",
}

_CLOSING_MAY_TAKE = 8.0  # seconds


def _screen(path: str) -> Callable[[], Screen[Any]]:
    """Makes the screen when it is first shown; its module is imported no earlier."""

    def make() -> Screen[Any]:
        module, name = path.split(":")
        screen: Screen[Any] = getattr(import_module(module), name)()
        return screen

    return make


class QtuiApp(App[None], inherit_bindings=False):
    """The dashboard over the runs of `workspace`.

    `user` are the user's settings, `remapped` the keys that they moved (id to keys), `looks` all
    themes by name, `unicode` whether anything but ASCII may be drawn, `machine` the newest
    reading of the machine (None until the first one), `gpu_pasts` how busy the GPUs were,
    `alerting` the alerts. `crash` is the error that ended it, if one did.
    """

    TITLE = "qtui"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        name: _screen(path) for name, path in _SCREENS.items()
    }
    DEFAULT_MODE = "home"
    BINDINGS = [*keymap.bindings(keymap.EVERYWHERE)]
    ENABLE_COMMAND_PALETTE = False  # ours is lighter on the line: no animation, no indicator
    CSS_PATH = "app.tcss"

    def __init__(
        self,
        workspace: Path,
        driver_class: type[Driver] | None = None,
        begin: Callable[[QtuiApp], object] | None = None,
    ) -> None:
        """`begin` is called once the application runs: to open a screen other than Home."""
        abilities = terminal_abilities()
        self.user, problems = read_user_config()
        self.unicode = not self.user.ascii and abilities.unicode
        self._ascii = None if self.unicode else InAscii(letters=not abilities.unicode)
        self._no_colour = NoColor()
        self._sent = Sent()
        ScrollBar.renderer = PlainScrollBar
        super().__init__(driver_class)
        self.workspace = workspace
        self._begin = begin
        self.animation_level = "none"
        self.looks, theme_problems = load_themes(config_folder() / "themes")
        for look in self.looks.values():
            self.register_theme(look.theme)
        name, theme_problem = _theme(self.user.theme, self.looks, abilities)
        self.theme = name
        self.remapped, key_problems = remap(self.user.keys)
        self._problems = (*problems, *theme_problems, *theme_problem, *key_problems)
        self.crash: BaseException | None = None
        self.machine: MachineRead | None = None
        self.gpu_pasts = GpuPasts()
        self.alerting = Alerting(self)
        self._reader = MachineReader(workspace, self.post_message)

    def on_mount(self) -> None:
        self.set_keymap(self.remapped)
        self.call_after_refresh(self._reader.start)
        self.alerting.start()
        for problem in self._problems:
            self.say(problem, "warning")
        if self._begin is not None:
            self._begin(self)

    def on_unmount(self) -> None:
        self._reader.close()
        self.alerting.close()

    # -- how it looks -----------------------------------------------------------------------------

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What every line passes on its way out: colours and glyphs that may not be shown."""
        # Textual answers NO_COLOR with greys, which are colours as well.
        filters = [each for each in super().get_line_filters() if not isinstance(each, Monochrome)]
        look = self.looks.get(self.theme)
        if look is not None and not look.colours:
            filters.append(self._no_colour)
        if self._ascii is not None:
            filters.append(self._ascii)
        return filters

    def use_theme(self, name: str) -> None:
        """Change to the theme of that name, and say how to keep it."""
        self.theme = name
        self.say(f'Theme {name}. To keep it: theme = "{name}" in {config_file()}')

    def action_next_theme(self) -> None:
        """Change to the next theme."""
        names = list(self.looks)
        at = names.index(self.theme) if self.theme in names else -1
        self.use_theme(names[(at + 1) % len(names)])

    # -- what goes to the terminal ----------------------------------------------------------------

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        drawn = (
            isinstance(renderable, LayoutUpdate | ChopsUpdate)
            and self._running
            and not self.is_headless
            and not self._batch_count
        )
        if drawn:
            changes = self._sent.changes(pieces(renderable), self.console)  # type: ignore[arg-type]
            renderable = Written(changes) if changes else None
        super()._display(screen, renderable)

    async def on_event(self, event: Event) -> None:
        """A terminal of another size may show anything."""
        if isinstance(event, Resize):
            self._sent.forget()
        await super().on_event(event)

    def draw_anew(self) -> None:
        """Send the whole screen: the terminal does not show what was sent to it before."""
        self._sent.forget()
        self.refresh(layout=True)

    def action_draw_anew(self) -> None:
        """Draw the whole screen, after somebody else has written on it."""
        self.draw_anew()

    def on_in_turn(self, message: InTurn) -> None:
        """A key has reached the application, or has been dealt with."""
        pass_on(self, message)

    # -- what the machine and the alerts say ------------------------------------------------------

    def on_machine_read(self, message: MachineRead) -> None:
        """Keep the reading, and tell the screens that are up."""
        self.machine = message
        if message.gpus.available:
            self.gpu_pasts.take(message.gpus.time, message.gpus.gpus)
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

    # -- ways between screens -----------------------------------------------------------------

    def open_run(self, run: Run) -> None:
        """Show `run` on the Monitor screen."""
        self._at("monitor", lambda screen: screen.show(run))

    def configure(self, config: FineTuneConfig | None = None, path: Path | None = None) -> None:
        """Show the Configure screen with `config`, with the run file at `path`, or as it is."""
        self._at("configure", lambda screen: screen.open(config, path))

    def chat(self, *refs: str, address: Address | None = None) -> None:
        """Talk to what `refs` name (one or two of: a run, RUN@STEP, a base model), or to the server
        at `address`; where there is no such server one is started at once."""
        from qtui.screens.chat.opening import Talk

        self.talk(Talk(refs, address))

    def talk(self, talk: Talk, draft: Draft | None = None) -> None:
        """The same in all detail; `draft` is how answers are drawn to begin with."""
        self._at("chat", lambda screen: screen.open(talk, draft))

    def first_screen(self, mode: str) -> Screen[Any] | None:
        """The first screen of `mode`; none before it was ever shown."""
        stack = self._screen_stacks.get(mode)
        return stack[0] if stack else None

    def _at(self, mode: str, then: Callable[[Any], object]) -> None:
        """Go to the first screen of `mode`, and call `then` with it once it is there."""
        shown = self.switch_mode(mode)
        first = self._first_of_mode()

        async def wait() -> None:
            await shown
            then(first)

        self.call_next(wait)

    def _first_of_mode(self) -> Screen[Any]:
        """The first screen of the mode, after everything that lay on it was taken away."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        return self.screen

    def action_screen(self, name: str) -> None:
        """Show the screen of that name; when it is here already, what lies on it goes away."""
        if name == self.current_mode:
            self._first_of_mode()
        elif name == "data":
            self._show_data()
        elif name == "chat":
            self._show_chat()
        else:
            self.switch_mode(name)

    def _show_data(self) -> None:
        """Show the data of what the present screen is about."""
        from qtui.screens.data.neighbours import finder

        find = finder(self)
        self._at("data", lambda screen: screen.show(find))

    def _show_chat(self) -> None:
        """Go on with the conversation; before there is one, begin it with what is shown here."""
        from qtui.screens.chat.neighbours import finder

        find = finder(self)
        self._at("chat", lambda screen: None if screen.session else screen.find(find))

    async def action_back(self, may_leave: bool = True) -> None:
        """One screen back; from the first one of a mode to Home; from there out, if asked."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif self.current_mode != "home":
            self.switch_mode("home")
        elif may_leave:
            self.run_worker(self._ask_to_leave(), group="leave", exclusive=True)

    async def _ask_to_leave(self) -> None:
        options = (Option("leave", "y", "leave"), Option("stay", "n", "stay"))
        question = Choice("Leave the dashboard?", "Runs go on by themselves.", options)
        if await self.push_screen_wait(question) == "leave":
            self.exit()

    def action_help(self) -> None:
        """Show what every key does."""
        place = getattr(self.screen, "PLACE", "") or self.current_mode
        self.push_screen(Help(place, self.remapped, str(config_file())))

    def action_command_palette(self) -> None:
        """Find something to do by its name."""
        if isinstance(self.screen, ModalScreen):
            return
        palette = Palette(deeds_here(self, self.screen))
        self.push_screen(palette, self._do)
        self.run_worker(self._find_runs(palette), exit_on_error=False)

    async def _find_runs(self, palette: Palette) -> None:
        palette.add(await off_loop(lambda: run_deeds(self)))

    async def _do(self, deed: Deed | None) -> None:
        if deed is not None:
            result = deed.do()
            if isawaitable(result):
                await result

    def action_jump(self) -> None:
        """Put a letter on everything that takes the focus; typing it goes there."""
        if isinstance(self.screen, ModalScreen):
            return
        targets = targets_of(self.screen)
        if targets:
            self.push_screen(Jump(targets), self._focus)
        else:
            self.say("There is nothing here that takes the focus.")

    def _focus(self, target: Widget | None) -> None:
        if target is not None and target.is_attached:
            target.focus()

    # -- leaving ----------------------------------------------------------------------------------

    def action_help_quit(self) -> None:
        """Ctrl-C is pressed without thinking: it says how to leave, and does nothing else."""
        keys = display(self.remapped.get("app.quit", keymap.find("app.quit").keys))
        self.say(f"{keys} leaves the dashboard. Runs go on by themselves.")

    def action_suspend_process(self) -> None:
        """Go back to the shell, where there is one."""
        if self._driver is not None and not self._driver.can_suspend:
            self.say("There is no shell to go back to here.")
        super().action_suspend_process()

    def exit(
        self, result: None = None, return_code: int = 0, message: RenderableType | None = None
    ) -> None:
        """Leave; what hangs on the way is ended by force."""
        self._end_for_certain(return_code)
        super().exit(result, return_code, message)

    def thread_failed(self, name: str, error: BaseException, written: str) -> None:
        """Say that a part of the dashboard has stopped; from any thread."""
        said = f"{name} stopped: {type(error).__name__}: {clean_line(str(error), 200)}"
        with suppress(RuntimeError):  # the dashboard has ended meanwhile
            self.call_from_thread(self.say, f"{said}\nWhere: {written}", "error")

    def _handle_exception(self, error: Exception) -> None:
        """Keep the error for whoever opened the dashboard, and end."""
        if self.crash is None:
            self.crash = getattr(error, "error", None) or error  # of a worker: the one inside
        self._end_for_certain(1)
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        # Textual would print a traceback with the values of variables: there may be a key in one.
        self._close_messages_no_wait()

    def panic(self, *_: RenderableType) -> None:
        """End without printing: an error's own way to show itself is not known to be safe."""
        self._close_messages_no_wait()

    def _end_for_certain(self, code: int) -> None:
        if isinstance(self._driver, Leaves):
            self._driver.end_within(_CLOSING_MAY_TAKE, code)


def _theme(
    wanted: str, looks: Mapping[str, Look], abilities: TerminalAbilities
) -> tuple[str, tuple[str, ...]]:
    """The theme to begin with, and a sentence when it is not the one that is wanted."""
    able = "mono" if not abilities.colours else "16-colour" if abilities.colours <= 16 else "dark"
    if not wanted or (able == "mono" and os.environ.get("NO_COLOR")):
        return able, ()
    if wanted in looks:
        return wanted, ()
    near = difflib.get_close_matches(wanted, looks, n=1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(looks)}."
    return able, (f"There is no theme {clean_line(wanted, 40)!r}; {meant}",)

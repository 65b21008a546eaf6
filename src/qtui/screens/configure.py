"""Set up a run: a form made from the run file's own models, and what it comes to.

The state is one frozen `Form`; every change makes a new one, so undo is a list of forms. What
takes time (whether it fits, a look at the data, files, a launch) happens in threads, and what
they answer for an older form is thrown away. Headless twins: `qtui init`, `qtui estimate`,
`qtui validate`, `qtui train`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from textual import events, on, work
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, Static

from qtui import keymap
from qtui.config import form as forms
from qtui.config.fields import by_key, fields
from qtui.config.form import Form
from qtui.config.models import FineTuneConfig
from qtui.config.sources import Layer
from qtui.errors import QtuiError
from qtui.reading import MachineRead
from qtui.runs import prepare
from qtui.runs.prepare import Look, Looking
from qtui.runs.recent import Recent, recent
from qtui.screens import configure_files as files
from qtui.screens import configure_lines as said
from qtui.screens import configure_pane as pane
from qtui.screens import configure_pickers as pickers
from qtui.screens.background import off_loop
from qtui.screens.dialogs import Choice, Option
from qtui.screens.frame import Frame
from qtui.screens.picker import Entry, Picker
from qtui.system.fit import Fit, examine
from qtui.system.gpu_readings import Snapshot
from qtui.widgets.form_list import VALUE_AT, FormList
from qtui.widgets.text_pane import TextPane

WIDE = 100
"""Columns from which on the pane stands beside the form."""
TALL = 34
"""Rows from which on the two longest sections begin open."""
_PAUSE = 0.2
"""Seconds without a change before it is reckoned whether the form fits."""
_MOVED = 0.02
"""Share by which the free memory of a GPU must move for the fit to be reckoned again."""


class ValueInput(Input):
    """The text of the setting that is being changed, in its place in the form."""

    BINDINGS = [("escape", "drop", "leave it"), ("up", "drop", ""), ("down", "drop", "")]

    class Dropped(Message):
        """The text is not to be taken."""

    def action_drop(self) -> None:
        """Leave the value as it was."""
        self.post_message(self.Dropped())


class ConfigureScreen(Frame):
    """The form, the pane beside it, and the help of the setting under the cursor."""

    PLACE = "configure"
    CSS_PATH = "configure.tcss"
    AUTO_FOCUS = "#configure-lines"
    BINDINGS = [*keymap.bindings("configure")]

    class Looked(Message):
        """A look at the data of `form` is over."""

        def __init__(self, form: Form, found: Look | QtuiError) -> None:
            super().__init__()
            self.form = form
            self.found = found

    def __init__(self) -> None:
        super().__init__()
        self.form = forms.blank()
        self.fit: Fit | None = None
        self.look: Look | None = None
        self._looked_at: Form | None = None
        self._looking: Looking | None = None
        self._clock: Timer | None = None
        self._past: list[Form] = []
        self._opened: set[str] = set()
        self._only_changed = False
        self._page = "fit"
        self._row = 0
        self._trouble: list[Content] = []
        self._recent = Recent()
        self._editing = ""
        self._pending: Timer | None = None
        self._reckoning = False
        self._reckon_again = False
        self._gpu_free: tuple[int | None, ...] = ()
        self._busy = ""

    # -- what is on the screen -------------------------------------------------------------------

    def body(self) -> Iterable[Widget]:
        value = ValueInput(id="configure-value", compact=True, select_on_focus=False)
        value.cursor_blink = False
        yield Static(id="configure-head")
        yield Horizontal(
            Container(FormList(id="configure-lines"), value, id="configure-form"),
            TextPane(id="configure-side"),
            id="configure-work",
        )
        yield Static(id="configure-verdict")
        yield Static(id="configure-help")

    def on_mount(self) -> None:
        self.set_class(not self.qtui.unicode, "-ascii")
        self.set_class(self.size.width >= WIDE, "-wide")
        self.lines.pointer = "▸" if self.qtui.unicode else ">"
        if self.size.height >= TALL:
            self._opened = {"model", "training"}
        self._show()
        self._reckon_soon()
        self._read_recent()

    def on_unmount(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    def on_resize(self, event: events.Resize) -> None:
        wide = event.size.width >= WIDE
        if wide != self.has_class("-wide"):
            self.set_class(wide, "-wide")
            self._show()
        self.call_after_refresh(self._place_value)

    @property
    def lines(self) -> FormList:
        """The settings."""
        return self.query_one(FormList)

    @property
    def side(self) -> TextPane:
        """What stands beside them."""
        return self.query_one(TextPane)

    def _show(self) -> None:
        """Bring everything on the screen up to date; what is the same is not sent again."""
        report = self.look.report if self.look and not self._stale else None
        self.lines.show(
            said.lines(
                self.form,
                opened=self._opened,
                only_changed=self._only_changed,
                report=report,
                unicode=self.qtui.unicode,
            )
        )
        head = said.headline(self.form)
        extra = "   only what differs from the defaults (c shows all)" * self._only_changed
        self._put("configure-head", Content.assemble(head, (extra or self._busy, "$text-warning")))
        self._put("configure-verdict", pane.verdict_line(self.form, self.fit))
        self._show_help()
        self._show_side()

    def _show_help(self) -> None:
        if self._editing:
            self._show_editing()
        else:
            self._put("configure-help", said.help_of(self.form, self.lines.key))

    def _show_side(self) -> None:
        if not (self.has_class("-wide") or self.has_class("-side")):
            return
        if self._page == "trouble":
            self.side.update(self._trouble)
        elif self._page == "data" and self._looking is not None:
            waited = time.monotonic() - self._looking.began
            self.side.update(pane.looking(self._looking.doing, waited))
        elif self._page == "data" and self.look is not None:
            self.side.update(
                pane.data_pane(self.look, self._row, stale=self._stale, unicode=self.qtui.unicode)
            )
        else:
            self.side.update(pane.fit_pane(self.form, self.fit, self._time_lines()))

    def _time_lines(self) -> list[str]:
        config = self.form.config
        if config is None:
            return []
        report = self.look.report if self.look and not self._stale else None
        speed = self._recent.speeds.get((config.model.model_name, config.model.method))
        return pane.time_lines(config, report, speed, self.qtui.user.price_per_hour)

    def _put(self, id: str, text: Content) -> None:
        widget = self.query_one(f"#{id}", Static)
        shown = widget.content
        if not (isinstance(shown, Content) and shown.is_same(text)):
            widget.update(text)

    # -- the form --------------------------------------------------------------------------------

    def open(self, config: FineTuneConfig | None = None, path: Path | None = None) -> None:
        """Show `config`, such as an earlier run's, or the run file at `path`; none: as it is."""
        if config is not None:
            self.change(forms.of_config(config))
        elif path is not None:
            self._open(path)
        self.lines.focus()

    def change(self, form: Form) -> None:
        """Take `form` in place of the present one, which undo gives back."""
        if form == self.form:
            return
        self._past = [*self._past[-99:], self.form]
        self._take(form)

    def _take(self, form: Form) -> None:
        self.form = form
        self.fit = None if form.config is None else self.fit
        if self._page == "trouble":
            self._page = "fit"
        self._show()
        self._reckon_soon()

    def action_undo(self) -> None:
        """The form before the last change."""
        if self._past:
            self._take(self._past.pop())
        else:
            self.qtui.say("There is nothing to take back.")

    def action_reset(self) -> None:
        """The setting's own value away; on the preset, no preset."""
        key = self.lines.key
        if key == said.PRESET:
            self.change(self.form.with_preset(None))
        elif key in by_key():
            self.change(self.form.reset(key))

    def action_changed(self) -> None:
        """All settings, or only those that differ from the defaults."""
        self._only_changed = not self._only_changed
        self._show()

    def action_apply(self) -> None:
        """What the first suggestion says."""
        verdict = self.fit.verdict if self.fit is not None else None
        if verdict is None or not verdict.suggestions:
            self.qtui.say("There is nothing to suggest: it fits, or nothing is known to help.")
            return
        first = verdict.suggestions[0]
        form = self.form
        for key, value in first.settings.items():
            form = form.with_value(key, value)
        self.change(form)
        self.qtui.say(f"{first.words}. u takes it back.")

    # -- moving ----------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a value is typed, keys belong to it."""
        free = ("launch", "save", "help", "command_palette", "quit")
        return not self._editing or action in free or not hasattr(self, f"action_{action}")

    def action_line(self, by: int) -> None:
        """The cursor up or down; in the pane where only that is shown, its text."""
        if self._only_side:
            self.side.scroll_relative(y=by, animate=False)
        else:
            self.lines.go(self.lines.at + by)

    def action_page(self, by: int) -> None:
        """A page up or down."""
        shown: Widget = self.side if self._only_side else self.lines
        self.action_line(by * max(shown.size.height - 1, 1))

    def action_fold(self, fold: bool) -> None:
        """Fold or open the section under the cursor."""
        key = self.lines.key
        section = key.removeprefix(said.HEADING).partition(".")[0]
        if section not in {field.section for field in fields()} or key in said.PINNED:
            return
        if fold and section in self._opened:
            self.lines.go_to(said.HEADING + section)
            self._opened.discard(section)
        elif not fold:
            self._opened.add(section)
        self._show()

    def action_row(self, by: int) -> None:
        """Another one of the first rows of the data."""
        if self.look is not None and self._page == "data":
            self._row = min(max(self._row + by, 0), max(len(self.look.rows) - 1, 0))
            self._show_side()

    @property
    def _only_side(self) -> bool:
        return self.has_class("-side") and not self.has_class("-wide")

    def _turn_to(self, page: str) -> None:
        """Show `page` of the pane, on a narrow terminal in the place of the form."""
        self._page = page
        self.add_class("-side")
        self._show()

    def action_fit(self) -> None:
        """The fit; on a narrow terminal the form again when it is shown already."""
        if self._page == "fit" and self._only_side:
            self.remove_class("-side")
        else:
            self._turn_to("fit")

    async def action_leave(self) -> None:
        """One thing after the other: the look, the pane, the screen."""
        if self._looking is not None and self._page == "data":
            self._stop_looking()
        elif self._page != "fit" or self._only_side:
            self._page = "fit"
            self.remove_class("-side")
            self._show()
        else:
            await self.qtui.action_back()

    @on(FormList.Moved)
    def _moved(self) -> None:
        self._show_help()

    @on(FormList.Clicked)
    def _clicked(self) -> None:
        self.action_edit()

    # -- changing a value ------------------------------------------------------------------------

    def action_edit(self) -> None:
        """Change what the cursor stands on."""
        key = self.lines.key
        if self._only_side:
            return
        if key.startswith(said.HEADING):
            self.action_fold(key.removeprefix(said.HEADING) in self._opened)
        elif self.form.layer(key) is Layer.ENVIRONMENT if key in by_key() else False:
            variable = self.form.environment[key].place.file
            self.qtui.say(f"{variable} in the environment sets this; unset it first.", "warning")
        elif key == said.PRESET or key in pickers.WITH_LIST or forms.choices(key):
            self._pick(key)
        elif key:
            self._begin_typing(key)

    def action_next_choice(self) -> None:
        """The choice after the present one."""
        key = self.lines.key
        choices = forms.choices(key) if key in by_key() else ()
        if not choices or self.form.layer(key) is Layer.ENVIRONMENT:
            self.action_edit()
            return
        text = self.form.text(key)
        at = choices.index(text) + 1 if text in choices else 0
        self.change(self.form.typed(key, choices[at % len(choices)]))

    def _begin_typing(self, key: str) -> None:
        value = self.query_one(ValueInput)
        self._editing = key
        value.value = self.form.text(key)
        value.cursor_position = len(value.value)
        value.display = True
        self._place_value()
        value.focus()
        self.refresh_bindings()
        self._show_editing()

    def _place_value(self) -> None:
        """Put the text over the value that it is of."""
        if self._editing:
            value, lines = self.query_one(ValueInput), self.lines
            value.styles.offset = (VALUE_AT, lines.row_of_cursor())
            value.styles.width = max(lines.size.width - VALUE_AT - 1, 10)

    def _end_typing(self) -> None:
        self._editing = ""
        self.query_one(ValueInput).display = False
        self.lines.focus()
        self.refresh_bindings()
        self._show_help()

    def _show_editing(self) -> None:
        """The help of the setting with what is wrong with the text so far."""
        candidate = self.form.typed(self._editing, self.query_one(ValueInput).value)
        shown = said.help_of(candidate, self._editing)
        keys = Content.styled("enter: take it   escape: leave it   ", "bold $accent")
        self._put("configure-help", Content.assemble(keys, shown))

    @on(Input.Changed, "#configure-value")
    def _typing(self) -> None:
        if self._editing:
            self._show_editing()

    @on(Input.Submitted, "#configure-value")
    def _typed(self, event: Input.Submitted) -> None:
        key, text = self._editing, event.value
        self._end_typing()
        # What was not touched stays as it was, also where its text is not all of it.
        if text != self.form.text(key):
            self.change(self.form.typed(key, text))

    @on(ValueInput.Dropped)
    def _dropped(self) -> None:
        self._end_typing()

    @work
    async def _pick(self, key: str) -> None:
        picker = pickers.picker(self.form, key, self._recent, self.qtui.workspace)
        chosen = await self.app.push_screen_wait(picker)
        if chosen is None:
            return
        if key == said.PRESET:
            self.change(self.form.with_preset(chosen or None))
        else:
            self.change(self.form.typed(key, chosen))
        if key == said.DATA and self.form.config is not None and not prepare.missing():
            self._begin_looking(self.form.config)

    @work
    async def action_find(self) -> None:
        """Go to a setting by a part of its name or help."""
        entries = [Entry(field.key, field.key, field.help) for field in fields()]
        found = await self.app.push_screen_wait(Picker("Find a setting", entries))
        if found is not None:
            self.remove_class("-side")
            self._only_changed = False
            if found not in said.PINNED:
                self._opened.add(found.partition(".")[0])
            self._show()
            self.lines.go_to(found)

    # -- whether it fits -------------------------------------------------------------------------

    def _reckon_soon(self) -> None:
        if self._pending is not None:
            self._pending.stop()
        self._pending = self.set_timer(_PAUSE, self._reckon)

    def _reckon(self) -> None:
        # One at a time: on a disk that hangs, threads would pile up.
        self._reckon_again = self._reckoning
        if not self._reckoning and self.form.config is not None:
            self._reckoning = True
            self._reckon_now(self.form.config)

    @work
    async def _reckon_now(self, config: FineTuneConfig) -> None:
        fit = await off_loop(lambda: self._examined(config))
        self._reckoning = False
        if config == self.form.config:
            self.fit = fit
            self._show()
        if self._reckon_again:
            self._reckon()

    def _examined(self, config: FineTuneConfig) -> Fit:
        machine = self.qtui.machine
        return examine(config, self.qtui.workspace, gpus=machine.gpus if machine else None)

    def on_machine_read(self, message: MachineRead) -> None:
        """Reckon again when the GPUs' free memory has moved by more than flicker."""
        free = _free(message.gpus)
        before = self._gpu_free
        if len(free) != len(before) or any(map(_has_moved, before, free)):
            self._gpu_free = free
            self._reckon_soon()

    # -- a look at the data ----------------------------------------------------------------------

    @property
    def _stale(self) -> bool:
        """Whether the data were looked at with other settings than the form has now."""
        before, now = self._looked_at, self.form
        return before is None or any(
            before.value(field.key) != now.value(field.key)
            for field in fields()
            if field.section == "data" or field.key in pickers.BEFORE_DATA
        )

    def action_data(self) -> None:
        """Show the data; look at them when they were not, stop the look that goes on."""
        config = self.form.config
        if self._looking is not None and self._page == "data":
            self._stop_looking()
        elif self._looking is not None or (
            self.look is not None and not self._stale and self._page != "data"
        ):
            self._turn_to("data")
        elif config is None:
            self._refuse_with_problems()
        elif absent := prepare.missing():
            self.qtui.say(f"Data cannot be read here: {', '.join(absent)} not installed.", "error")
        else:
            self._begin_looking(config)

    def _begin_looking(self, config: FineTuneConfig) -> None:
        if self._looking is not None:
            self._looking.cancel()
        form = self.form
        self._looking = Looking(
            config,
            ["qtui", "validate"],
            lambda found: self.post_message(self.Looked(form, found)),
        )
        self._looking.start()
        self._clock = self._clock or self.set_interval(1.0, self._show_side)
        self._turn_to("data")

    def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        self._no_longer_looking()
        self._page = "fit"
        self.remove_class("-side")
        self._show()
        self.qtui.say("Stopped looking at the data.")

    def _no_longer_looking(self) -> None:
        self._looking = None
        if self._clock is not None:
            self._clock.stop()
            self._clock = None

    def on_configure_screen_looked(self, message: Looked) -> None:
        """Show what a worker found."""
        self._no_longer_looking()
        if isinstance(message.found, QtuiError):
            self._show_trouble("The data cannot be trained on", message.found)
            return
        self.look, self._looked_at, self._row = message.found, message.form, 0
        self._show()

    # -- files, command, launch ------------------------------------------------------------------

    @work
    async def _read_recent(self) -> None:
        self._recent = await off_loop(lambda: recent(self.qtui.workspace))
        self._show_side()

    @work
    async def action_open_file(self) -> None:
        """Ask for a run file and show it."""
        chosen = await self.app.push_screen_wait(pickers.run_file(self.qtui.workspace))
        if chosen is not None:
            self._open(self.qtui.workspace / Path(chosen).expanduser())

    @work
    async def _open(self, path: Path) -> None:
        try:
            form = await off_loop(lambda: forms.opened(path))
        except QtuiError as error:
            self._show_trouble(f"{path} was not opened", error)
        else:
            self.change(form)

    @work
    async def action_save(self) -> None:
        """Write the run file where the user says."""
        if self.form.problems:
            self._refuse_with_problems()
            return
        path = await files.ask_where(self.qtui, self.form)
        if path is None:
            return
        form = self.form.rebased(path.parent)
        try:
            await off_loop(lambda: files.write(path, form.yaml()))
        except QtuiError as error:
            self._show_trouble(f"{path} was not written", error)
            return
        self._take(replace(form, path=path, saved=form.yaml()))
        self.qtui.say(f"{path} written. qtui train {path} starts it.")

    @work
    async def action_command(self) -> None:
        """The form as a command: to the clipboard if the terminal allows it, and to a file."""
        if self.form.problems:
            self._refuse_with_problems()
            return
        workspace, form = self.qtui.workspace, self.form
        try:
            command, path = await off_loop(lambda: files.write_command(form, workspace))
        except QtuiError as error:
            self._show_trouble("The command was not written", error)
            return
        self.app.copy_to_clipboard(command)
        self.qtui.say(f"Copied, and written to {path}\n{command}")

    @work
    async def action_launch(self) -> None:
        """Start the run, unless something is to mend or the user thinks better of it."""
        config, form = self.form.config, self.form
        if config is None:
            self._refuse_with_problems()
            return
        if self._busy:
            return
        self._set_busy("   reckoning whether it fits")
        try:
            fit = await off_loop(lambda: self._examined(config))
            if not await self._agreed(config, fit):
                return
            self._set_busy("   starting the worker")
            run = await off_loop(lambda: files.start(form, config, self.qtui.workspace))
        except QtuiError as error:
            self._show_trouble("The run was not started", error)
            return
        finally:
            self._set_busy("")
        self.qtui.open_run(run)

    async def _agreed(self, config: FineTuneConfig, fit: Fit) -> bool:
        """Whether to start although there is something to think about."""
        reasons = list(fit.too_small)
        if config.model.trust_remote_code:
            reasons.append(
                "trust_remote_code is on: Python code that comes with "
                f"{config.model.model_name} will run as you"
            )
        if not reasons:
            return True
        options = (Option("no", "n", "not now"), Option("yes", "y", "start it all the same"))
        choice = Choice("Start this run?", "\n".join(reasons), options)
        return await self.app.push_screen_wait(choice) == "yes"

    def _set_busy(self, words: str) -> None:
        self._busy = words
        self._show()

    def _refuse_with_problems(self) -> None:
        count = len(self.form.problems)
        self.qtui.say(f"{count} to mend first.", "error")
        self._turn_to("fit")

    def _show_trouble(self, title: str, error: QtuiError) -> None:
        self._trouble = pane.refusal(title, error)
        self._turn_to("trouble")


def _free(gpus: Snapshot) -> tuple[int | None, ...]:
    return tuple(gpu.memory_free.value for gpu in gpus.gpus)


def _has_moved(before: int | None, now: int | None) -> bool:
    if before is None or now is None:
        return before is not now
    return abs(before - now) > _MOVED * max(before, 1)

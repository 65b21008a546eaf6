"""Set up a run: a form made from the run file's own models, and what it comes to.

The state is one frozen `Form`; every change makes a new one, so undo is a list of forms. What
takes time (whether it fits, a look at the data, files, a launch) happens in threads, and what
they answer for an older form is thrown away. Headless twins: `qtui init`, `qtui estimate`,
`qtui validate`, `qtui train`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from textual import events, on, work
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from qtui import keymap
from qtui.config import form as forms
from qtui.config.fields import by_key, fields
from qtui.config.form import Form
from qtui.config.models import FineTuneConfig
from qtui.config.sources import Layer
from qtui.dashboard.background import off_loop
from qtui.dashboard.reading import MachineRead
from qtui.errors import QtuiError
from qtui.runs import prepare
from qtui.runs.prepare import Look
from qtui.runs.recent import Recent, recent
from qtui.screens.configure import deeds, files, pane, pickers
from qtui.screens.configure import lines as said
from qtui.screens.configure.data import DataLook
from qtui.screens.configure.fit import Reckoner
from qtui.screens.frame import Frame
from qtui.screens.picker import Entry, Picker
from qtui.widgets.form_editor import FormEditor
from qtui.widgets.form_list import FormList
from qtui.widgets.text_pane import TextPane

WIDE = 100
"""Columns from which on the pane stands beside the form."""
TALL = 34
"""Rows from which on the two longest sections begin open."""
FORMS_KEPT = 100
"""Changes that undo takes back."""

_WHILE_TYPING = ("launch", "save", "help", "command_palette", "quit")


class ConfigureScreen(Frame):
    """The form, the pane beside it, and the help of the setting under the cursor."""

    PLACE = "configure"
    CSS_PATH = "configure.tcss"
    AUTO_FOCUS = "FormList"
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
        self.data = DataLook()
        self._past: list[Form] = []
        self._opened: set[str] = set()
        self._only_changed = False
        self._page = "fit"
        self._trouble: list[Content] = []
        self._recent = Recent()
        self.busy = ""
        """What is waited for, in words."""

    # -- what is on the screen -------------------------------------------------------------------

    def body(self) -> Iterable[Widget]:
        yield Static(id="configure-head")
        yield Horizontal(
            FormEditor(id="configure-form", unicode=self.qtui.unicode),
            TextPane(id="configure-side"),
            id="configure-work",
        )
        yield Static(id="configure-verdict")
        yield Static(id="configure-help")

    def on_mount(self) -> None:
        self.reckoner = Reckoner(self, self.qtui, lambda: self.form.config, self._show)
        self.set_class(not self.qtui.unicode, "-ascii")
        self.set_class(self.size.width >= WIDE, "-wide")
        if self.size.height >= TALL:
            self._opened = {"model", "training"}
        self._show()
        self.reckoner.changed()
        self._read_recent()
        # What a worker does at the data is asked for; all else comes by itself.
        self.set_interval(1.0, lambda: self._show_side() if self.data.going_on else None)

    def on_unmount(self) -> None:
        self.data.stop()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width >= WIDE, "-wide")
        self._show()

    def on_machine_read(self, message: MachineRead) -> None:
        """What is free on the GPUs decides whether the form fits."""
        self.reckoner.machine_read(message.gpus)

    @property
    def editor(self) -> FormEditor:
        """The settings, one of which may be typed."""
        return self.query_one(FormEditor)

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
        self.lines.show(
            said.lines(
                self.form,
                opened=self._opened,
                only_changed=self._only_changed,
                report=self.data.report(self.form),
                unicode=self.qtui.unicode,
            )
        )
        extra = self.busy or ("changed settings only; c: all" if self._only_changed else "")
        head = Content.assemble(said.headline(self.form), (f"   {extra}", "$text-warning"))
        self._put("configure-head", head)
        self._put("configure-verdict", pane.verdict_line(self.form, self.reckoner.fit))
        self._show_help()
        self._show_side()

    def _show_help(self) -> None:
        key = self.editor.typing
        if key:
            self._judge(key, self.editor.text)
        else:
            self._put("configure-help", said.help_of(self.form, self.lines.key))

    def _judge(self, key: str, text: str) -> None:
        """The help of the setting that is typed, with what is wrong with the text so far."""
        help_text = said.help_of(self.form.typed(key, text), key)
        keys = Content.styled("enter: take it  escape: leave it  ", "bold $accent")
        self._put("configure-help", Content.assemble(keys, help_text))

    def _show_side(self) -> None:
        if not (self.has_class("-wide") or self.has_class("-side")):
            return
        data = self.data.shown(self.form, unicode=self.qtui.unicode)
        if self._page == "trouble":
            self.side.update(self._trouble)
        elif self._page == "data" and data:
            self.side.update(data)
        else:
            fit = self.reckoner.fit
            self.side.update(pane.fit_pane(self.form, fit, self._time_lines()))

    def _time_lines(self) -> list[str]:
        config = self.form.config
        if config is None:
            return []
        speed = self._recent.speeds.get((config.model.model_name, config.model.method))
        price = self.qtui.user.price_per_hour
        return pane.time_lines(config, self.data.report(self.form), speed, price)

    def _put(self, id: str, text: Content) -> None:
        widget = self.query_one(f"#{id}", Static)
        if not (isinstance(widget.content, Content) and widget.content.is_same(text)):
            widget.update(text)

    # -- the form --------------------------------------------------------------------------------

    def open(self, config: FineTuneConfig | None = None, path: Path | None = None) -> None:
        """Show `config`, such as an earlier run's, or the run file at `path`; none: as it is."""
        if config is not None:
            self.change(forms.of_config(config))
        elif path is not None:
            self.run_worker(deeds.open_file(self, path))

    def change(self, form: Form) -> None:
        """Take `form` in place of the present one, which undo gives back."""
        if form != self.form:
            self._past = [*self._past[1 - FORMS_KEPT :], self.form]
            self.take(form)

    def take(self, form: Form) -> None:
        """Show `form`; undo knows nothing of it."""
        self.form = form
        if self._page == "trouble":
            self._page = "fit"
        self.reckoner.changed()
        self._show()

    def action_undo(self) -> None:
        """The form before the last change."""
        if self._past:
            self.take(self._past.pop())
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
        fit = self.reckoner.fit
        if fit is None or fit.verdict is None or not fit.verdict.suggestions:
            self.qtui.say("There is nothing to suggest.")
            return
        first = fit.verdict.suggestions[0]
        form = self.form
        for key, value in first.settings.items():
            form = form.with_value(key, value)
        self.change(form)
        self.qtui.say(f"{pane.change(first)}\nu takes it back.")

    # -- moving ----------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a value is typed, keys belong to it."""
        return not (self.is_mounted and self.editor.typing) or action in _WHILE_TYPING

    def action_line(self, by: int) -> None:
        """The cursor up or down; where only the pane is shown, its text."""
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
        if key == said.PRESET or key in said.PINNED or self._only_side:
            return
        if fold:
            self.lines.go_to(said.HEADING + section)
            self._opened.discard(section)
        else:
            self._opened.add(section)
        self._show()

    def action_row(self, by: int) -> None:
        """Another one of the first rows of the data."""
        self.data.turn(by)
        self._show_side()

    @property
    def _only_side(self) -> bool:
        return self.has_class("-side") and not self.has_class("-wide")

    def _turn_to(self, page: str) -> None:
        """Show `page` of the pane, on a narrow terminal in the place of the form."""
        self._page = page
        self.add_class("-side")
        if self._only_side:
            self.side.focus()
        self._show()

    def _to_form(self) -> None:
        """The form alone, on a wide terminal with the fit beside it."""
        self._page = "fit"
        self.remove_class("-side")
        self.lines.focus()
        self._show()

    def action_fit(self) -> None:
        """The fit; on a narrow terminal the form again when it is shown already."""
        if self._page == "fit" and self._only_side:
            self._to_form()
        else:
            self._turn_to("fit")

    async def action_leave(self) -> None:
        """One thing after the other: the look, the pane, the screen."""
        if self.data.going_on and self._page == "data":
            self._stop_looking()
        elif self._page != "fit" or self._only_side:
            self._to_form()
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
            self._to_form()
        elif key.startswith(said.HEADING):
            self.action_fold(key.removeprefix(said.HEADING) in self._opened)
        elif key in self.form.environment:
            variable = self.form.environment[key].place.file
            self.qtui.say(f"{variable} in the environment sets this; unset it first.", "warning")
        elif key == said.PRESET or key in pickers.WITH_LIST or forms.choices(key):
            self._pick(key)
        elif by_key()[key].listed:
            self._edit_list(key)
        else:
            empty = self.form.value(key) is None
            self.editor.begin("" if empty else self.form.text(key), "none" if empty else "")
            self.refresh_bindings()
            self._show_help()

    def action_next_choice(self) -> None:
        """The choice after the present one."""
        key = self.lines.key
        choices = forms.choices(key) if key in by_key() else ()
        if not choices or self._only_side or self.form.layer(key) is Layer.ENVIRONMENT:
            self.action_edit()
            return
        text = self.form.text(key)
        at = choices.index(text) + 1 if text in choices else 0
        self.change(self.form.typed(key, choices[at % len(choices)]))

    @on(FormEditor.Typing)
    def _typing(self, event: FormEditor.Typing) -> None:
        self._judge(event.key, event.text)

    @on(FormEditor.Typed)
    def _typed(self, event: FormEditor.Typed) -> None:
        self.change(self.form.typed(event.key, event.text))

    @on(FormEditor.Left)
    def _left(self) -> None:
        self.refresh_bindings()
        self._show_help()

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
            self._begin_looking()

    @work
    async def _edit_list(self, key: str) -> None:
        found = await self.app.push_screen_wait(pickers.list_editor(self.form, key))
        if found is not None:
            self.change(self.form.with_value(key, found))

    @work
    async def action_find(self) -> None:
        """Go to a setting by a part of its name or help."""
        entries = [Entry(field.key, field.key, field.help) for field in fields()]
        found = await self.app.push_screen_wait(Picker("Find a setting", entries))
        if found is not None:
            self._only_changed = False
            if found not in said.PINNED:
                self._opened.add(found.partition(".")[0])
            if self._only_side:
                self._to_form()
            self._show()
            self.lines.go_to(found)

    # -- a look at the data ----------------------------------------------------------------------

    def action_data(self) -> None:
        """Show the data; look at them when they were not, stop the look that goes on."""
        shown = self._page == "data"
        if self.data.going_on and shown:
            self._stop_looking()
        elif not shown and (self.data.going_on or self.data.current(self.form)):
            self._turn_to("data")
        elif self.refuses():
            return
        elif absent := prepare.missing():
            self.qtui.say(f"Data cannot be read here: {', '.join(absent)} not installed.", "error")
        else:
            self._begin_looking()

    def _begin_looking(self) -> None:
        self.data.begin(self.form, lambda form, found: self.post_message(self.Looked(form, found)))
        self._turn_to("data")

    def _stop_looking(self) -> None:
        self.data.stop()
        self._to_form()
        self.qtui.say("Stopped looking at the data.")

    def on_configure_screen_looked(self, message: Looked) -> None:
        """Show what a worker found."""
        if not self.data.take(message.form, message.found):
            return
        if isinstance(message.found, QtuiError):
            self.show_trouble("The data cannot be trained on", message.found)
        else:
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
            await deeds.open_file(self, files.named(chosen, self.qtui.workspace))

    def _take_typed(self) -> None:
        """What is typed right now counts, also when its enter has not come through yet."""
        if typed := self.editor.finish():
            self.change(self.form.typed(*typed))

    @work
    async def action_save(self) -> None:
        """Write the run file."""
        self._take_typed()
        await deeds.save(self)

    @work
    async def action_command(self) -> None:
        """Copy the form as a command."""
        await deeds.copy_command(self)

    @work
    async def action_launch(self) -> None:
        """Start the run."""
        self._take_typed()
        await deeds.launch(self)

    def set_busy(self, words: str) -> None:
        """Say what is waited for; empty when nothing is."""
        self.busy = words
        self._show()

    def refuses(self) -> bool:
        """Whether something is to mend first; shows it then."""
        if self.form.config is None:
            self._turn_to("fit")
        return self.form.config is None

    def show_trouble(self, title: str, error: QtuiError) -> None:
        """Show what went wrong, and the way out, in the pane."""
        self._trouble = pane.refusal(title, error)
        self._turn_to("trouble")

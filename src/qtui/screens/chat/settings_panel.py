"""How answers are drawn, and what the model is told first: the settings of this conversation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import Reactive
from textual.widget import Widget
from textual.widgets import Static

from qtui import keymap
from qtui.dashboard.background import off_loop
from qtui.errors import QtuiError
from qtui.screens.chat.editor import Editor
from qtui.screens.chat.sampling import (
    NUMBERS,
    Draft,
    value_of,
    with_default,
    with_number,
    with_schema,
)
from qtui.screens.dialogs import Ask
from qtui.screens.list_editor import ListEditor
from qtui.terminal import clean_line
from qtui.widgets.form_list import FormList, Line, Tone
from qtui.widgets.modal import Modal


class SettingsPanel(Modal[Draft | None]):
    """Changes `draft`; leaving it is taking it."""

    CSS_PATH = "panels.tcss"
    AUTO_FOCUS = "FormList"
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)  # see Frame
    BINDINGS = [*keymap.bindings("chat_settings")]

    def __init__(self, draft: Draft, below: Path) -> None:
        """`below`: the folder from which a schema's file is named."""
        super().__init__()
        self.draft = draft
        self._below = below

    def compose(self) -> ComposeResult:
        unicode = bool(getattr(self.app, "unicode", True))
        with Vertical(id="panel", classes="" if unicode else "-ascii"):
            yield Static(Content("How answers are drawn"), classes="title")
            yield FormList(unicode=unicode, name_width=14, value_width=12)
            yield Static(Content("enter: change   r: default   esc: done"), classes="hint")

    def on_mount(self) -> None:
        self._draw()

    @property
    def _list(self) -> FormList:
        return self.query_one(FormList)

    def _draw(self) -> None:
        self._list.show(lines(self.draft))

    def action_move(self, by: int) -> None:
        """Another setting."""
        self._list.go(self._list.at + by)

    def action_leave(self) -> None:
        """Back to the conversation, with the settings as they are."""
        self.dismiss(self.draft)

    def action_reset(self) -> None:
        """The default of the setting under the cursor."""
        self.draft = with_default(self.draft, self._list.key)
        self._draw()

    def on_form_list_clicked(self, event: FormList.Clicked) -> None:
        event.stop()
        self.action_edit()

    @work
    async def action_edit(self) -> None:
        """Change the setting under the cursor."""
        name = self._list.key
        try:
            self.draft = await self._edited(name)
        except QtuiError as error:
            self.notify(
                clean_line(f"{error.message} {error.remedy}"), severity="error", markup=False
            )
        self._draw()

    async def _edited(self, name: str) -> Draft:
        draft = self.draft
        if name == "plain":
            return replace(draft, plain=not draft.plain)
        if name == "system":
            text = await self.app.push_screen_wait(Editor("System prompt", draft.system))
            return draft if text is None else replace(draft, system=text)
        if name == "stop":
            shown = [each.replace("\n", "\\n") for each in draft.settings.stop]
            given = await self.app.push_screen_wait(
                ListEditor("Texts at which an answer ends; \\n is a line's end", shown, [])
            )
            if not isinstance(given, list):
                return draft
            stop = tuple(each.replace("\\n", "\n") for each in given)
            return replace(draft, settings=replace(draft.settings, stop=stop))
        if name == "json_schema":
            question = Ask("JSON schema", "A file; empty: answers are free", draft.schema_file)
            file = await self.app.push_screen_wait(question)
            if file is None:
                return draft
            return await off_loop(lambda: with_schema(draft, file, self._below))
        field = next(each for each in NUMBERS if each.name == name)
        question = Ask(
            field.label, f"{field.help}: {field.range}. Empty: left to the server",
            value_of(draft, name),
        )  # fmt: skip
        typed = await self.app.push_screen_wait(question)
        return draft if typed is None else with_number(draft, field, typed)


def lines(draft: Draft) -> list[Line]:
    """The settings as lines of a list."""
    default = Draft()

    def line(name: str, label: str, value: str, note: str, *, own: bool) -> Line:
        return Line(name, label, value, note, tone=Tone.OWN if own else Tone.DEFAULT)

    system = clean_line(draft.system.strip(), 40)
    stop = clean_line(", ".join(map(repr, draft.settings.stop)), 30)
    schema = draft.settings.json_schema is not None
    return [
        line("system", "system prompt", system or "none", "", own=bool(system)),
        *(
            line(
                field.name,
                field.label,
                value_of(draft, field.name) or "server's",
                field.help,
                own=value_of(draft, field.name) != value_of(default, field.name),
            )
            for field in NUMBERS
        ),
        line("stop", "stop", stop or "none", "texts that end an answer", own=bool(stop)),
        line(
            "json_schema",
            "JSON schema",
            clean_line(Path(draft.schema_file).name, 30) if schema else "none",
            "answers are JSON of this schema",
            own=schema,
        ),
        line(
            "plain",
            "plain text",
            "yes" if draft.plain else "no",
            "go on from the text, without the model's chat template",
            own=draft.plain,
        ),
    ]

"""Choose several runs of the workspace by marking them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from qtui import keymap, wording
from qtui.dashboard.background import off_loop
from qtui.errors import QtuiError
from qtui.runs.summary import Summary
from qtui.terminal import clean_line
from qtui.widgets.modal import Modal
from qtui.widgets.option_rows import OptionRows


class RunsPicker(Modal[list[str] | None]):
    """Asks for any number of runs; returns their ids, or none when it was left with escape.

    `gather` reads the summaries, in a thread. `marked` are the ids marked at first.
    """

    CSS_PATH = "../picker.tcss"
    DEFAULT_CSS = """
    RunsPicker { align: center middle; background: transparent; }
    RunsPicker #picker-list { max-height: 14; }
    """
    AUTO_FOCUS = "OptionList"
    BINDINGS = [*keymap.bindings("runs_picker")]

    def __init__(
        self, title: str, marked: Sequence[str], gather: Callable[[], Sequence[Summary]]
    ) -> None:
        super().__init__()
        self._title = clean_line(title)
        self._marked = list(marked)
        self._gather = gather
        self._runs: list[Summary] = []

    def compose(self) -> ComposeResult:
        unicode = bool(getattr(self.app, "unicode", True))
        with Vertical(id="picker", classes="" if unicode else "-ascii"):
            yield Static(Content(self._title), id="picker-title")
            yield OptionRows(id="picker-list", markup=False, compact=True)
            yield Static(Content("reading the runs"), id="picker-hint")

    def on_mount(self) -> None:
        self.run_worker(self._fill())

    async def _fill(self) -> None:
        hint = self.query_one("#picker-hint", Static)
        try:
            self._runs = list(await off_loop(lambda: self._gather()))
        except QtuiError as error:
            hint.update(Content(clean_line(error.message)))
            return
        listed = self.query_one(OptionList)
        listed.add_options([Option(self._row(run)) for run in self._runs])
        if self._runs:
            listed.highlighted = 0
            hint.update(Content("space marks, enter takes them; escape: as it was"))
        else:
            hint.update(Content("There is no other run in this workspace."))

    def _row(self, run: Summary) -> Content:
        unicode = bool(getattr(self.app, "unicode", True))
        mark = "[x] " if run.id in self._marked else "[ ] "
        loss = wording.number(run.loss)
        detail = f"  {wording.status(run.status.value, unicode=unicode)}  loss {loss}"
        return Content.assemble(
            mark, clean_line(run.name, 28), Content.styled(detail, "$text-muted")
        )

    def action_mark(self) -> None:
        """Mark the run under the cursor, or take its mark away; go on to the next."""
        listed = self.query_one(OptionList)
        at = listed.highlighted
        if at is None or not self._runs:
            return
        run = self._runs[at]
        if run.id in self._marked:
            self._marked.remove(run.id)
        else:
            self._marked.append(run.id)
        listed.replace_option_prompt_at_index(at, self._row(run))

    def action_done(self) -> None:
        """Take what is marked."""
        self.dismiss(self._marked)

    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(None)

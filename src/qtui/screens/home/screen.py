"""All runs of the workspace, live, and what can be done with the one under the cursor.

The frame is painted at once; the runs come from a thread that reads their folders, and only what
changed is drawn anew. The list rests while another screen is shown. Headless: `qtui runs list`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from textual import events, on, work
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from qtui import keymap
from qtui.dashboard.remapping import display
from qtui.runs import folder, state
from qtui.runs.folder import Run
from qtui.runs.state import Status
from qtui.runs.watch import RunsSeen, RunsWatcher
from qtui.screens.frame import Frame
from qtui.screens.home.run_detail import command, detail
from qtui.screens.home.run_order import SORTS, listed
from qtui.terminal import clean_line, columns, cut
from qtui.widgets.readout import Readout
from qtui.widgets.run_columns import living
from qtui.widgets.run_table import MARKS, RunTable

if TYPE_CHECKING:
    from qtui.app import QtuiApp
    from qtui.screens.home.run_filter import RunFilter

_EMPTY = """No runs here yet.

See it work first: the built-in model and data train in minutes, without a
GPU, a network or an account.

  {both:<18}set up the built-in run, start it, and watch it
  {new:<18}set up a run of your own: a model, your data, a preset

Without the dashboard:

  qtui quickstart     the built-in run
  qtui init run.yaml  write a run file to edit, then
  qtui train run.yaml train"""

_DETAIL_ROWS = ((48, 18), (34, 13), (28, 8), (14, 6), (0, 0))
"""Height of the terminal from which on so many rows tell of the run under the cursor."""

_NEEDS_A_RUN = {"open", "delete", "copy", "command", "mark", "stop", "resume", "talk"}


class News(Message, bubble=False):
    """What the watcher saw."""

    def __init__(self, seen: RunsSeen) -> None:
        super().__init__()
        self.seen = seen


class HomeScreen(Frame):
    """The list of runs, a line about it, and the run under the cursor in more words."""

    PLACE = "home"
    CSS_PATH = "home.tcss"
    AUTO_FOCUS = "RunTable"
    BINDINGS = [*keymap.bindings("home")]

    def __init__(self) -> None:
        super().__init__()
        self.seen: RunsSeen | None = None
        """What was last seen of the runs; none before the first look."""
        self.sort = SORTS[0]
        self.wanted = ""
        """What the list is filtered by."""
        self._watcher: RunsWatcher | None = None
        self._since = time.monotonic()

    def body(self) -> Iterable[Widget]:
        new = self._keys("home.new")
        both = f"{new}, then {self._keys('configure.launch')}"
        yield Static(Content(_EMPTY.format(new=new, both=both)), id="empty")
        yield RunTable(id="runs", unicode=self.qtui.unicode)
        yield Readout(Content(""), id="rule")
        yield Readout(id="detail")

    def _keys(self, id: str) -> str:
        """How the key is called here: a user may have moved it."""
        return display(self.qtui.remapped.get(id, keymap.find(id).keys))

    @property
    def table(self) -> RunTable:
        """The list."""
        return self.query_one(RunTable)

    # -- what is seen ----------------------------------------------------------------------------

    def on_mount(self) -> None:
        self._show_rule()
        self._watcher = RunsWatcher(self.qtui.workspace, self._hand_over)
        self.set_interval(1.0, self._tick)

    def on_unmount(self) -> None:
        if self._watcher is not None:
            self._watcher.close()

    def on_screen_suspend(self) -> None:
        if self._watcher is not None:
            self._watcher.rest()

    def on_screen_resume(self) -> None:
        if self._watcher is not None:
            self._watcher.look_now()
        self._tick()

    def _hand_over(self, seen: RunsSeen) -> None:
        """Called by the watcher, on its thread."""
        with suppress(RuntimeError):  # the dashboard is being closed
            self.post_message(News(seen))

    def on_news(self, message: News) -> None:
        """Show what was seen."""
        self.seen = message.seen
        ids = {run.id for run in self.seen.summaries}
        if self.seen.whole:
            self.table.marked = [marked for marked in self.table.marked if marked in ids]
        self.set_class(not ids and self.seen.whole and not self.seen.why, "-empty")
        self._show()

    def _tick(self) -> None:
        """Ages and waits; what reads the same is not drawn."""
        if self.is_current:
            self.table.redraw()
            self._show_rule()
            self._show_detail()

    def _show(self) -> None:
        if self.seen is not None:
            self.table.show(listed(self.seen.summaries, self.sort, self.wanted))
        self._show_rule()
        self._show_detail()
        self.refresh_bindings()

    @on(RunTable.Moved)
    def _moved(self) -> None:
        self._show_detail()
        self.refresh_bindings()

    def on_resize(self, event: events.Resize) -> None:
        self._show_rule()
        self._show_detail()

    def _show_rule(self) -> None:
        width, line = self.size.width, "─" if self.qtui.unicode else "-"
        said, style = self._said()
        sorted_by = f" sorted by {self.sort} " if self.seen and self.seen.summaries else ""
        said = f" {cut(said, max(width - columns(sorted_by) - 8, 10))} "
        filling = line * max(width - columns(said) - columns(sorted_by) - 4, 0)
        rule = Content.assemble(line * 2, (said, style), filling, sorted_by, line * 2)
        self.query_one("#rule", Readout).show(rule)

    def _said(self) -> tuple[str, str]:
        """What is to be said about the list, and its style."""
        seen = self.seen
        if seen is None:
            return f"looking for runs in {clean_line(str(self.qtui.workspace))}", ""
        if seen.unavailable_since is not None:
            clock = time.strftime("%H:%M:%S", time.localtime(seen.unavailable_since))
            return f"unavailable since {clock}: {clean_line(seen.why)}", "bold $warning"
        if self.table.marked:
            names = " and ".join(clean_line(Run(self._path(run)).name) for run in self.table.marked)
            both = len(self.table.marked) == MARKS
            key = self._keys("home.compare" if both else "home.mark")
            more = f": {key} compares them" if both else f", {key} marks another one"
            return f"marked {names}{more}", "$accent"
        count = len(seen.summaries)
        alive = sum(map(living, seen.summaries))
        said = f"{count} run{'s' if count != 1 else ''}" + (f", {alive} living" if alive else "")
        if self.wanted:
            shown = len(self.table.runs)
            return f"{shown} of {said} with {clean_line(self.wanted)!r}", "$accent"
        return (said if seen.whole else f"{said} and more"), ""

    def _show_detail(self) -> None:
        width, height = self.size
        run = self.table.selected
        rows = next(rows for least, rows in _DETAIL_ROWS if height >= least)
        lines = [Content("")] * rows
        if run is not None and rows:
            lines = detail(
                run,
                width,
                rows,
                now=time.time(),
                resume_key=self._keys("home.resume"),
                unicode=self.qtui.unicode,
            )
        self.query_one("#detail", Readout).show(*lines)

    # -- the list --------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """The cursor up or down."""
        self.table.go(self.table.at + by)

    def action_page(self, by: int) -> None:
        """A page up or down."""
        self.table.go(self.table.at + by * self.table.page)

    def action_mark(self) -> None:
        """Mark the run or take its mark away, and go on to the next."""
        self.table.mark()
        self.table.go(self.table.at + 1)
        self._show_rule()
        self.refresh_bindings()

    def action_sort(self) -> None:
        """By the next thing that runs are sorted by."""
        self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        self._show()

    async def action_filter(self) -> None:
        """Open the line in which the filter is typed."""
        from qtui.screens.home.run_filter import RunFilter

        await self.mount(RunFilter(self.wanted), before="#rule")
        self.refresh_bindings()

    def action_unfilter(self) -> None:
        """All runs again."""
        self.wanted = ""
        self._show()

    def on_run_filter_typed(self, message: RunFilter.Typed) -> None:
        """Filter by what is typed so far."""
        self.wanted = message.wanted
        self._show()

    async def on_run_filter_left(self, message: RunFilter.Left) -> None:
        """Back to the list."""
        if self.wanted:
            self.table.choose()
        self.table.focus()
        await self.query("RunFilter").remove()
        self.refresh_bindings()

    # -- what can be done ------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether the key does something for the run under the cursor."""
        if not self.is_mounted:
            return True
        run = self.table.selected
        if action in ("filter", "sort") and (self.has_class("-empty") or self.query("RunFilter")):
            return False
        if action in _NEEDS_A_RUN and run is None:
            return False
        if run is not None and action == "stop":
            return living(run)
        if run is not None and action == "resume":
            return state.resumable(run.status) or run.status is Status.QUEUED
        if action == "compare":
            return len(self.table.marked) == MARKS
        if action == "unfilter":
            return bool(self.wanted)
        return True

    def _path(self, run_id: str) -> Path:
        return self.qtui.workspace / folder.FOLDER / run_id

    @property
    def _run(self) -> Run | None:
        """The run under the cursor."""
        selected = self.table.selected
        return None if selected is None else Run(self._path(selected.id))

    @on(RunTable.Opened)
    def action_open(self) -> None:
        """Watch the run."""
        if self._run is not None:
            self.qtui.open_run(self._run)

    def action_talk(self) -> None:
        """Talk to what the run has learnt."""
        if self._run is not None:
            self.qtui.chat(self._run.id)

    def action_new(self) -> None:
        """Set up a run."""
        self.qtui.configure()

    def action_stop(self) -> None:
        """Ask how, then ask the worker to end."""
        from qtui.screens import run_actions

        self._act(run_actions.stop)

    def action_resume(self) -> None:
        """Start the worker again."""
        from qtui.screens import run_actions

        self._act(run_actions.resume)

    def action_delete(self) -> None:
        """Ask, then remove the run's folder."""
        from qtui.screens import run_actions

        self._act(run_actions.delete)

    @work
    async def _act(self, action: Callable[[QtuiApp, Run], Awaitable[bool]]) -> None:
        run = self._run
        if run is not None and await action(self.qtui, run) and self._watcher is not None:
            self._watcher.look_now()

    @work
    async def action_command(self) -> None:
        """Copy the command for the run."""
        from qtui.dashboard.copying import copy_command

        if self.table.selected is not None:
            await copy_command(self.qtui, command(self.table.selected))

    @work
    async def action_copy(self) -> None:
        """Set up a new run with this one's settings, as they are in force."""
        from qtui.dashboard.background import off_loop
        from qtui.errors import QtuiError
        from qtui.screens.home.run_config import config_of

        run = self._run
        if run is None:
            return
        try:
            config = await off_loop(lambda: config_of(run))
        except (QtuiError, OSError) as error:
            remedy = error.remedy if isinstance(error, QtuiError) else ""
            self.qtui.say(f"{error}\n{remedy}".strip(), "error")
            return
        self.qtui.configure(config)

    def action_compare(self) -> None:
        """What differs between the two marked runs, and their curves."""
        from qtui.screens.home.compare import CompareScreen

        left, right = (Run(self._path(marked)) for marked in self.table.marked)
        self.app.push_screen(CompareScreen(left, right))

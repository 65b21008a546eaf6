"""The prepared data, seen exactly as the model will see them: a row at a time in four views.

Nothing is loaded and nothing waits here: a `DataReader` reads rows where they lie, of ten million
as of ten, and a follower tells of a preparation that goes on. The same in a terminal:
`qtui prepare-data`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from textual import events, on, work
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widget import Widget

from qtui import keymap
from qtui.dashboard.background import off_loop
from qtui.dashboard.remapping import display
from qtui.errors import CorruptError, QtuiError
from qtui.runs.data_choices import Choice
from qtui.runs.folder import Run
from qtui.screens.data import deeds
from qtui.screens.data import subject as subjects
from qtui.screens.data.asked import News
from qtui.screens.data.following import Following, Went
from qtui.screens.data.keys import DataKeys
from qtui.screens.data.painting import PATIENCE, paint
from qtui.screens.data.reader import DataReader
from qtui.screens.data.state import State
from qtui.screens.data.subject import Subject
from qtui.screens.data.taking import take
from qtui.widgets.marked_text import MarkedText
from qtui.widgets.readout import Readout

WIDE, NARROW = 116, 72
"""Columns from which on the sources stand beside the row, and up to which nothing does."""


class DataScreen(DataKeys):
    """Sources, a row, findings; or one page for the batch, charts, and what is waited for."""

    PLACE = "data"
    CSS_PATH = "data.tcss"
    BINDINGS = [*keymap.bindings("data")]

    class Found(Message):
        """What to show was found out, or why it cannot be."""

        def __init__(self, asked: int, found: Subject | QtuiError) -> None:
            super().__init__()
            self.asked = asked
            self.found = found

    class Read(Message):
        """A reader has news."""

        def __init__(self, reader: DataReader, news: News) -> None:
            super().__init__()
            self.reader = reader
            self.news = news

    def __init__(self) -> None:
        super().__init__()
        self.agreed: set[Path] = set()
        """Run files that may be written to: it was asked."""
        self._asked = 0
        self._following: Following | None = None

    def body(self) -> Iterable[Widget]:
        yield Readout(id="data-head")
        yield Readout(id="data-rule")
        yield Horizontal(
            Readout(id="data-sources"),
            Vertical(
                Readout(id="data-row"),
                MarkedText(id="data-text"),
                Readout(id="data-foot"),
                id="data-middle",
            ),
            Readout(id="data-side"),
            id="data-body",
        )

    def on_mount(self) -> None:
        self.set_class(not self.qtui.unicode, "-ascii")
        self._sized()
        self.set_interval(1.0, self._tick)

    def on_unmount(self) -> None:
        self._close()

    def on_resize(self, event: events.Resize) -> None:
        self._sized()
        self.call_after_refresh(self.draw)

    def _sized(self) -> None:
        self.set_class(self.size.width >= WIDE, "-wide")
        self.set_class(self.size.width < NARROW, "-narrow")

    @on(MarkedText.Resized)
    def _resized(self) -> None:
        self.again()
        self.draw()

    def on_screen_resume(self) -> None:
        self.draw()

    def key(self, id: str) -> str:
        """How a key is called here: a user may have moved it."""
        return display(self.qtui.remapped.get(id, keymap.find(id).keys))

    def draw(self) -> None:
        """Bring the screen up to date."""
        if self.is_attached and self.is_current:
            paint(self)

    def _tick(self) -> None:
        """What changes by the clock alone: how long something is waited for."""
        slow = self.reader.waiting if self.reader is not None else 0.0
        changed = max(slow, self.state.slow) > PATIENCE
        self.state.slow = slow
        if changed or not self.state.opened:
            self.draw()

    # -- what is shown ---------------------------------------------------------------------------

    def show(self, find: Callable[[], Subject], *, again: bool = False) -> None:
        """Show what `find` finds out, in a thread; `again`: also what is shown already."""
        self._asked += 1
        if not self.state.opened and not self.state.following:
            self.state = State(busy="looking for prepared data", look=self.state.look)
        self.run_worker(self._find(find, self._asked, again))
        self.draw()

    async def _find(self, find: Callable[[], Subject], asked: int, again: bool) -> None:
        try:
            found = await off_loop(lambda: find())
        except (QtuiError, OSError) as error:
            if asked == self._asked:
                self.fail("The data cannot be shown", error)
            return
        if asked != self._asked:
            return  # something else was asked for meanwhile
        shown = self.state.subject
        same = shown.run is not None and found.run is not None and shown.run.path == found.run.path
        if again or not same or not (self.state.opened or self.state.following):
            self.take(found)

    def take(self, found: Subject) -> None:
        """Show `found` in place of everything else."""
        self._close()
        self.state = State(subject=found, choices=found.wanted, look=self.state.look)
        if found.ready and found.run is not None:
            self.state.busy = "opening the data"
            self.reader = DataReader(found.run.data, self._hand_over)
            self.again()
        elif (found.living or found.failed) and found.run is not None:
            self._follow(found.run)
        elif self.prepares_by_itself(found):
            self.action_prepare()
        self.draw()

    @work
    async def seek(self) -> None:
        """Look for the run file behind the run, once the data are on the screen."""
        before, workspace = self.state.subject, self.qtui.workspace
        found = await off_loop(lambda: subjects.with_file(before, workspace))
        if self.state.subject is before:
            if not before.sought:
                self.state.subject, self.state.choices = found, found.wanted
            if found.trouble:
                self.qtui.say(found.trouble, "warning")
            self.draw()

    def begin(self, words: str) -> None:
        """Say what is waited for, in place of everything else."""
        self._close()
        self.state = State(
            subject=self.state.subject, busy=words, choices=self.state.choices, look=self.state.look
        )
        self.draw()

    def fail(self, title: str, error: QtuiError | OSError) -> None:
        """Show what went wrong; the data that are open stay so."""
        told = error if isinstance(error, QtuiError) else CorruptError(str(error))
        if self.state.opened:
            self.qtui.say(f"{title}: {told.message}\n{told.remedy}".strip(), "error")
        else:
            self.state.trouble, self.state.busy, self.state.history = (title, told), "", None
        self.draw()

    def _close(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None
        if self._following is not None:
            self._following.close()
            self._following = None

    def _hand_over(self, reader: DataReader, news: News) -> None:
        self.post_message(self.Read(reader, news))  # on the reader's thread

    def on_data_screen_read(self, message: Read) -> None:
        """Take in what was read, unless other data are shown by now."""
        if message.reader is self.reader:
            take(self, message.news)
            self.draw()

    # -- a preparation that goes on --------------------------------------------------------------

    def _follow(self, run: Run) -> None:
        self._following = Following(run, self)
        self.state.history = self._following.history

    def on_went(self, message: Went) -> None:
        """Show how far it is; once it is over, the data or what went wrong."""
        following = self._following
        if following is None or message.following is not following:
            return
        status = following.take(message.batch)
        self.state.history, self.state.unavailable = following.history, message.batch.why
        if status is not None:
            following.close()
            self._following = None
            file, workspace = self.state.subject.file, self.qtui.workspace
            if following.ready(status):
                run = following.run
                self.show(lambda: subjects.of_run(run, workspace, file), again=True)
            else:
                self.fail(*following.trouble(status))
        self.draw()

    # -- what takes a while or asks --------------------------------------------------------------

    @work
    async def action_choose(self, choice: Choice) -> None:
        """Drop or keep the row at the next preparation; again: take that back."""
        await deeds.choose(self, choice)

    @work
    async def action_cancel(self) -> None:
        """Call the preparation off."""
        await deeds.cancel(self)

    @work
    async def action_prepare(self) -> None:
        """Prepare the data anew, in a run of its own."""
        await deeds.prepare(self)

    @work
    async def action_open(self) -> None:
        """Choose the run whose data are shown."""
        await deeds.choose_run(self)

    @work
    async def action_command(self) -> None:
        """Copy the command that prepares these data."""
        await deeds.copy(self)

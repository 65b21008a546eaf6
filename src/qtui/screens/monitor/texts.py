"""The lower part of the Monitor: one of its texts at a time, and the line that names them.

The log is told as events come. Samples and checkpoints are put together when they are looked at
and something in them is new. The info and the worker's log are read from the disk, on a thread.
"""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from qtui.dashboard.background import off_loop
from qtui.errors import QtuiError
from qtui.runs.events import CheckpointEvent
from qtui.runs.folder import Run
from qtui.screens.monitor import panes
from qtui.screens.monitor.followed import Followed
from qtui.terminal import clean_line, columns
from qtui.widgets.readout import Readout
from qtui.widgets.text_pane import TextPane

_COMMANDS = {
    "log": ("logs", ""),
    "samples": ("show", ""),
    "checkpoints": ("show", ""),
    "info": ("show", " --json"),
    "worker": ("logs", " --worker"),
}
"""The command that shows the same as a text: its verb, and what comes after the run's name."""

_FROM_DISK = ("info", "worker")


class MonitorTexts(Vertical):
    """The texts of the run that `begin` was given; `name` is the one that is shown."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.name_shown = "log"
        self._followed: Followed | None = None
        self._forget()

    def _forget(self) -> None:
        self._log: list[Content] = []
        self._log_text = panes.LogText(80)
        self._told = 0
        self._kept: frozenset[str] | None = None
        self._read: dict[str, list[Content]] = {}
        self._made_of: object = None  # what the text that is shown was made of

    def compose(self) -> ComposeResult:
        yield Readout(id="tabs")
        yield TextPane(id="pane")

    @property
    def pane(self) -> TextPane:
        """What scrolls."""
        return self.query_one(TextPane)

    def begin(self, followed: Followed) -> None:
        """Show the texts of another run."""
        self._followed = followed
        self._forget()
        self.pane.show([])

    # -- what is new ---------------------------------------------------------------------------

    def take(self, *, whole: bool, unicode: bool) -> None:
        """Tell what the run's history has that is not in the log yet; `whole`: it is a new one."""
        followed = self._followed
        if followed is None or followed.history is None:
            return
        told = followed.history.told
        if whole:
            self._log_text = panes.LogText(self.size.width, unicode=unicode)
            earlier = max(len(told) - panes.LONGEST, 0)
            self._log_text.pass_over(told[:earlier])
            self._log = panes.log_start(followed.run, earlier)
            self._log += self._log_text.lines(told[earlier:])
            if self.name_shown == "log":
                self.pane.show(self._log, end=True)
            self._begin_text()
        else:
            self.add_to_log(self._log_text.lines(told[self._told :]))
        if whole or any(isinstance(event, CheckpointEvent) for event in told[self._told :]):
            self.run_worker(self._look_for_checkpoints(followed))
        self._told = len(told)

    def add_to_log(self, lines: list[Content]) -> None:
        """Put lines at the end of the log."""
        self._log += lines
        if self.name_shown == "log":
            self.pane.add(lines)

    async def _look_for_checkpoints(self, followed: Followed) -> None:
        kept = await off_loop(lambda: panes.checkpoint_paths(followed.run))
        if followed is self._followed:
            self._kept = kept
            self.draw()

    # -- what is shown -------------------------------------------------------------------------

    def choose(self, name: str) -> None:
        """Show the text of that name."""
        self.name_shown = name
        if name == "log":
            self.pane.show(self._log, end=True)
        else:
            self.pane.show(self._read.get(name, []), end=name == "worker")
        self._begin_text()

    def _begin_text(self) -> None:
        self._made_of = None
        if self.name_shown in _FROM_DISK:
            self.read_again()
        self.draw()

    def draw(self) -> None:
        """Bring samples and checkpoints up to date, if they are shown."""
        history = self._followed.history if self._followed is not None else None
        if history is None or self.name_shown not in ("samples", "checkpoints"):
            return
        samples = self.name_shown == "samples"
        count = len(history.samples if samples else history.checkpoints)
        made_of = (self.name_shown, history.revision, count, self._kept)
        if made_of != self._made_of:
            self._made_of = made_of
            text = panes.samples(history) if samples else panes.checkpoints(history, self._kept)
            self.pane.update(text, above=True)

    def read_again(self) -> None:
        """Read the text that is shown from the disk, if it comes from there."""
        if self.name_shown in _FROM_DISK:
            self.run_worker(self._read_text(self.name_shown), group="text", exclusive=True)

    async def _read_text(self, name: str) -> None:
        followed = self._followed
        if followed is None or followed.history is None:
            return
        run, history = followed.run, followed.history

        def read() -> list[Content]:
            try:
                return panes.worker_log(run) if name == "worker" else panes.info(run, history)
            except QtuiError as error:
                return [Content.styled(clean_line(f"{error.message}. {error.remedy}"), "$error")]

        text = await off_loop(read)
        if followed is not self._followed:
            return
        first = name not in self._read
        self._read[name] = text
        if self.name_shown == name and first:
            self.pane.show(text, end=name == "worker")
        elif self.name_shown == name:
            self.pane.update(text)

    def scroll(self, where: str) -> None:
        """Scroll `up`, `down`, by a page (`page_up`, `page_down`), to the beginning or the end."""
        pane = self.pane
        moves: dict[str, Callable[..., None]] = {
            "up": pane.scroll_up,
            "down": pane.scroll_down,
            "page_up": pane.scroll_page_up,
            "page_down": pane.scroll_page_down,
            "home": pane.scroll_home,
            "end": pane.scroll_end,
        }
        moves[where](animate=False)

    # -- the line above --------------------------------------------------------------------------

    def draw_line(self, chart: tuple[int, int], command: str, *, full_chart: bool) -> None:
        """Name the texts, the active `chart` (its number, of how many) and the `command`."""
        at, of = chart
        if full_chart:
            line = Content(f" f: back  chart {at}/{of}")
        else:
            names = [
                Content.styled(f" {name} ", "reverse bold" if name == self.name_shown else "")
                for name in panes.PANES
            ]
            line = Content("").join([Content(" "), *names])
            if of > 1:
                line += Content(f"   tab: chart {at}/{of}")
        room = self.size.width - line.cell_length - columns(command) - 1
        if room > 0:
            line += Content(" " * room + command)
        self.query_one("#tabs", Readout).show(line)

    def command(self, run: Run, reference: Callable[[Run], str]) -> str:
        """The command that shows the same text; `reference` is how runs are named in it."""
        verb, options = _COMMANDS[self.name_shown]
        return f"qtui runs {verb} {reference(run)}{options}"

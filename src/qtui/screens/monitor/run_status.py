"""The two top parts of the Monitor: the header line, and what a person has to know below it."""

from __future__ import annotations

import time
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from qtui.runs.folder import Run
from qtui.screens.monitor.followed import Followed
from qtui.screens.monitor.header import Surroundings, header, notice, planned
from qtui.terminal import clean_line
from qtui.widgets.readout import Readout


class RunStatus(Vertical):
    """A line, and up to a handful more while there is something to say."""

    DEFAULT_CSS = """
    RunStatus { height: auto; }
    RunStatus > #header { background: $surface; }
    """

    def compose(self) -> ComposeResult:
        yield Readout(Content(" looking for a run"), id="header")
        yield Readout(id="notice")

    def begin(self, run: Run) -> None:
        """Say that the log of `run` is being read."""
        self._show(Content(f" {clean_line(run.name)}  reading its log"), [])

    def draw(
        self, followed: Followed, config: dict[str, Any], alert: str, around: Surroundings
    ) -> None:
        """Show where the run stands; `alert` is a sentence that nobody has dismissed."""
        since, why = followed.unavailable_since, followed.why
        if followed.history is not None:
            history, status = followed.history, followed.status
            self._show(
                header(followed.run, history, status, planned(history, config), around),
                notice(
                    followed.run,
                    history,
                    status,
                    around,
                    unavailable_since=since,
                    why=why,
                    alert=alert,
                ),
            )
        elif since is not None:
            clock = time.strftime("%H:%M:%S", time.localtime(since))
            text = f" ! unavailable since {clock}: {clean_line(why)}"
            self.query_one("#notice", Readout).show(Content.styled(text, "$warning"))

    def _show(self, line: Content, notices: list[Content]) -> None:
        self.query_one("#header", Readout).show(line)
        self.query_one("#notice", Readout).show(*notices)

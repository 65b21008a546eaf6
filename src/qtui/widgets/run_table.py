"""The list of runs: one line each, live, and what is selected stays selected.

Lines are drawn by the widget itself, because a table that repaints as a whole costs a slow line
thousands of bytes a second: here only the cells that differ are refreshed. The selection is a run,
not a line: whatever comes, goes or is sorted anew, the same run stays under the cursor, and where
the list was scrolled, at the same height of the screen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from qtui.runs.summary import Summary
from qtui.widgets.readout import changed
from qtui.widgets.run_columns import LEAD, Look, Placed, fit, place

MARKS = 2
"""Runs that can be marked at once: two are compared."""


class RunTable(ScrollView, can_focus=True, inherit_bindings=False):
    """A header line and the runs given to `show`. It scrolls up and down only."""

    DEFAULT_CSS = """
    RunTable {
        height: 1fr; overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
    }
    """

    class Moved(Message):
        """Another run is selected, or the selected one says something new."""

    class Opened(Message):
        """The selected run was clicked twice."""

    def __init__(self, *, unicode: bool = True, id: str | None = None) -> None:
        super().__init__(id=id)
        self.marked: list[str] = []
        """Ids of the marked runs, the one marked last at the end."""
        self._runs: Sequence[Summary] = ()
        self._at = 0
        self._chosen = ""  # the run that was gone to; a filter may hide it for a while
        self._unicode = unicode
        self._placed: list[Placed] = []
        self._drawn: dict[int, Content] = {}  # what each row of the window shows

    # -- what is shown ---------------------------------------------------------------------------

    @property
    def selected(self) -> Summary | None:
        """The run under the cursor."""
        return self._runs[self._at] if self._runs else None

    @property
    def at(self) -> int:
        """The selected run's place in the list, from 0."""
        return self._at

    @property
    def runs(self) -> Sequence[Summary]:
        """What it shows, in order."""
        return self._runs

    def show(self, runs: Sequence[Summary]) -> None:
        """Show `runs` in this order. The selected run stays selected while it is among them; one
        that was hidden by a filter is selected again when it is back."""
        before = self.selected
        places = {run.id: number for number, run in enumerate(runs)}
        at = places.get(self._chosen)
        if at is None and before is not None:
            at = places.get(before.id)
        moved = (at - self._at) if at is not None and before is not None else 0
        self._runs = tuple(runs)
        self._at = min(self._at if at is None else at, max(len(runs) - 1, 0))
        if not self._chosen:
            self.choose()
        if len(runs) + 1 != self.virtual_size.height:
            self.virtual_size = Size(self.size.width, len(runs) + 1)
        if moved and self.scroll_offset.y > 0:
            self.scroll_to(
                y=self.scroll_offset.y + moved, animate=False, immediate=True, force=True
            )
        self._into_view()
        self.redraw()
        if self.selected != before:
            self.post_message(self.Moved())

    def redraw(self) -> None:
        """Draw what is in sight anew where it differs, such as ages."""
        regions = []
        for y in range(self.size.height):
            line = self._line(y)
            before = self._drawn.get(y)
            if before is not None and not before.is_same(line):
                self._drawn[y] = line
                regions += [Region(a, y, b - a, 1) for a, b in changed(before, line)]
        if regions:
            self.refresh(*regions)

    # -- the cursor ------------------------------------------------------------------------------

    def go(self, at: int) -> None:
        """Select the run at this place, or the first or last one."""
        at = max(0, min(at, len(self._runs) - 1))
        if at == self._at or not self._runs:
            return
        self._at = at
        self.choose()
        self._into_view()
        self.redraw()
        self.post_message(self.Moved())

    def choose(self) -> None:
        """Take the selected run for the one that is wanted, whatever was gone to before."""
        self._chosen = "" if self.selected is None else self.selected.id

    def mark(self) -> None:
        """Mark the selected run or take its mark away; a third mark takes the first away."""
        if self.selected is None:
            return
        if self.selected.id in self.marked:
            self.marked.remove(self.selected.id)
        else:
            self.marked = [*self.marked, self.selected.id][-MARKS:]
        self.redraw()

    @property
    def page(self) -> int:
        """Runs on one page."""
        return max(self.size.height - 1, 1)

    def _into_view(self) -> None:
        top, height = self.scroll_offset.y, self.page
        y = min(max(top, self._at - height + 1), self._at)
        if y != top:
            self.scroll_to(y=y, animate=False, immediate=True, force=True)

    def on_click(self, event: events.Click) -> None:
        at = self.scroll_offset.y + event.y - 1
        if event.y < 1 or at >= len(self._runs):
            return
        again = at == self._at and event.chain > 1
        self.go(at)
        if again:
            self.post_message(self.Opened())

    # -- drawing ---------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        self._placed = place(self.scrollable_content_region.width)
        self._into_view()
        # It may come after the first painting, and at the same size: Textual paints nothing then.
        self._drawn.clear()
        self.refresh()

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()

    def render_line(self, y: int) -> Strip:
        line = self._drawn[y] = self._line(y)
        return Visual.to_strips(self, line, self.size.width, 1, self.visual_style)[0]

    def _line(self, y: int) -> Content:
        width = self.scrollable_content_region.width
        if not self._placed:
            self._placed = place(width)
        at = self.scroll_offset.y + y - 1
        if y == 0:
            return self._header(width)
        if not 0 <= at < len(self._runs):
            return Content(" " * width)
        return self._row(self._runs[at], width, here=at == self._at)

    def _header(self, width: int) -> Content:
        parts = [Content(" " * LEAD)]
        for column, size in ((placed.column, placed.width) for placed in self._placed):
            title = fit(column.title, size, right=column.right, unicode=self._unicode)
            parts += [Content.styled(title, "$text-muted"), Content(" ")]
        return Content("").join(parts).truncate(width, pad=True)

    def _row(self, run: Summary, width: int, *, here: bool) -> Content:
        look = Look(time.time(), self._unicode)
        mark = "*" if run.id in self.marked else " "
        cursor = ("▸" if self._unicode else ">") if here else " "
        # The cursor is told by its sign and by the reversed line: also without colours.
        reverse = here and self.has_focus
        parts = [Content.styled(f"{cursor}{mark} ", "" if reverse else "bold $accent")]
        for placed in self._placed:
            text, style = placed.column.cell(run, look, placed.width)
            shown = fit(text, placed.width, right=placed.column.right, unicode=self._unicode)
            parts += [Content.styled(shown, "" if reverse else style), Content(" ")]
        line = Content("").join(parts).truncate(width, pad=True)
        return line.stylize("reverse") if reverse else line.stylize("bold") if here else line

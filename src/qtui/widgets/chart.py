"""A chart of one or more curves that sends only the cells which changed.

`show` gives it its curves and may be called as often as something is new; `view` says how it is
looked at. Every drawing is compared with the last one cell by cell. A chart that is not on screen
draws nothing; it catches up when it is shown again.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from qtui.runs.pyramid import Pyramid
from qtui.widgets import chart_view
from qtui.widgets.chart_drawing import ChartCurve, Drawing, Row, draw
from qtui.widgets.chart_view import ChartView

__all__ = ["Chart", "ChartCurve", "ChartView"]

_WARM_SECONDS = 0.2
_WARM_FROM = 5_000
"""Points from which on an average takes long enough to be made before it is asked for."""

_APART = 8
"""Unchanged cells between two changed ones that are cheaper sent than jumped over."""


class _Content(NamedTuple):
    """All that a drawing is made of: of the same comes the same."""

    curves: tuple[ChartCurve, ...]
    versions: list[int]
    planned: int | None
    view: ChartView
    size: Size
    unicode: bool

    def alike(self, other: _Content) -> bool:
        """Whether the value axis means the same in both."""
        one, two = self.view, other.view
        return (one.log, one.clip, one.smoothing) == (two.log, two.clip, two.smoothing)


class Chart(Widget):
    """Curves over steps, with axes and a line of labels and values above."""

    DEFAULT_CSS = """
    Chart { width: 1fr; height: 1fr; }
    Chart > .chart--text { color: $foreground; }
    Chart > .chart--muted { color: $text-muted; }
    Chart > .chart--axis { color: $text-muted; }
    Chart > .chart--crosshair { color: $text-muted; }
    Chart > .chart--gap { color: $error; text-style: bold; }
    Chart > .chart--raw { color: $text-disabled; }
    Chart > .chart--curve-0 { color: $accent; }
    Chart > .chart--curve-1 { color: $warning; }
    Chart > .chart--curve-2 { color: $success; }
    Chart > .chart--curve-3 { color: $secondary; }
    Chart > .chart--curve-4 { color: $error; }
    Chart > .chart--curve-5 { color: $primary; }
    """
    # In the order of the style numbers of `chart_drawing`.
    _STYLE_NAMES = (
        *("chart--text", "chart--muted", "chart--axis", "chart--crosshair"),
        *("chart--gap", "chart--raw"),
        *(f"chart--curve-{number}" for number in range(6)),
    )
    COMPONENT_CLASSES = set(_STYLE_NAMES)

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._curves: tuple[ChartCurve, ...] = ()
        self._planned: int | None = None
        self._view = ChartView()
        self._drawing = Drawing([])
        self._drawn: _Content | None = None
        self._looks: list[Style] = []
        self._warming = False
        self.drawings = 0
        """How often it was drawn."""
        self.cells_sent = 0
        """Cells that were refreshed because they changed."""

    # -- what is shown -------------------------------------------------------------------------

    def show(
        self,
        curves: Sequence[ChartCurve],
        *,
        planned: int | None,
        view: ChartView | None = None,
    ) -> None:
        """Show `curves` over the steps from 0 to `planned` (none: as far as they go).

        To be called again after their pyramids took up something new. With `view` it is looked at
        in another way from now on.
        """
        self._curves = tuple(curves)
        self._planned = planned
        self._view = view or self._view
        self._changed()

    @property
    def curves(self) -> tuple[ChartCurve, ...]:
        return self._curves

    @property
    def view(self) -> ChartView:
        """How the chart is looked at."""
        return self._view

    @view.setter
    def view(self, view: ChartView) -> None:
        if view != self._view:
            self._view = view
            self._changed()

    @property
    def last(self) -> int | None:
        """The newest step of all curves."""
        lasts = [c.pyramid.last for c in self._curves if c.pyramid.last is not None]
        return max(lasts, default=None)

    # -- looking -------------------------------------------------------------------------------

    def zoom(self, factor: float) -> None:
        """Show `factor` times as many steps: below 1 nearer, above 1 wider."""
        self.view = chart_view.zoom(self._view, factor, self._planned, self.last)

    def pan(self, share: float) -> None:
        """Go on by a share of the width; below 0 back."""
        self.view = chart_view.pan(self._view, share, self._planned, self.last)

    def move_crosshair(self, columns: int) -> None:
        """Move the crosshair by cells; the first call puts it on the newest step."""
        across = max(self.size.width - 8, 1)
        self.view = chart_view.move_crosshair(self._view, columns, across, self._planned, self.last)

    # -- drawing -------------------------------------------------------------------------------

    @property
    def is_parked(self) -> bool:
        """Whether it is not on screen: hidden, or on a screen that is not shown."""
        return not is_seen(self)

    def _changed(self) -> None:
        if not self.is_parked and self._drawn != self._content:
            self._redraw()

    @property
    def _content(self) -> _Content:
        return _Content(
            self._curves,
            [curve.pyramid.version for curve in self._curves],
            self._planned,
            self._view,
            self.size,
            bool(getattr(self.app, "unicode", True)),
        )

    def _redraw(self) -> None:
        """Draw, and refresh the cells that differ from the last drawing."""
        last, last_drawing = self._drawn, self._drawing
        now = self._drawn = self._content
        # The value axis stays where it is as long as the curves fit, unless one asked for another.
        axis = last_drawing.scale if last is not None and last.alike(now) else None
        self._drawing = draw(
            now.curves,
            now.view,
            now.planned,
            *now.size,
            unicode=now.unicode,
            before=axis,
        )
        self.drawings += 1
        self._warm_later()
        if last is None or (last.size, last.unicode) != (now.size, now.unicode):
            self.refresh()
            return
        regions = [
            Region(start, y, end - start, 1)
            for y, (old, new) in enumerate(zip(last_drawing.rows, self._drawing.rows, strict=True))
            for start, end in changes(old, new)
        ]
        if regions:
            self.cells_sent += sum(region.width for region in regions)
            self.refresh(*regions)

    def _cold(self) -> list[tuple[Pyramid, float]]:
        """Long curves and the smoothings they have not been asked for yet."""
        return [
            (curve.pyramid, weight)
            for curve in self._curves
            if not curve.marks and len(curve.pyramid) >= _WARM_FROM
            for weight in chart_view.SMOOTHINGS
            if not curve.pyramid.has_smoothed(weight)
        ]

    def _warm_later(self) -> None:
        if not self._warming and self._cold():
            self._warming = True
            self.set_timer(_WARM_SECONDS, self._warm)

    def _warm(self) -> None:
        """Make one smoothed curve ahead, so that the key that asks for it is answered at once."""
        self._warming = False
        if self.is_parked or not (cold := self._cold()):
            return
        pyramid, weight = cold[0]
        pyramid.smoothed(weight)
        if len(cold) > 1:
            self._warm_later()
        else:
            # A full garbage collection would look at each of a million values, and a key that it
            # hits would wait 150 ms. They hold no references: it need not look at them.
            gc.freeze()

    def render_lines(self, crop: Region) -> list[Strip]:
        """The drawing; made now when something changed while it was hidden.

        Lines may be asked for at a new size before the widget is told of it.
        """
        if self._drawn != self._content:
            self._redraw()
        return super().render_lines(crop)

    def on_show(self) -> None:
        self._changed()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._looks = []

    def render_line(self, y: int) -> Strip:
        """A line of the last drawing."""
        if y >= len(self._drawing.rows):
            return Strip.blank(self.size.width, self.rich_style)
        if not self._looks:
            self._looks = [self.get_component_rich_style(name) for name in self._STYLE_NAMES]
        row = self._drawing.rows[y]
        return Strip(_segments(row, self._looks), len(row.signs))


def is_seen(widget: Widget) -> bool:
    """Whether a widget is on screen: not hidden, and its screen on top or behind dialogs only."""
    if not widget.is_attached:
        return False
    stack = widget.app.screen_stack
    if widget.screen not in stack:
        return False
    above = stack[stack.index(widget.screen) + 1 :]
    return not any(screen.styles.background.a == 1 for screen in above) and widget.is_on_screen


def _segments(row: Row, looks: Sequence[Style]) -> list[Segment]:
    """Cells of one style together."""
    segments = []
    start = 0
    for style, cells in groupby(row.styles):
        end = start + len(list(cells))
        segments.append(Segment("".join(row.signs[start:end]), looks[style]))
        start = end
    return segments


def changes(old: Row, new: Row) -> list[tuple[int, int]]:
    """The runs of cells (start, end) in which two rows of a length differ.

    Runs that lie close together count as one; a row with wide characters is taken whole, because
    half of one cannot be sent.
    """
    if old.signs == new.signs and old.styles == new.styles:
        return []
    if "" in old.signs or "" in new.signs:
        return [(0, len(new.signs))]
    different = [
        at
        for at, (a, b, c, d) in enumerate(
            zip(old.signs, new.signs, old.styles, new.styles, strict=True)
        )
        if a != b or (c != d and b != " ")
    ]
    runs: list[tuple[int, int]] = []
    for at in different:
        if runs and at - runs[-1][1] <= _APART:
            runs[-1] = (runs[-1][0], at + 1)
        else:
            runs.append((at, at + 1))
    return runs

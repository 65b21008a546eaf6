"""The Monitor's charts: which are in sight, which one the keys work on, how they are looked at.

All charts share the range of steps and the crosshair; logarithm, smoothing and clipping are each
chart's own. Widgets are made when there is first room for them, and kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from textual.containers import Container
from textual.events import Focus
from textual.message import Message

from qtui.screens.monitor.charts import (
    Group,
    Places,
    best_of,
    groups,
    label,
    note,
    places,
    shown_as,
)
from qtui.screens.monitor.followed import Followed
from qtui.terminal import clean_line
from qtui.widgets.chart import Chart, ChartCurve, ChartView
from qtui.widgets.chart_view import smoother


class MonitorChart(Chart, can_focus=True):
    """A chart that can be gone to; the grid hears of it."""

    class Chosen(Message):
        """It got the focus."""

        def __init__(self, chart: MonitorChart) -> None:
            super().__init__()
            self.chart = chart

    group: Group | None = None

    def on_focus(self, event: Focus) -> None:
        self.post_message(self.Chosen(self))


class ChartGrid(Container):
    """Charts of the metrics of one run, with curves of others laid over them."""

    DEFAULT_CSS = """
    ChartGrid { layout: grid; height: 1fr; width: 1fr; min-height: 4; grid-gutter: 0 1; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.pattern: re.Pattern[str] | None = None
        """Only metrics in which it is found; none: the usual charts."""
        self.full = False
        """Whether the active chart alone is in sight."""
        self._runs: Sequence[Followed] = ()
        self._planned: int | None = None
        self._groups: list[Group] = []
        self._active = 0
        self._looks: dict[str, ChartView] = {}
        self._shared = ChartView()
        self._laid_out: tuple[Places, int] | None = None

    # -- what is shown -------------------------------------------------------------------------

    def show(self, runs: Sequence[Followed], planned: int | None) -> None:
        """Show the first of `runs`, and the others' curves over its own."""
        self._runs, self._planned = runs, planned
        history = runs[0].history if runs else None
        active = self._groups[self._active].name if self._groups else ""
        self._groups = groups(history.names() if history is not None else (), self.pattern)
        names = [group.name for group in self._groups]
        self._active = names.index(active) if active in names else 0
        self.draw()

    @property
    def position(self) -> tuple[int, int]:
        """Number of the active chart (from 1), and how many there are."""
        return (self._active + 1 if self._groups else 0), len(self._groups)

    def draw(self) -> None:
        """Give every chart in sight what is new."""
        shown = self._in_sight()
        charts = self._charts(len(shown))
        for chart, group in zip(charts, shown, strict=False):
            chart.group = group
            look = self._looks.get(group.name, ChartView())
            curves = self._curves(group, marked=len(shown) > 1)
            view = replace(self._shared, log=look.log, smoothing=look.smoothing, clip=look.clip)
            chart.show(curves, planned=self._planned, view=view)

    def _in_sight(self) -> list[Group]:
        """The groups that there is room for, the active one always among them."""
        found = self._groups
        if not found:
            self._lay_out(Places(True, 1, 0), 0)
            return []
        if self.full:
            self._lay_out(Places(True, 1, 0), 1)
            return [found[self._active]]
        room = places(self.size.width, self.size.height, len(found), equal=self.pattern is not None)
        count = min(room.count, len(found))
        self._lay_out(room, count)
        if count == 1:
            return [found[self._active]]
        fixed = int(room.main)
        window = count - fixed
        first = min(max(self._active - window + 1, fixed), len(found) - window)
        return [*found[:fixed], *found[first : first + window]]

    def _lay_out(self, room: Places, count: int) -> None:
        if self._laid_out == (room, count):
            return
        self._laid_out = (room, count)
        self.styles.grid_size_columns = room.columns
        heights = ["2fr"] * room.rows
        if room.main:
            heights = ["3fr", *heights]
        self.styles.grid_rows = " ".join(heights)
        self.styles.grid_size_rows = len(heights)
        for number, chart in enumerate(self._charts(count)):
            chart.styles.column_span = room.columns if room.main and number == 0 else 1
            chart.display = True
        for chart in list(self.query(MonitorChart))[count:]:
            chart.display = False

    def _charts(self, count: int) -> list[MonitorChart]:
        there = list(self.query(MonitorChart))
        new = [MonitorChart(id=f"chart-{n}") for n in range(len(there), count)]
        if new:
            self.mount(*new)
        return [*there, *new][:count]

    def _curves(self, group: Group, *, marked: bool) -> list[ChartCurve]:
        curves: list[ChartCurve] = []
        pointer = "▸ " if getattr(self.app, "unicode", True) else "> "
        for place, followed in enumerate(self._runs):
            if followed.history is None:
                continue
            # Of another run the first metric alone: more would be a tangle.
            for metric in group.metrics if place == 0 else group.metrics[:1]:
                curve = followed.curve(metric)
                if place and not len(curve):
                    continue
                best = None
                if metric == "eval_loss":
                    best = best_of(*followed.history.metric(metric))
                text = label(metric, first=not curves) if place == 0 else followed.run.name
                if marked and not curves and self._groups[self._active] is group:
                    text = pointer + text
                curves.append(
                    ChartCurve(
                        clean_line(text),
                        curve,
                        number=len(curves),
                        marks=metric.startswith("eval_"),
                        note=note(metric, curve, best),
                        show=shown_as(metric),
                    )
                )
        return curves

    # -- the active chart ----------------------------------------------------------------------

    def go(self, by: int) -> None:
        """Make the next chart (or with -1 the one before) the active one."""
        if self._groups:
            self._active = (self._active + by) % len(self._groups)
            self.draw()

    def on_monitor_chart_chosen(self, message: MonitorChart.Chosen) -> None:
        message.stop()
        if message.chart.group in self._groups:
            self._active = self._groups.index(message.chart.group)
            self.draw()

    @property
    def active(self) -> MonitorChart | None:
        """The chart that the keys work on."""
        if not self._groups:
            return None
        name = self._groups[self._active].name
        for chart in self.query(MonitorChart):
            if chart.display and chart.group is not None and chart.group.name == name:
                return chart
        return None

    def zoom(self, factor: float) -> None:
        """Show `factor` times as many steps."""
        if (chart := self.active) is not None:
            chart.zoom(factor)
            self._share(chart.view)

    def pan(self, share: float) -> None:
        """Go on by a share of the width."""
        if (chart := self.active) is not None:
            chart.pan(share)
            self._share(chart.view)

    def crosshair(self, columns: int) -> None:
        """Move the crosshair by columns; the first move puts it on the newest step."""
        if (chart := self.active) is not None:
            chart.move_crosshair(columns)
            self._share(chart.view)

    def reset(self) -> bool:
        """All steps again and no crosshair; whether that changed anything."""
        before, self._shared = self._shared, ChartView()
        self.draw()
        return before != self._shared

    def _share(self, view: ChartView) -> None:
        self._shared = replace(view, log=False, smoothing=0.0, clip=False)
        self.draw()

    def look(self, what: str) -> None:
        """Change how the active chart is looked at: `smooth`, `log` or `clip`."""
        if not self._groups:
            return
        name = self._groups[self._active].name
        look = self._looks.get(name, ChartView())
        if what == "smooth":
            look = smoother(look)
        elif what == "log":
            look = replace(look, log=not look.log)
        else:
            look = replace(look, clip=not look.clip)
        self._looks[name] = look
        self.draw()

    def on_resize(self) -> None:
        self._laid_out = None
        self.draw()

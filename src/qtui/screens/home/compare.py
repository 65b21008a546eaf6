"""Two runs beside each other: their curves over each other, their results, what was set otherwise.

Both are followed from their files, so that two living runs can be watched racing. Headless:
`qtui runs diff A B` and `qtui runs plot A B`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from textual import work
from textual.content import Content
from textual.widget import Widget

from qtui import keymap, wording
from qtui.dashboard.background import off_loop
from qtui.errors import QtuiError
from qtui.runs import compare
from qtui.runs.compare import Difference
from qtui.runs.folder import Run
from qtui.runs.watch import Batch
from qtui.screens import run_actions
from qtui.screens.frame import Frame
from qtui.screens.monitor.charts import label, note, shown_as
from qtui.screens.monitor.followed import Followed, News
from qtui.screens.monitor.header import planned
from qtui.terminal import clean_line, cut
from qtui.widgets.chart import Chart, ChartCurve, ChartView
from qtui.widgets.chart_view import smoother
from qtui.widgets.readout import Readout
from qtui.widgets.run_columns import fit
from qtui.widgets.text_pane import TextPane

DRAW_SECONDS = 0.5
"""The shortest time between two drawings of what is new."""

FIRST = ("loss", "eval_loss")
"""Metrics in the order in which they are shown; all others follow by name."""

_COLOURS = ("$accent", "$warning")
"""Of the two curves, as the chart draws them."""


class CompareScreen(Frame):
    """The runs `left` and `right`."""

    PLACE = "home"
    CSS_PATH = "compare.tcss"
    AUTO_FOCUS = ""
    BINDINGS = [*keymap.bindings("compare")]

    def __init__(self, left: Run, right: Run) -> None:
        super().__init__()
        self.runs = (left, right)
        self.metric = FIRST[0]
        self.differences: list[Difference] | None = None
        """None until they have been read."""
        self._followed: tuple[Followed, ...] = ()
        self._trouble = ""
        self._stale = False

    def body(self) -> Iterable[Widget]:
        yield Readout(id="compare-title")
        yield Chart(id="compare-chart")
        yield TextPane(id="compare-pane")
        yield Readout(id="compare-twin")

    def on_mount(self) -> None:
        self._followed = tuple(Followed(run, self._hand_over) for run in self.runs)
        self.set_interval(DRAW_SECONDS, self._draw_news)
        self._draw()
        self._read_differences()

    def on_unmount(self) -> None:
        for followed in self._followed:
            followed.close()

    def on_screen_suspend(self) -> None:
        for followed in self._followed:
            followed.rest()

    def on_screen_resume(self) -> None:
        for followed in self._followed:
            followed.wake()

    def _hand_over(self, followed: Followed, batch: Batch) -> None:
        with suppress(RuntimeError):  # the dashboard is being closed
            self.post_message(News(followed, batch))

    def on_news(self, message: News) -> None:
        """Account for what a run has logged; drawn a little later, with what else comes."""
        first = message.batch.history is not None
        message.followed.take(message.batch)
        self._stale = True
        if first:
            self._draw_news()

    @work
    async def _read_differences(self) -> None:
        left, right = self.runs
        try:
            self.differences = await off_loop(lambda: compare.diff(left, right))
        except (QtuiError, OSError) as error:
            self._trouble = str(error)
        self._draw()

    # -- drawing ---------------------------------------------------------------------------------

    def on_resize(self) -> None:
        self._draw()

    def _draw_news(self) -> None:
        if self._stale:
            self._draw()

    def _draw(self) -> None:
        self._stale = False
        if not self._followed:
            return
        self.query_one("#compare-title", Readout).show(self._title())
        self.query_one("#compare-twin", Readout).show(
            Content(f" {run_actions.command('diff', *self.runs)}")
        )
        histories = [one.history for one in self._followed if one.history is not None]
        totals = [total for history in histories if (total := planned(history, {}))]
        self.query_one(Chart).show(self._curves(), planned=max(totals, default=None))
        self.query_one(TextPane).update(self._lines())

    def _title(self) -> Content:
        names = self.metrics
        at = f" {names.index(self.metric) + 1} of {len(names)}" if self.metric in names else ""
        left, right = (clean_line(run.name, 30) for run in self.runs)
        waiting = any(one.history is None for one in self._followed)
        said = "reading the logs" if waiting else f"{clean_line(label(self.metric), 30)}{at}"
        return Content.assemble(
            " Compare  ",
            Content.styled(left, f"bold {_COLOURS[0]}"),
            "  and  ",
            Content.styled(right, f"bold {_COLOURS[1]}"),
            Content.styled(f"   {said}", "$text-muted"),
        )

    def _curves(self) -> list[ChartCurve]:
        curves = []
        for number, one in enumerate(self._followed):
            curve = one.curve(self.metric)
            if len(curve):
                curves.append(
                    ChartCurve(
                        clean_line(one.run.name, 30),
                        curve,
                        number=number,
                        marks=self.metric.startswith("eval_"),
                        note=note(self.metric, curve, None),
                        show=shown_as(self.metric),
                    )
                )
        return curves

    @property
    def metrics(self) -> list[str]:
        """What either run has measured, loss first."""
        known = {name for one in self._followed if one.history for name in one.history.names()}
        return [
            *(name for name in FIRST if name in known),
            *sorted(known.difference(FIRST)),
        ]

    # -- results and settings --------------------------------------------------------------------

    def _lines(self) -> list[Content]:
        names = [clean_line(run.name) for run in self.runs]
        silent: list[Content] = []
        rows: list[tuple[str, str, str, str, str]] = []
        for one in self._followed:
            if one.unavailable_since is not None:
                since = wording.clock(one.unavailable_since)
                text = f" ! {one.run.name} unavailable since {since}: {one.why}"
                silent.append(Content.styled(clean_line(text), "$warning"))
        for title, values in self._results():
            rows.append((title, *values, "", ""))
        lines = [*silent, self._row("", *names, *(f"bold {colour}" for colour in _COLOURS))]
        lines += [self._row(*row) for row in rows]
        if self._trouble:
            return [*lines, Content.styled(f" {clean_line(self._trouble)}", "$error")]
        if self.differences is None:
            return [*lines, Content(" reading their settings")]
        if not self.differences:
            return [*lines, Content(" Their settings and versions are the same.")]
        lines.append(Content.styled(" Settings that differ", "bold"))
        for difference in self.differences:
            left, right = (_value(side) for side in (difference.left, difference.right))
            lines.append(self._row(clean_line(difference.key), left, right, "", ""))
        return lines

    def _results(self) -> list[tuple[str, tuple[str, str]]]:
        """How the runs stand: what is the same in both is worth a line, too."""
        shown: list[tuple[str, list[str]]] = [
            (title, []) for title in ("state", "step", "loss", "eval loss, best")
        ]
        for one in self._followed:
            history = one.history
            status = wording.status(one.status.value, unicode=self.qtui.unicode)
            loss = history.metric("loss")[1] if history is not None else []
            evals = history.metric("eval_loss")[1] if history is not None else []
            best = min((value for value in evals if value is not None), default=None)
            texts = (
                "reading" if history is None else status,
                "" if history is None else str(history.step),
                wording.number(loss[-1] if loss else None),
                wording.number(best),
            )
            for (_, values), text in zip(shown, texts, strict=True):
                values.append(text)
        return [(title, (values[0], values[1])) for title, values in shown]

    def _row(self, title: str, left: str, right: str, *styles: str) -> Content:
        width = max(self.size.width - 2, 30)
        third = width // 3
        unicode = self.qtui.unicode
        cells = [fit(title, third, unicode=unicode), fit(left, third, unicode=unicode)]
        last = cut(right, width - 2 * third - 2, "…" if unicode else "~")
        first, second = styles
        return Content.assemble(
            " ",
            (f"{cells[0]} ", "$text-muted"),
            Content.styled(cells[1], first),
            " ",
            Content.styled(last, second),
        )

    # -- keys ------------------------------------------------------------------------------------

    def action_metric(self, by: int) -> None:
        """The next metric, or the one before."""
        names = self.metrics
        if names:
            at = names.index(self.metric) if self.metric in names else -by
            self.metric = names[(at + by) % len(names)]
            self._draw()

    def action_crosshair(self, columns: int) -> None:
        """Move the crosshair; the first move puts it on the newest step."""
        self.query_one(Chart).move_crosshair(columns)

    def action_zoom(self, factor: float) -> None:
        """Show `factor` times as many steps."""
        self.query_one(Chart).zoom(factor)

    def action_pan(self, share: float) -> None:
        """Go on by a share of the width."""
        self.query_one(Chart).pan(share)

    def action_look(self, what: str) -> None:
        """Smooth, take logarithms, or look at all as at first."""
        chart = self.query_one(Chart)
        if what == "smooth":
            chart.view = smoother(chart.view)
        elif what == "log":
            chart.view = replace(chart.view, log=not chart.view.log)
        else:
            chart.view = ChartView()

    def action_text(self, by: int) -> None:
        """Scroll the differences."""
        self.query_one(TextPane).scroll_relative(y=by, animate=False)

    @work
    async def action_command(self) -> None:
        """Copy the command that prints the differences."""
        from qtui.dashboard.copying import copy_command

        await copy_command(self.qtui, run_actions.command("diff", *self.runs))


def _value(value: Any) -> str:
    return clean_line(wording.setting(value))

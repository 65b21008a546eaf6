"""The chart on a screen: only changed cells are sent, and a hidden one does nothing."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace

from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.pilot import Pilot
from textual.screen import ModalScreen, Screen
from textual.widgets import Label

from qtui.runs.pyramid import Pyramid
from qtui.widgets.chart import Chart, ChartCurve, ChartView, changes
from qtui.widgets.chart_drawing import Row
from qtui.wording import number

PLANNED = 1200


class Growing:
    """A run's loss and evaluations that go on step by step."""

    def __init__(self, count: int) -> None:
        self.loss, self.evals = Pyramid(), Pyramid()
        self.steps: list[int] = []
        self.values: list[float | None] = []
        self.grow(count)

    def grow(self, count: int = 1) -> None:
        for _ in range(count):
            step = len(self.steps) + 1
            self.steps.append(step)
            self.values.append(1 + math.exp(-step / 200) * (1 + 0.2 * math.sin(step * 1.7)))
        self.loss.sync(self.steps, self.values, revision=0)
        self.evals.sync(self.steps[99::100], self.values[99::100], revision=0)

    def curves(self) -> list[ChartCurve]:
        return [
            ChartCurve("loss", self.loss),
            ChartCurve("eval", self.evals, 1, marks=True),
        ]


class Charts(App[None]):
    CSS = "Chart { height: 14; }"

    def __init__(self, *, unicode: bool = True) -> None:
        super().__init__()
        self.unicode = unicode
        self.animation_level = "none"

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Chart()

    @property
    def chart(self) -> Chart:
        return self.query_one(Chart)


def drive(
    check: Callable[[Charts, Pilot[None]], Awaitable[None]], app: Charts | None = None
) -> None:
    charts = app or Charts()

    async def go() -> None:
        async with charts.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            await check(charts, pilot)

    asyncio.run(go())


def rows(app: App[None]) -> list[str]:
    """The screen as the compositor would write it."""
    return [
        "".join(segment.text for segment in strip)
        for strip in app.screen._compositor.render_strips()
    ]


def test_a_step_more_changes_few_cells() -> None:
    async def check(app: Charts, pilot: Pilot[None]) -> None:
        run = Growing(412)
        app.chart.show(run.curves(), planned=PLANNED)
        await pilot.pause()
        assert "loss 1.1" in rows(app)[0]
        sent = []
        for _ in range(20):
            before = app.chart.cells_sent
            run.grow()
            app.chart.show(run.curves(), planned=PLANNED)
            await pilot.pause()
            sent.append(app.chart.cells_sent - before)
        assert 0 < max(sent) <= 24  # of 1120: the value in the header, a cell or two of the curve

    drive(check)


def test_only_the_changed_regions_are_given_to_the_compositor() -> None:
    async def check(app: Charts, pilot: Pilot[None]) -> None:
        run = Growing(412)
        app.chart.show(run.curves(), planned=PLANNED)
        await pilot.pause()
        run.grow()
        app.chart.show(run.curves(), planned=PLANNED)
        regions = app.chart._exchange_repaint_regions()
        assert sum(region.area for region in regions) <= 24
        assert all(region.height == 1 for region in regions)

    drive(check)


def test_what_is_on_the_screen_is_what_a_fresh_chart_would_show() -> None:
    async def check(app: Charts, pilot: Pilot[None]) -> None:
        run = Growing(3)
        chart = app.chart
        for view in (
            ChartView(),
            ChartView(smoothing=0.9),
            ChartView(smoothing=0.9, log=True),
            ChartView(crosshair=150),
            ChartView(range=(100.0, 220.0), follow=True),
            ChartView(clip=True, crosshair=50),
        ):
            chart.view = view
            for count in (1, 40):
                run.grow(count)
                chart.show(run.curves(), planned=PLANNED)
                await pilot.pause()
        shown = rows(app)
        chart.refresh()
        await pilot.pause()
        assert rows(app) == shown
        assert ["".join(row.signs) for row in chart._drawing.rows] == shown[:14]

    drive(check)


def test_nothing_new_sends_nothing() -> None:
    async def check(app: Charts, pilot: Pilot[None]) -> None:
        run = Growing(412)
        app.chart.show(run.curves(), planned=PLANNED)
        await pilot.pause()
        drawings = app.chart.drawings
        app.chart.show(run.curves(), planned=PLANNED)
        app.chart.view = replace(app.chart.view)
        assert app.chart.drawings == drawings
        assert not app.chart._exchange_repaint_regions()

    drive(check)


def test_a_hidden_chart_draws_nothing_and_catches_up() -> None:
    async def check(app: Charts, pilot: Pilot[None]) -> None:
        run = Growing(412)
        app.chart.show(run.curves(), planned=PLANNED)
        await pilot.pause()
        box = app.query_one(Vertical)

        async def grown_while_hidden() -> int:
            before = app.chart.drawings
            for _ in range(5):
                run.grow()
                app.chart.show(run.curves(), planned=PLANNED)
                app.chart.view = replace(app.chart.view, log=not app.chart.view.log)
                await pilot.pause()
            return app.chart.drawings - before

        for hide, show in (
            (
                lambda: setattr(app.chart, "display", False),
                lambda: setattr(app.chart, "display", True),
            ),
            (lambda: setattr(box, "display", False), lambda: setattr(box, "display", True)),
            (lambda: app.push_screen(Screen()), app.pop_screen),
        ):
            hide()
            await pilot.pause()
            assert app.chart.is_parked
            assert await grown_while_hidden() == 0
            before = app.chart.drawings
            show()
            await pilot.pause()
            assert app.chart.drawings == before + 1
            run_on_screen = rows(app)
            assert run_on_screen[0].rstrip().endswith("log") == app.chart.view.log
            app.chart.refresh()
            await pilot.pause()
            assert rows(app) == run_on_screen

    drive(check)


def test_a_chart_behind_a_dialog_goes_on() -> None:
    class Dialog(ModalScreen[None]):
        def compose(self) -> ComposeResult:
            yield Label("sure?")

    async def check(app: Charts, pilot: Pilot[None]) -> None:
        run = Growing(412)
        app.chart.show(run.curves(), planned=PLANNED)
        app.push_screen(Dialog())
        await pilot.pause()
        assert not app.chart.is_parked

    drive(check)


def test_keys_of_a_reader() -> None:
    async def check(app: Charts, pilot: Pilot[None]) -> None:
        chart, run = app.chart, Growing(412)
        chart.show(run.curves(), planned=PLANNED)
        chart.move_crosshair(0)
        chart.move_crosshair(-2)
        assert chart.view.crosshair == 412 - round(2 * 1200 / 72)
        step = chart.view.crosshair
        await pilot.pause()
        loss, evaluated = (number(value) for value in (run.values[step - 1], run.values[299]))
        assert rows(app)[0].startswith(f"step {step}  ")
        assert f"loss {loss}" in rows(app)[0]
        assert f"eval {evaluated}" in rows(app)[0]
        chart.zoom(0.25)
        assert chart.view.range is not None
        low, high = chart.view.range
        assert high - low == 300
        assert low < step < high
        chart.pan(0.5)
        assert chart.view.range == (low + 150, high + 150)
        chart.zoom(100)
        assert chart.view.range is None

    drive(check)


def test_the_axis_stays_while_steps_come_and_is_chosen_anew_when_one_asks() -> None:
    async def check(app: Charts, pilot: Pilot[None]) -> None:
        chart, run = app.chart, Growing(1000)
        run.values[0] = 2.9
        run.loss.sync(run.steps, run.values)
        chart.show(run.curves(), planned=PLANNED)
        await pilot.pause()
        whole = chart._drawing.scale
        run.values[0] = 2.5  # there is now less to show, but an axis does not move for that
        run.loss.sync(run.steps, run.values)
        chart.show(run.curves(), planned=PLANNED)
        assert chart._drawing.scale is whole
        chart.view = ChartView(clip=True)
        clipped = chart._drawing.scale
        assert clipped is not None
        assert whole is not None
        assert clipped.high < whole.high
        chart.view = ChartView(clip=True, crosshair=30)
        assert chart._drawing.scale is clipped

    drive(check)


def test_a_resize_draws_once_and_fills_the_room() -> None:
    async def check(app: Charts, pilot: Pilot[None]) -> None:
        run = Growing(412)
        app.chart.show(run.curves(), planned=PLANNED)
        await pilot.pause()
        before = app.chart.drawings
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert app.chart.drawings == before + 1
        assert {len(row.signs) for row in app.chart._drawing.rows} == {120}
        await pilot.resize_terminal(20, 10)
        await pilot.pause()
        assert {len(row.signs) for row in app.chart._drawing.rows} == {20}

    drive(check)


def test_ascii_is_ascii() -> None:
    async def check(app: Charts, pilot: Pilot[None]) -> None:
        run = Growing(412)
        app.chart.show(run.curves(), planned=PLANNED)
        app.chart.view = ChartView(smoothing=0.6, clip=True, crosshair=9)
        await pilot.pause()
        assert all(row.isascii() for row in rows(app))

    drive(check, Charts(unicode=False))


def test_long_curves_are_smoothed_ahead_of_the_key() -> None:
    async def check(app: Charts, pilot: Pilot[None]) -> None:
        gc.unfreeze()
        run = Growing(5_000)
        app.chart.show(run.curves(), planned=5_000)
        for _ in range(200):
            if gc.get_freeze_count():  # what comes last, so that no collection looks at it all
                break
            await pilot.pause(0.05)
        else:
            raise AssertionError("it never was")
        gc.unfreeze()
        assert all(run.loss.has_smoothed(weight) for weight in (0.6, 0.9, 0.97))
        assert not run.evals.has_smoothed(0.6)

    drive(check)


def test_runs_of_changed_cells() -> None:
    def row(text: str, styles: str = "") -> Row:
        return Row(list(text), [int(style) for style in styles or "0" * len(text)])

    assert changes(row("abcdef"), row("abcdef")) == []
    assert changes(row("a" + "-" * 20 + "b"), row("x" + "-" * 20 + "y")) == [(0, 1), (21, 22)]
    assert changes(row("abcdefgh"), row("xbcdefgy")) == [(0, 8)]  # near: one run
    assert changes(row("abc", "000"), row("abc", "010")) == [(1, 2)]
    assert changes(row("a c", "000"), row("a c", "010")) == []  # a space has no colour
    wide = Row(["a", "漢", "", "b"], [0, 0, 0, 0])
    assert changes(wide, row("abcd")) == [(0, 4)]

"""Two runs compared: what differs, how both stand, their curves, live and by keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from qtui.runs import compare
from qtui.runs.folder import Run
from qtui.runs.overrides import in_force
from qtui.screens.home.compare import CompareScreen
from qtui.widgets.chart import Chart
from qtui.widgets.chart_view import SMOOTHINGS, ChartView
from tests.dashboard import run_folders as runs
from tests.dashboard.harness import drive, on_screen, screen_text, seen, shows, until
from tests.dashboard.run_folders import NOW


@asynccontextmanager
async def comparing(
    workspace: Path, left: Run, right: Run, size: tuple[int, int] = (80, 24), config: str = ""
) -> AsyncIterator[tuple[Pilot[None], CompareScreen]]:
    async with drive(workspace, size, config=config) as pilot:
        await seen(pilot, "no GPU")
        screen = CompareScreen(left, right)
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: screen.differences is not None and screen.metrics)
        yield pilot, screen


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 20)])
@on_screen
async def test_a_finished_run_and_a_failed_one(tmp_path: Path, size: tuple[int, int]) -> None:
    left, right = runs.finished(tmp_path), runs.failed(tmp_path)
    async with comparing(tmp_path, left, right, size) as (pilot, _):
        await shows(pilot, f"compare-{size[0]}x{size[1]}")


@on_screen
async def test_in_ascii(tmp_path: Path) -> None:
    left, right = runs.finished(tmp_path), runs.stopped(tmp_path)
    async with comparing(tmp_path, left, right, config="ascii = true\n") as (pilot, _):
        await shows(pilot, "compare-ascii-80x24")
        assert screen_text(pilot.app).isascii()


@on_screen
async def test_a_living_run_goes_on_beside_a_finished_one(tmp_path: Path) -> None:
    right = runs.finished(tmp_path)
    with runs.live(tmp_path) as left:
        async with comparing(tmp_path, left, right) as (pilot, _):
            await seen(pilot, "412 ")
            runs.append(left, runs.steps(413, 420, total=1200, end=NOW))
            await seen(pilot, "420 ")
            chart = pilot.app.screen.query_one(Chart)
            await until(pilot, lambda: chart.curves[0].pyramid.last == 420)


@on_screen
async def test_a_run_that_cannot_be_read_any_more_is_said(tmp_path: Path) -> None:
    left, right = runs.finished(tmp_path), runs.failed(tmp_path)
    async with comparing(tmp_path, left, right) as (pilot, _):
        left.path.rename(tmp_path / "elsewhere")
        await seen(pilot, f"! {left.name} unavailable since ")
        (tmp_path / "elsewhere").rename(left.path)
        await until(pilot, lambda: "unavailable" not in screen_text(pilot.app))


@on_screen
async def test_what_a_resume_changed_counts_as_a_difference(tmp_path: Path) -> None:
    with runs.resumed(tmp_path) as left:
        right = runs.stopped(tmp_path)
        async with comparing(tmp_path, left, right) as (pilot, _):
            await seen(pilot, "training.learning_rate")
            line = next(
                line
                for line in screen_text(pilot.app).splitlines()
                if "training.learning_rate" in line
            )
            assert line.split() == ["training.learning_rate", "5e-05", "0.0002"]


@on_screen
async def test_runs_with_the_same_settings_say_so(tmp_path: Path) -> None:
    left, right = runs.finished(tmp_path, "one"), runs.finished(tmp_path, "two", age=9000)
    async with comparing(tmp_path, left, right) as (pilot, _):
        await seen(pilot, "Their settings and versions are the same.")


@on_screen
async def test_hostile_runs_are_shown_as_text(tmp_path: Path) -> None:
    left, right = runs.hostile(tmp_path), runs.finished(tmp_path)
    async with comparing(tmp_path, left, right) as (pilot, screen):
        for _ in range(len(screen.metrics)):
            await pilot.press("m")
        await pilot.press("pagedown", "pagedown")
        await pilot.pause()
        text = screen_text(pilot.app).replace("\n", "")
        assert not any(c < " " or "\x7f" <= c < "\xa0" for c in text)


@on_screen
async def test_a_damaged_run_is_told_and_the_rest_is_shown(tmp_path: Path) -> None:
    left, right = runs.finished(tmp_path), runs.stopped(tmp_path)
    (left.path / "run.json").write_bytes(b"\0")
    async with drive(tmp_path) as pilot:
        await pilot.app.push_screen(CompareScreen(Run(left.path), right))
        await seen(pilot, "is damaged")
        await seen(pilot, "■ stopped")


@on_screen
async def test_every_key(tmp_path: Path) -> None:
    left, right = runs.finished(tmp_path), runs.failed(tmp_path)
    async with comparing(tmp_path, left, right, (80, 16)) as (pilot, screen):
        chart = screen.query_one(Chart)

        async def press(key: str, condition: object) -> None:
            await pilot.press(key)
            await until(pilot, condition)  # type: ignore[arg-type]

        assert screen.metric == "loss"
        await press("m", lambda: screen.metric == "eval_loss")
        await press("M", lambda: screen.metric == "loss")
        await press("M", lambda: screen.metric == screen.metrics[-1])
        await press("m", lambda: screen.metric == "loss")
        await press("left", lambda: chart.view.crosshair == 800)
        await press("left", lambda: (chart.view.crosshair or 800) < 800)
        await press("right", lambda: chart.view.crosshair == 800)
        await press("plus", lambda: chart.view.range is not None)
        near = chart.view.range
        await press("left_square_bracket", lambda: chart.view.range != near)
        await press("right_square_bracket", lambda: chart.view.range == near)
        await press("minus", lambda: chart.view.range != near)
        await press("t", lambda: chart.view.smoothing == SMOOTHINGS[1])
        await press("g", lambda: chart.view.log)
        await press("0", lambda: chart.view == ChartView())
        pane = screen.query_one("TextPane")
        await press("down", lambda: pane.scroll_offset.y == 1)
        await press("up", lambda: pane.scroll_offset.y == 0)
        await press("j", lambda: pane.scroll_offset.y == 1)
        await press("k", lambda: pane.scroll_offset.y == 0)
        await press("pagedown", lambda: pane.scroll_offset.y > 1)
        await press("pageup", lambda: pane.scroll_offset.y == 0)
        await press("escape", lambda: pilot.app.screen is not screen)


@on_screen
async def test_the_command_is_shown_and_copied(tmp_path: Path) -> None:
    left, right = runs.finished(tmp_path), runs.failed(tmp_path)
    async with drive(tmp_path, environment={"XDG_CACHE_HOME": str(tmp_path)}) as pilot:
        await pilot.app.push_screen(CompareScreen(left, right))
        command = f"qtui runs diff {left.id} {right.id}"
        await seen(pilot, command)
        await pilot.press("y")
        copied = tmp_path / "qtui" / "command.sh"
        await until(pilot, lambda: copied.is_file() and command in copied.read_text())


def test_overrides_in_force_are_those_of_the_history(tmp_path: Path) -> None:
    with runs.resumed(tmp_path) as run:
        assert in_force(run) == {"training.learning_rate": 5e-5}
    other = runs.queued(tmp_path)
    assert in_force(other) == {}
    keys = {difference.key for difference in compare.diff(run, other)}
    assert keys == {"training.learning_rate", "training.max_steps"}

"""The Monitor: one run in every state, its charts, its texts, and what can be asked of it."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.content import Content
from textual.pilot import Pilot

from qtui.dashboard.copying import command_file
from qtui.runs.commands import CommandReader
from qtui.runs.events import (
    AlertEvent,
    FinishedEvent,
    Phase,
    PhaseEvent,
    ResumedEvent,
    SaveNow,
    Stop,
)
from qtui.runs.folder import Run
from qtui.screens import run_actions
from qtui.screens.monitor.chart_grid import ChartGrid, MonitorChart
from qtui.screens.monitor.screen import MonitorScreen
from qtui.system.gpu_readings import Snapshot
from qtui.widgets.readout import Readout
from qtui.widgets.text_pane import TextPane
from tests.dashboard import machines, run_folders
from tests.dashboard.harness import drive, on_screen, screen_text, seen, shows, until

SMALL, LARGE = (80, 24), (120, 40)
SIZES = {"80x24": SMALL, "120x40": LARGE}


@asynccontextmanager
async def watching(
    workspace: Path, size: tuple[int, int] = SMALL, **machine: Any
) -> AsyncIterator[tuple[Pilot[None], MonitorScreen]]:
    """The dashboard on its Monitor."""
    async with drive(workspace, size, **machine) as pilot:
        await pilot.press("4")
        await until(pilot, lambda: isinstance(pilot.app.screen, MonitorScreen))
        screen = pilot.app.screen
        assert isinstance(screen, MonitorScreen)
        yield pilot, screen


async def loaded(pilot: Pilot[None], screen: MonitorScreen) -> None:
    """Wait until the run's log has been read."""
    await until(pilot, lambda: screen.followed is not None and screen.followed.history is not None)


def charts(screen: MonitorScreen) -> list[MonitorChart]:
    return [chart for chart in screen.query(MonitorChart) if chart.display]


def row(app: Any, number: int) -> str:
    return screen_text(app).split("\n")[number]


# -- states ------------------------------------------------------------------------------------

STATES: dict[str, tuple[Callable[[Path], Any], Snapshot]] = {
    "live": (run_folders.live, machines.RTX_4090),
    "loading": (run_folders.loading, machines.NO_GPU),
    "evaluating": (run_folders.evaluating, machines.RTX_4090),
    "finished": (run_folders.finished, machines.RTX_4090),
    "failed": (run_folders.failed, machines.NO_GPU),
    "interrupted": (run_folders.interrupted, machines.NO_GPU),
    "stopped": (run_folders.stopped, machines.NO_GPU),
    "queued": (run_folders.queued, machines.NO_GPU),
    "resumed": (run_folders.resumed, machines.RTX_4090),
    "serving": (run_folders.serving, machines.RTX_4090),
    "gpu-lost": (run_folders.live, machines.GPU_LOST),
    "gpu-hangs": (run_folders.live, machines.GPU_HANGS),
    "two-gpus": (run_folders.live, machines.TWO_H100),
    "no-gpu": (run_folders.live, machines.NO_GPU),
}


@contextmanager
def made(state: str, workspace: Path) -> Iterator[Snapshot]:
    """The run folder of a state, living as long as this, and the machine that goes with it."""
    builder, gpus = STATES[state]
    with ExitStack() as stack:
        run = builder(workspace)
        if not isinstance(run, Run):
            stack.enter_context(run)
        yield gpus


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
def test_every_state_as_it_is_shown(state: str, size: str, tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        with made(state, tmp_path) as gpus:
            async with watching(
                tmp_path, SIZES[size], gpus=gpus, config="price_per_hour = 0.69\n"
            ) as (pilot, _):
                await shows(pilot, f"monitor-{state}-{size}")

    scenario()


@pytest.mark.parametrize(
    ("name", "size", "config"),
    [
        ("empty-80x24", SMALL, ""),
        ("narrow-60x20", (60, 20), ""),
        ("large-200x60", (200, 60), ""),
        ("ascii-80x24", SMALL, "ascii = true\n"),
    ],
)
def test_other_terminals(name: str, size: tuple[int, int], config: str, tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        with ExitStack() as stack:
            if not name.startswith("empty"):
                stack.enter_context(run_folders.live(tmp_path))
            async with watching(tmp_path, size, gpus=machines.RTX_4090, config=config) as (
                pilot,
                _,
            ):
                await shows(pilot, f"monitor-{name}")
                if config:
                    assert screen_text(pilot.app).isascii()

    scenario()


def test_the_empty_screen_takes_up_a_run_that_comes(tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        async with watching(tmp_path) as (pilot, _):
            await seen(pilot, "There is no run to watch yet")
            run_folders.finished(tmp_path)
            await pilot.press("1", "4")
            await seen(pilot, "completed")

    scenario()


def test_without_a_choice_the_newest_living_run_is_shown(tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        run_folders.finished(tmp_path, age=9000)
        run_folders.failed(tmp_path, age=3600)
        with run_folders.live(tmp_path, age=7200):
            async with watching(tmp_path) as (pilot, _):
                await seen(pilot, "quiet-otter")

    scenario()


# -- a run that goes on --------------------------------------------------------------------------


def test_steps_and_the_end_arrive(tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        with run_folders.live(tmp_path, last=20, total=40, age=200) as run:
            async with watching(tmp_path) as (pilot, _):
                await seen(pilot, "20/40  50%")
                end = run_folders.NOW + 2.6
                run_folders.append(run, run_folders.steps(21, 21, total=40, end=end))
                await seen(pilot, "21/40  52%")
                await seen(pilot, f"loss {run_folders.loss(21):.4g}")
                ended = FinishedEvent(time=end + 1, status="completed", step=21, message="done")
                run_folders.append(run, [ended])
                await seen(pilot, "✓ completed")
                await seen(pilot, "completed at step 21: done")

    scenario()


def test_a_worker_that_dies_is_interrupted_and_offers_to_resume(tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        with ExitStack() as alive:
            run = alive.enter_context(run_folders.live(tmp_path))
            async with watching(tmp_path) as (pilot, screen):
                await seen(pilot, "● training")
                assert screen.check_action("stop", ())
                assert not screen.check_action("resume", ())
                alive.close()
                await seen(pilot, "! interrupted")
                await seen(pilot, f"qtui runs resume {run.name}")
                assert screen.check_action("resume", ())
                assert not screen.check_action("stop", ())

    scenario()


def test_a_resume_from_an_earlier_step_is_drawn_once(tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        with run_folders.live(tmp_path, last=60, total=100, age=400) as run:
            async with watching(tmp_path) as (pilot, screen):
                await seen(pilot, "60/100")
                resumed = ResumedEvent(time=run_folders.NOW, step=40)
                steps = run_folders.steps(41, 42, total=100, end=run_folders.NOW + 9)
                run_folders.append(run, [resumed, *steps])
                await seen(pilot, "42/100")
                await seen(pilot, "resumed from step 40")
                assert screen.followed is not None
                assert screen.followed.curve("loss").last == 42
                assert len(screen.followed.curve("memory_peak")) == 42

    scenario()


def test_nothing_is_drawn_when_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @on_screen
    async def scenario() -> None:
        with run_folders.live(tmp_path):
            async with watching(tmp_path, gpus=machines.RTX_4090) as (pilot, screen):
                await seen(pilot, "busy 97 %")
                await loaded(pilot, screen)
                drawn: list[object] = []
                app = screen.qtui
                monkeypatch.setattr(app, "_display", lambda *of: drawn.append(of))

                async def draws() -> int:
                    drawn.clear()
                    screen._tick()
                    screen._draw()
                    assert app.machine is not None
                    screen.on_machine_read(app.machine)
                    await pilot.pause()
                    return len(drawn)

                for _ in range(100):  # until the first drawings are done
                    if await draws() == 0:
                        break
                assert [await draws() for _ in range(5)] == [0] * 5
                screen.query_one("#header", Readout).show(Content("another line"))
                await until(pilot, lambda: drawn)

    scenario()


def test_a_folder_that_goes_away_is_said_and_keys_go_on(tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        run = run_folders.finished(tmp_path)
        async with watching(tmp_path) as (pilot, _):
            await seen(pilot, "✓ completed")
            run.path.rename(tmp_path / "elsewhere")
            await seen(pilot, "unavailable since 15:42:10")
            await pilot.press("k")
            await seen(pilot, "CHECKPOINT")
            (tmp_path / "elsewhere").rename(run.path)
            await until(pilot, lambda: "unavailable" not in screen_text(pilot.app))

    scenario()


# -- charts --------------------------------------------------------------------------------------


def on_live(
    test: Callable[[Pilot[None], MonitorScreen, Path], Awaitable[None]],
    size: tuple[int, int] = SMALL,
) -> Callable[[Path], None]:
    """A test on the screen of a living run, loaded."""

    def run(tmp_path: Path) -> None:
        @on_screen
        async def scenario() -> None:
            with run_folders.live(tmp_path):
                async with watching(tmp_path, size, gpus=machines.RTX_4090) as (pilot, screen):
                    await seen(pilot, "412/1200")
                    await loaded(pilot, screen)
                    await until(pilot, lambda: charts(screen))
                    await test(pilot, screen, tmp_path)

        scenario()

    return run


@on_live
async def test_crosshair_zoom_pan_and_back(
    pilot: Pilot[None], screen: MonitorScreen, path: Path
) -> None:
    await pilot.press("left", "left")
    await seen(pilot, "step 395  ")
    await pilot.press("right")
    await seen(pilot, "step 412  ")
    await pilot.press("plus")
    assert charts(screen)[0].view.range is not None
    low, high = charts(screen)[0].view.range
    assert high - low == 600
    await pilot.press("left_square_bracket")
    assert charts(screen)[0].view.range == (max(low - 300, 0), max(low - 300, 0) + 600)
    await pilot.press("right_square_bracket", "minus")
    assert charts(screen)[0].view.range is None
    await pilot.press("shift+left")
    assert charts(screen)[0].view.range is None  # all is in sight: there is nowhere to go
    assert charts(screen)[0].view.crosshair is not None
    await pilot.press("0")
    assert charts(screen)[0].view.crosshair is None


@on_live
async def test_each_chart_is_looked_at_in_its_own_way(
    pilot: Pilot[None], screen: MonitorScreen, path: Path
) -> None:
    await pilot.press("t", "g", "x")
    view = charts(screen)[0].view
    assert (view.smoothing, view.log, view.clip) == (0.6, True, True)
    await seen(pilot, "~0.6  log  clip")
    await pilot.press("tab")
    await seen(pilot, "grad norm 0.4")
    assert screen.query_one(ChartGrid).position == (2, 6)
    assert not charts(screen)[0].view.log
    await pilot.press("shift+tab", "tilde")
    assert charts(screen)[0].view.smoothing == 0.9


@on_live
async def test_a_regular_expression_chooses_the_charts(
    pilot: Pilot[None], screen: MonitorScreen, path: Path
) -> None:
    await pilot.press("m", *"mem.*pe", "left_parenthesis")
    await seen(pilot, "not yet an expression")
    await pilot.press("backspace")
    await seen(pilot, "2 of 12 metrics")
    assert [chart.group.name for chart in charts(screen) if chart.group] == [
        "memory",
        "memory_host",
    ]
    await pilot.press("enter")
    await until(pilot, lambda: "metrics /" not in screen_text(pilot.app))
    await shows(pilot, "monitor-filter-80x24")
    await pilot.press("m", *"xyz")
    await seen(pilot, "0 of 12 metrics")
    await pilot.press("escape")
    pattern = screen.query_one(ChartGrid).pattern
    assert pattern is not None
    assert pattern.pattern == "mem.*pe"
    await pilot.press("m", *["backspace"] * 7, "enter")
    await seen(pilot, "chart 5/6")  # the one that was looked at


@on_live
async def test_the_full_chart_and_back(
    pilot: Pilot[None], screen: MonitorScreen, path: Path
) -> None:
    os.environ["XDG_CACHE_HOME"] = str(path / ".cache")  # put back when the dashboard is closed
    await pilot.press("f")
    await shows(pilot, "monitor-full-80x24")
    assert charts(screen)[0].size.height >= 20
    await seen(pilot, "qtui runs plot quiet-otter --metric loss --metric eval_loss")
    await pilot.press("y")
    await seen(pilot, "Copied.")
    assert screen.followed is not None
    copied = f"qtui runs plot {screen.followed.run.id} --metric loss --metric eval_loss"
    assert command_file().read_text() == copied + "\n"
    await pilot.press("f")
    await until(pilot, lambda: "log  samples" in screen_text(pilot.app))


def test_other_runs_are_laid_over(tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        run_folders.finished(tmp_path)
        run_folders.interrupted(tmp_path)
        with run_folders.live(tmp_path):
            async with watching(tmp_path) as (pilot, screen):
                await seen(pilot, "412/1200")
                await pilot.press("o")
                await seen(pilot, "[ ] brisk-heron")
                await pilot.press("space", "down", "space")
                await seen(pilot, "[x] amber-finch")
                await shows(pilot, "monitor-runs-picker-80x24")
                await pilot.press("enter")
                await seen(pilot, "brisk-heron 0.9366")
                await shows(pilot, "monitor-overlay-80x24")
                assert len(screen.overlays) == 2
                await pilot.press("o")
                await seen(pilot, "[x] brisk-heron")
                await pilot.press("space", "enter")
                await until(pilot, lambda: "brisk-heron" not in screen_text(pilot.app))
                assert [overlay.run.name for overlay in screen.overlays] == ["amber-finch"]
                await pilot.press("o", "escape")
                assert len(screen.overlays) == 1

    scenario()


def test_a_larger_terminal_shows_more_charts_in_the_same_places(tmp_path: Path) -> None:
    async def count(pilot: Pilot[None], screen: MonitorScreen, path: Path) -> None:
        await until(pilot, lambda: len(charts(screen)) == 4)
        await pilot.press("tab", "tab", "tab", "tab")
        await seen(pilot, "▸ GiB allocated 15.9")
        assert charts(screen)[0].group is not None
        assert charts(screen)[0].group.name == "loss"
        await pilot.resize_terminal(200, 60)
        await until(pilot, lambda: len(charts(screen)) == 6)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: len(charts(screen)) == 1)
        await seen(pilot, "GiB allocated 15.9")

    on_live(count, LARGE)(tmp_path)


# -- texts ---------------------------------------------------------------------------------------


@on_live
async def test_the_texts_and_their_commands(
    pilot: Pilot[None], screen: MonitorScreen, path: Path
) -> None:
    pane = screen.query_one(TextPane)
    await seen(pilot, "checkpoint step-000400 complete (84 MB)")
    await pilot.press("v")
    await seen(pilot, "answer   I have refunded order 5512 after step 400.")
    await pilot.press("k")
    await seen(pilot, "step-000400            400     84 MB       1.058  best")
    await pilot.press("i")
    await until(pilot, lambda: "learning_rate" in pane.text)
    assert "hostname    pod" in pane.text
    await pilot.press("w")
    await seen(pilot, "The worker has printed nothing.")
    assert screen.followed is not None
    screen.followed.run.worker_log.write_text("Loading weights\n\x1b[31m[INST]\n")
    await seen(pilot, "�[31m[INST]")
    await seen(pilot, "qtui runs logs quiet-otter --worker")
    await pilot.press("l")
    await seen(pilot, "checkpoint step-000400 complete (84 MB)")


@on_live
async def test_the_same_letter_again_gives_the_text_the_screen(
    pilot: Pilot[None], screen: MonitorScreen, path: Path
) -> None:
    pane = screen.query_one(TextPane)
    await pilot.press("l")
    await until(pilot, lambda: pane.size.height >= 18)
    await until(pilot, lambda: pane.at_end)
    await pilot.press("home")
    await seen(pilot, "loading dataset: tickets.jsonl")
    await pilot.press("down", "pagedown", "pageup", "up", "end")
    await until(pilot, lambda: pane.at_end)
    await pilot.press("l")
    await until(pilot, lambda: pane.size.height < 10)
    await pilot.press("l")
    await until(pilot, lambda: pane.size.height >= 18)
    await pilot.press("escape")
    await until(pilot, lambda: pane.size.height < 10)
    assert charts(screen)
    await pilot.press("escape")  # nothing has the whole screen any more: back to Home
    await until(pilot, lambda: pilot.app.screen is not screen)


def test_another_run_is_shown_whole_whatever_was_looked_at_before(tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        run_folders.failed(tmp_path)
        run_folders.finished(tmp_path)
        async with watching(tmp_path) as (pilot, screen):
            await until(pilot, lambda: charts(screen)[0].curves)
            await pilot.press("left", "plus")
            assert charts(screen)[0].view.range is not None
            before = screen.followed
            await pilot.press("full_stop")
            await until(pilot, lambda: screen.followed is not before and charts(screen)[0].curves)
            view = charts(screen)[0].view
            assert (view.range, view.crosshair) == (None, None)

    scenario()


def test_settings_that_were_changed_at_a_resume_are_told(tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        with run_folders.resumed(tmp_path):
            async with watching(tmp_path) as (pilot, screen):
                await seen(pilot, "140/400")
                await pilot.press("i", "i")
                await seen(pilot, "training.learning_rate              5e-05  since step 100")
                text = screen.query_one(TextPane).text
                assert re.search(r"learning_rate +0.0002  now 5e-05", text)

    scenario()


def test_foreign_text_is_shown_literally(tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        run_folders.hostile(tmp_path)
        async with watching(tmp_path) as (pilot, _):
            for key in ("l", "v", "k", "i", "w"):
                await pilot.press(key)
                await seen(pilot, "[INST]")
                text = screen_text(pilot.app)
                assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)

    scenario()


# -- what can be asked ---------------------------------------------------------------------------


@on_live
async def test_stop_and_save_reach_the_worker(
    pilot: Pilot[None], screen: MonitorScreen, path: Path
) -> None:
    assert screen.followed is not None
    asked = CommandReader(screen.followed.run.commands, 0)
    await pilot.press("c")
    found: list[object] = []
    await until(pilot, lambda: found.extend(asked.poll()) or found)
    assert isinstance(found[0], SaveNow)
    await pilot.press("s")
    await seen(pilot, "Stop quiet-otter?")
    await pilot.press("escape", "s", "d")
    await until(pilot, lambda: found.extend(asked.poll()) or len(found) > 1)
    assert isinstance(found[1], Stop)
    assert not found[1].save


def test_resume_starts_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @on_screen
    async def scenario() -> None:
        run = run_folders.interrupted(tmp_path)
        asked: list[Run] = []

        async def resume(app: object, run: Run) -> bool:
            asked.append(run)
            return True

        monkeypatch.setattr(run_actions, "resume", resume)
        async with watching(tmp_path) as (pilot, _):
            await seen(pilot, "! interrupted")
            await pilot.press("r")
            await until(pilot, lambda: asked == [run])

    scenario()


def test_from_run_to_run(tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        run_folders.failed(tmp_path, age=7200)
        run_folders.finished(tmp_path, age=3600)
        async with watching(tmp_path) as (pilot, screen):
            await seen(pilot, "brisk-heron")
            await pilot.press("greater_than_sign")
            await seen(pilot, "pale-lynx")
            await pilot.press("greater_than_sign")
            await seen(pilot, "This is the oldest run")
            await pilot.press("less_than_sign")
            await seen(pilot, "brisk-heron  ✓ completed")
            assert screen.followed is not None
            assert screen.followed.run.name == "brisk-heron"
            await seen(pilot, "completed at step 800: trained")

    scenario()


def test_an_alert_stays_until_it_was_seen(tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        with run_folders.live(tmp_path) as run:
            async with watching(tmp_path) as (pilot, _):
                await seen(pilot, "412/1200")
                alert = AlertEvent(
                    time=run_folders.NOW, kind="spike", message="the gradient jumped [/INST]"
                )
                run_folders.append(run, [alert])
                await until(
                    pilot, lambda: "the gradient jumped [/INST]  (a: seen)" in row(pilot.app, 2)
                )
                await pilot.press("a")
                await until(pilot, lambda: "(a: seen)" not in screen_text(pilot.app))
                await seen(pilot, "! the gradient jumped [/INST]")  # in the log

    scenario()


def test_away_from_the_screen_nothing_is_read(tmp_path: Path) -> None:
    @on_screen
    async def scenario() -> None:
        with run_folders.live(tmp_path) as run:
            async with watching(tmp_path) as (pilot, screen):
                await seen(pilot, "412/1200")
                await pilot.press("1")
                await until(pilot, lambda: pilot.app.screen is not screen)
                before = [chart.drawings for chart in screen.query(MonitorChart)]
                end = run_folders.NOW + 3
                run_folders.append(run, run_folders.steps(413, 413, total=1200, end=end))
                await pilot.pause(0.3)
                assert [chart.drawings for chart in screen.query(MonitorChart)] == before
                await pilot.press("4")
                await seen(pilot, "413/1200")

    scenario()


@pytest.mark.parametrize(("name", "at"), [("20261120-120000-far-crane", 1e20), ("strange", -1e20)])
def test_times_that_no_calendar_has_are_shown_as_none(name: str, at: float, tmp_path: Path) -> None:
    events = [
        PhaseEvent(phase=Phase.TRAINING, time=at),
        FinishedEvent(status="completed", step=1, time=at),
    ]
    run = run_folders.write(tmp_path, "any", events, age=60, spec={"created": at})
    run.path.rename(run.path.with_name(name))

    @on_screen
    async def scenario() -> None:
        async with drive(tmp_path, LARGE) as pilot:
            await seen(pilot, "1 run")
            await pilot.press("enter")
            await seen(pilot, "completed at step 1")
            await pilot.press("i")
            await until(pilot, lambda: re.search("created +–", screen_text(pilot.app)))

    scenario()

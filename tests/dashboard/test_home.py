"""Home: every state of a run and of the list, every key, and what goes on under the cursor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from textual.events import Resize
from textual.geometry import Region
from textual.pilot import Pilot

from qtui.errors import QtuiError
from qtui.runs import folder, launch, polling
from qtui.runs.commands import CommandReader
from qtui.runs.events import FinishedEvent, PhaseEvent, Stop
from qtui.runs.folder import Run
from qtui.screens.home.run_order import SORTS
from qtui.screens.home.screen import HomeScreen
from qtui.widgets.readout import Readout, text
from qtui.widgets.run_table import RunTable
from tests.dashboard import run_folders as runs
from tests.dashboard.harness import Machine, drive, on_screen, screen_text, seen, shows, until
from tests.dashboard.machines import NO_GPU
from tests.dashboard.run_folders import NOW


@pytest.fixture
def all_states(tmp_path: Path) -> Iterator[dict[str, Run]]:
    """A run in each state, in `tmp_path`."""
    with ExitStack() as held:
        found = held.enter_context(runs.every_state(tmp_path))
        found["evaluating"] = held.enter_context(runs.evaluating(tmp_path))
        found["resumed"] = held.enter_context(runs.resumed(tmp_path))
        yield found


def home(pilot: Pilot[None]) -> HomeScreen:
    screen = pilot.app.screen_stack[0]
    assert isinstance(screen, HomeScreen)
    return screen


def names(pilot: Pilot[None]) -> list[str]:
    """The runs listed, from the top."""
    return [run.name for run in home(pilot).table.runs]


def selected(pilot: Pilot[None]) -> str | None:
    run = home(pilot).table.selected
    return None if run is None else run.name


async def listed(pilot: Pilot[None], count: int) -> None:
    """Wait until `count` runs are listed, and all have been read."""
    await until(
        pilot, lambda: (now := home(pilot).seen) and now.whole and len(names(pilot)) == count
    )


async def go_to(pilot: Pilot[None], name: str) -> None:
    await pilot.press("home", *["down"] * names(pilot).index(name))
    await until(pilot, lambda: selected(pilot) == name)


def row(pilot: Pilot[None], name: str) -> int:
    """The row of the screen on which the list shows `name`."""
    lines = screen_text(pilot.app).splitlines()
    return next(number for number, line in enumerate(lines) if line[3:].startswith(name))


# ---- how it looks --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
@on_screen
async def test_an_empty_workspace_says_what_to_do_first(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with drive(tmp_path, size) as pilot:
        await shows(pilot, f"home-empty-{size[0]}x{size[1]}")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 20), (200, 60)])
@on_screen
async def test_runs_in_every_state(
    tmp_path: Path, all_states: dict[str, Run], size: tuple[int, int]
) -> None:
    async with drive(tmp_path, size) as pilot:
        await listed(pilot, 9)
        await shows(pilot, f"home-every-state-{size[0]}x{size[1]}")


@pytest.mark.parametrize(
    "name",
    ["quiet-otter", "swift-ibis", "keen-stork", "early-wren", "brisk-heron", "pale-lynx"],
)
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
@on_screen
async def test_what_is_said_of_the_run_under_the_cursor(
    tmp_path: Path, all_states: dict[str, Run], name: str, size: tuple[int, int]
) -> None:
    async with drive(tmp_path, size) as pilot:
        await listed(pilot, 9)
        await go_to(pilot, name)
        await shows(pilot, f"home-{name}-{size[0]}x{size[1]}")


@on_screen
async def test_an_interrupted_run_says_how_it_goes_on(
    tmp_path: Path, all_states: dict[str, Run]
) -> None:
    async with drive(tmp_path) as pilot:
        await listed(pilot, 9)
        await go_to(pilot, "amber-finch")
        await shows(pilot, "home-interrupted-80x24")
        assert "r resumes it from its checkpoint of step 200" in screen_text(pilot.app)


@on_screen
async def test_in_ascii_every_sign_has_its_twin(tmp_path: Path, all_states: dict[str, Run]) -> None:
    async with drive(tmp_path, (80, 24), config="ascii = true\n") as pilot:
        await listed(pilot, 9)
        await pilot.press("space", "down")
        await shows(pilot, "home-ascii-80x24")
        assert screen_text(pilot.app).isascii()


@on_screen
async def test_hostile_text_is_shown_as_text(tmp_path: Path) -> None:
    runs.hostile(tmp_path)
    async with drive(tmp_path, (160, 24)) as pilot:
        await listed(pilot, 1)
        await until(
            pilot, lambda: "[INST] <|im_start|> [bold]rich[/bold]" in screen_text(pilot.app)
        )
        said = screen_text(pilot.app)
        assert not any(
            character < " " or "\x7f" <= character < "\xa0"
            for character in said
            if character != "\n"
        )
        await shows(pilot, "home-hostile-160x24")


@on_screen
async def test_a_small_terminal_keeps_the_list(tmp_path: Path, all_states: dict[str, Run]) -> None:
    async with drive(tmp_path, (30, 10)) as pilot:
        await listed(pilot, 9)
        assert "swift-ibis" in screen_text(pilot.app)
        assert max(map(len, screen_text(pilot.app).splitlines())) <= 30
        await pilot.press("end")
        await seen(pilot, "amber-finch")


# ---- moving --------------------------------------------------------------------------------------


@on_screen
async def test_the_cursor_goes_where_its_keys_say(tmp_path: Path) -> None:
    runs.many(tmp_path, 60)
    async with drive(tmp_path) as pilot:
        await listed(pilot, 60)
        page = home(pilot).table.page
        at = 0
        for key, place in (
            *(("up", 0), ("down", 1), ("j", 2), ("k", 1), ("up", 0)),
            *(("pagedown", page), ("pagedown", 2 * page), ("pageup", page), ("home", 0)),
            *(("end", 59), ("pagedown", 59), ("g", 0), ("G", 59)),
        ):
            await pilot.press(key)
            await until(pilot, lambda place=place: home(pilot).table.at == place)
            at = place
            assert f"▸  run-{at:03d}" in screen_text(pilot.app)  # always in sight
        await shows(pilot, "home-many-80x24")


@on_screen
async def test_a_resize_that_comes_late_leaves_nothing_stale(tmp_path: Path) -> None:
    runs.many(tmp_path, 3)
    async with drive(tmp_path) as pilot:
        await listed(pilot, 3)
        await seen(pilot, "▸  run-000")
        table = home(pilot).table
        table.post_message(Resize(table.size, table.virtual_size))
        await pilot.press("down")
        await seen(pilot, "▸  run-001")
        assert "▸  run-000" not in screen_text(pilot.app)


@on_screen
async def test_a_click_selects_and_a_second_one_opens(
    tmp_path: Path, all_states: dict[str, Run]
) -> None:
    async with drive(tmp_path) as pilot:
        await listed(pilot, 9)
        await pilot.click(RunTable, offset=(10, 0))  # the header
        assert selected(pilot) == "swift-ibis"
        await pilot.click(RunTable, offset=(10, row(pilot, "brisk-heron") - 1))
        await until(pilot, lambda: selected(pilot) == "brisk-heron")
        await pilot.click(RunTable, offset=(10, row(pilot, "brisk-heron") - 1), times=2)
        await until(pilot, lambda: pilot.app.current_mode == "monitor")


@on_screen
async def test_the_selected_run_stays_selected_and_in_its_place(tmp_path: Path) -> None:
    made = runs.many(tmp_path, 60)
    async with drive(tmp_path) as pilot:
        await listed(pilot, 60)
        await go_to(pilot, "run-040")
        at = row(pilot, "run-040")
        runs.queued(tmp_path, "brand-new", age=1)
        await listed(pilot, 61)
        folder.delete(made[3])
        folder.delete(made[50])
        await listed(pilot, 59)
        runs.queued(tmp_path, "newer-still", age=0)
        await listed(pilot, 60)
        assert selected(pilot) == "run-040"
        assert row(pilot, "run-040") == at
        folder.delete(made[40])
        await listed(pilot, 59)
        assert selected(pilot) == "run-041"


# ---- live ----------------------------------------------------------------------------------------


class Drawn:
    """Which regions of the list and of the lines below were drawn anew."""

    def __init__(self, pilot: Pilot[None]) -> None:
        self.regions: list[Region] = []
        self.whole = 0
        for widget in (home(pilot).table, *home(pilot).query("Readout")):
            refresh = widget.refresh

            def counting(*regions: Region, refresh: Any = refresh, **how: Any) -> Any:
                self.regions += regions
                self.whole += not regions
                return refresh(*regions, **how)

            widget.refresh = counting  # type: ignore[method-assign]


@on_screen
async def test_a_step_draws_only_the_cells_that_changed(tmp_path: Path) -> None:
    with runs.live(tmp_path) as run:
        runs.many(tmp_path, 8)
        async with drive(tmp_path) as pilot:
            await listed(pilot, 9)
            drawn = Drawn(pilot)
            runs.append(run, runs.steps(413, 413, total=1200, end=NOW))
            await seen(pilot, "413/1200")
            assert drawn.whole == 0
            assert 0 < sum(region.area for region in drawn.regions) < 120


@on_screen
async def test_nothing_is_drawn_while_nothing_changes(
    tmp_path: Path, all_states: dict[str, Run]
) -> None:
    machine = Machine(NO_GPU)
    async with drive(tmp_path, machine=machine) as pilot:
        await listed(pilot, 9)
        await go_to(pilot, "brisk-heron")
        drawn = Drawn(pilot)
        ticks: list[int] = []
        tick = home(pilot)._tick
        for _ in range(3):
            tick()
            ticks.append(1)
            await pilot.pause()
        assert (drawn.regions, drawn.whole) == ([], 0)
        machine.now += 60  # the ages that read otherwise now
        tick()
        await until(pilot, lambda: drawn.regions)
        assert drawn.whole == 0
        assert sum(region.area for region in drawn.regions) < 60


@on_screen
async def test_runs_come_change_and_go_while_one_looks(tmp_path: Path) -> None:
    async with drive(tmp_path) as pilot:
        await seen(pilot, "No runs here yet")
        with runs.live(tmp_path) as run:
            await seen(pilot, "412/1200")
            assert "No runs here" not in screen_text(pilot.app)
            end = FinishedEvent(time=NOW, status="stopped", step=412, message="enough")
            runs.append(run, [end])
            await seen(pilot, "■ stopped")
            await seen(pilot, "enough")
            runs.append(run, [PhaseEvent(time=NOW, phase="training")])
            await seen(pilot, "● training")
        await seen(pilot, "! interrupted")
        folder.delete(run)
        await seen(pilot, "No runs here yet")


@on_screen
async def test_a_volume_that_hangs_shows_since_when_and_keys_go_on(
    tmp_path: Path, all_states: dict[str, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "PATIENCE", 0.2)
    async with drive(tmp_path) as pilot:
        await listed(pilot, 9)
        back = threading.Event()
        all_runs = folder.all_runs

        def hanging(workspace: Path) -> list[Run]:
            back.wait()
            return all_runs(workspace)

        monkeypatch.setattr(folder, "all_runs", hanging)
        try:
            await seen(pilot, "unavailable since 15:42:10")
            await shows(pilot, "home-unavailable-80x24")
            await pilot.press("down", "down")
            await until(pilot, lambda: selected(pilot) == "keen-stork")
            await pilot.press("o")
            await seen(pilot, "sorted by state")
        finally:
            back.set()
        await until(pilot, lambda: "unavailable" not in screen_text(pilot.app))
        assert len(names(pilot)) == 9


@on_screen
async def test_the_list_rests_while_another_screen_is_shown(tmp_path: Path) -> None:
    with runs.live(tmp_path) as run:
        async with drive(tmp_path) as pilot:
            await listed(pilot, 1)
            looks: list[Path] = []
            all_runs = folder.all_runs

            def counted(workspace: Path) -> list[Run]:
                looks.append(workspace)
                return all_runs(workspace)

            await pilot.press("9")
            await until(pilot, lambda: pilot.app.current_mode == "system")
            with patch.object(folder, "all_runs", counted):
                runs.append(run, runs.steps(413, 414, total=1200, end=NOW))
                await pilot.pause(1.2)
                assert looks == []
                await pilot.press("1")
                await seen(pilot, "414/1200")
                assert looks


# ---- filter, sort, mark --------------------------------------------------------------------------


@on_screen
async def test_a_filter_as_it_is_typed_kept_and_taken_back(
    tmp_path: Path, all_states: dict[str, Run]
) -> None:
    async with drive(tmp_path) as pilot:
        await listed(pilot, 9)
        await pilot.press("slash", *"LLAMA-3.1 training")
        await until(pilot, lambda: names(pilot) == ["quiet-otter", "deft-raven"])
        await shows(pilot, "home-filter-80x24")
        await pilot.press("down")  # the list can be gone through meanwhile
        await until(pilot, lambda: selected(pilot) == "deft-raven")
        await pilot.press("enter")
        await seen(pilot, "2 of 9 runs")
        assert home(pilot).table.has_focus
        await pilot.press("slash", "x")
        await until(pilot, lambda: names(pilot) == [])
        assert home(pilot).table.selected is None
        await pilot.press("escape")
        await until(pilot, lambda: len(names(pilot)) == 9 and home(pilot).table.has_focus)
        await pilot.press("slash", *"otter", "enter")
        await until(pilot, lambda: len(names(pilot)) == 2)
        await pilot.press("escape")
        await until(pilot, lambda: len(names(pilot)) == 9)
        assert pilot.app.current_mode == "home"


@on_screen
async def test_a_filter_that_is_left_leads_back_to_the_run(
    tmp_path: Path, all_states: dict[str, Run]
) -> None:
    async with drive(tmp_path) as pilot:
        await listed(pilot, 9)
        await go_to(pilot, "brisk-heron")
        await pilot.press("slash", *"xotter")
        await until(pilot, lambda: selected(pilot) is None)
        await pilot.press("home", "delete")
        await until(pilot, lambda: selected(pilot) in ("calm-otter", "quiet-otter"))
        await pilot.press("escape")
        await until(pilot, lambda: selected(pilot) == "brisk-heron")
        await pilot.press("slash", *"calm", "enter")
        await until(pilot, lambda: selected(pilot) == "calm-otter")
        await pilot.press("escape")
        await listed(pilot, 9)
        assert selected(pilot) == "calm-otter"


@on_screen
async def test_sorted_by_age_state_loss_and_name(
    tmp_path: Path, all_states: dict[str, Run]
) -> None:
    async with drive(tmp_path) as pilot:
        await listed(pilot, 9)
        await go_to(pilot, "brisk-heron")
        newest_first = names(pilot)
        for sort in (*SORTS[1:], SORTS[0]):
            await pilot.press("o")
            await seen(pilot, f"sorted by {sort}")
            assert selected(pilot) == "brisk-heron"
            shown = list(home(pilot).table.runs)
            if sort == "state":
                assert [run.status.value for run in shown][-5:] == [
                    *("interrupted", "failed", "queued", "stopped", "completed")
                ]
            elif sort == "loss":
                losses = [run.loss for run in shown if run.loss is not None]
                assert losses == sorted(losses)
                assert shown[-1].loss is None
            elif sort == "name":
                assert names(pilot) == sorted(newest_first)
        assert names(pilot) == newest_first


@on_screen
async def test_two_marks_at_most_and_they_lead_to_a_comparison(
    tmp_path: Path, all_states: dict[str, Run]
) -> None:
    async with drive(tmp_path) as pilot:
        await listed(pilot, 9)
        table = home(pilot).table
        await pilot.press("x")  # nothing is marked yet
        await pilot.press("space")
        await seen(pilot, "marked swift-ibis, space marks another one")
        await pilot.press("space", "space")
        await seen(pilot, "marked early-wren and keen-stork: x compares them")
        await shows(pilot, "home-marked-80x24")
        await go_to(pilot, "keen-stork")
        await pilot.press("space")
        await until(pilot, lambda: len(table.marked) == 1)
        await pilot.press("space")
        await seen(pilot, "early-wren and")
        folder.delete(all_states["queued"])
        await until(pilot, lambda: len(table.marked) == 1)  # a run that is gone is not marked
        await pilot.press("home", "space", "x")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 2)
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is home(pilot))


# ---- what is done to runs ------------------------------------------------------------------------


@on_screen
async def test_enter_opens_the_run_and_n_a_new_one(
    tmp_path: Path, all_states: dict[str, Run]
) -> None:
    async with drive(tmp_path) as pilot:
        await listed(pilot, 9)
        await go_to(pilot, "brisk-heron")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.current_mode == "monitor")
        await seen(pilot, "brisk-heron")
        await pilot.press("1", "n")
        await until(pilot, lambda: pilot.app.current_mode == "configure")


@pytest.mark.parametrize(("answer", "save"), [("s", True), ("d", False)])
@on_screen
async def test_a_run_is_asked_to_stop(tmp_path: Path, answer: str, save: bool) -> None:
    with runs.live(tmp_path) as run:
        async with drive(tmp_path) as pilot:
            await listed(pilot, 1)
            await pilot.press("s")
            await seen(pilot, "Stop quiet-otter?")
            await shows(pilot, "home-stop-80x24")
            await pilot.press(answer)
            await seen(pilot, "was asked to stop")
            (command,) = CommandReader(run.commands).poll()
            assert isinstance(command, Stop)
            assert command.save is save


@on_screen
async def test_a_server_says_where_it_listens_and_has_no_checkpoint_to_ask_for(
    tmp_path: Path,
) -> None:
    with runs.serving(tmp_path) as run:
        async with drive(tmp_path) as pilot:
            await listed(pilot, 1)
            await seen(pilot, "http://127.0.0.1:8000")
            await pilot.press("s")
            await seen(pilot, "Stop warm-finch?")
            await shows(pilot, "home-stop-server-80x24")
            await pilot.press("s")
            await seen(pilot, "was asked to stop")
            assert [type(each) for each in CommandReader(run.commands).poll()] == [Stop]


@pytest.mark.parametrize("answer", ["c", "escape"])
@on_screen
async def test_a_stop_that_is_thought_better_of(tmp_path: Path, answer: str) -> None:
    with runs.live(tmp_path) as run:
        async with drive(tmp_path) as pilot:
            await listed(pilot, 1)
            await pilot.press("s")
            await seen(pilot, "Stop quiet-otter?")
            await pilot.press(answer)
            await until(pilot, lambda: pilot.app.screen is home(pilot))
            assert not run.commands.exists()


@on_screen
async def test_keys_that_would_do_nothing_are_not_offered(
    tmp_path: Path, all_states: dict[str, Run]
) -> None:
    async with drive(tmp_path) as pilot:
        await listed(pilot, 9)
        for name, offered, not_offered in (
            ("quiet-otter", "s stop", "r resume"),
            ("brisk-heron", "enter open", "s stop"),
            ("pale-lynx", "r resume", "s stop"),
            ("early-wren", "r resume", "s stop"),
        ):
            await go_to(pilot, name)
            bar = screen_text(pilot.app).splitlines()[-1]
            assert offered in bar
            assert not_offered not in bar
        await go_to(pilot, "brisk-heron")
        await pilot.press("s", "r")
        assert pilot.app.screen is home(pilot)


@on_screen
async def test_a_run_is_resumed_and_a_refusal_is_shown(
    tmp_path: Path, all_states: dict[str, Run]
) -> None:
    resumed: list[str] = []

    def resume(run: Run) -> int:
        resumed.append(run.name)
        if run.name == "pale-lynx":
            raise QtuiError("the worker died at its start", remedy="`qtui doctor` finds out")
        return 1

    with patch.object(launch, "resume", resume):
        async with drive(tmp_path) as pilot:
            await listed(pilot, 9)
            await go_to(pilot, "amber-finch")
            await pilot.press("r")
            await seen(pilot, "amber-finch goes on")
            await go_to(pilot, "pale-lynx")
            await pilot.press("r")
            await seen(pilot, "the worker died at its start")
            await seen(pilot, "`qtui doctor` finds out")
    assert resumed == ["amber-finch", "pale-lynx"]


@on_screen
async def test_a_run_is_deleted_after_a_question(
    tmp_path: Path, all_states: dict[str, Run]
) -> None:
    async with drive(tmp_path) as pilot:
        await listed(pilot, 9)
        await go_to(pilot, "calm-otter")
        await pilot.press("d")
        await seen(pilot, "Delete calm-otter?")
        await pilot.press("enter")  # the first answer keeps it
        await until(pilot, lambda: pilot.app.screen is home(pilot))
        assert all_states["stopped"].path.is_dir()
        await pilot.press("d")
        await seen(pilot, "Delete calm-otter?")
        await pilot.press("y")
        await listed(pilot, 8)
        assert not all_states["stopped"].path.exists()
        assert selected(pilot) == "pale-lynx"


@on_screen
async def test_a_deletion_that_fails_is_told(tmp_path: Path) -> None:
    run = runs.finished(tmp_path)
    refusal = PermissionError(13, "Permission denied", str(run.path))
    async with drive(tmp_path) as pilot:
        await listed(pilot, 1)
        with patch.object(folder, "delete", side_effect=refusal):
            await pilot.press("d")
            await seen(pilot, "Delete brisk-heron?")
            await pilot.press("y")
            await seen(pilot, "Permission denied")
        assert names(pilot) == ["brisk-heron"]


@on_screen
async def test_a_living_run_is_not_deleted(tmp_path: Path) -> None:
    with runs.live(tmp_path) as run:
        async with drive(tmp_path) as pilot:
            await listed(pilot, 1)
            await pilot.press("d")
            await seen(pilot, "quiet-otter has a living worker")
            assert run.path.is_dir()


@on_screen
async def test_a_run_is_copied_with_what_its_resumes_changed(
    tmp_path: Path, all_states: dict[str, Run]
) -> None:
    async with drive(tmp_path) as pilot:
        await listed(pilot, 9)
        await go_to(pilot, "deft-raven")
        await pilot.press("c")
        await until(pilot, lambda: pilot.app.current_mode == "configure")
        form = pilot.app.screen_stack[0]
        await until(pilot, lambda: form.form.value("training.max_steps") == 400)  # type: ignore[attr-defined]
        assert form.form.value("training.learning_rate") == 5e-5  # type: ignore[attr-defined]


@on_screen
async def test_a_run_that_cannot_be_copied_says_why(tmp_path: Path) -> None:
    runs.hostile(tmp_path)
    async with drive(tmp_path) as pilot:
        await listed(pilot, 1)
        await pilot.press("c")
        await seen(pilot, "run.json")
        assert pilot.app.current_mode == "home"


@on_screen
async def test_the_command_is_copied_to_a_file(tmp_path: Path, all_states: dict[str, Run]) -> None:
    cache = tmp_path / "cache"
    async with drive(tmp_path, environment={"XDG_CACHE_HOME": str(cache)}) as pilot:
        await listed(pilot, 9)
        for name, verb in (
            ("quiet-otter", "attach"),
            ("brisk-heron", "show"),
            ("amber-finch", "resume"),
        ):
            await go_to(pilot, name)
            command = f"qtui runs {verb} {home(pilot).table.selected.id}"  # type: ignore[union-attr]
            shown = home(pilot).query_one("#detail", Readout)
            await until(pilot, lambda: command in text(shown.lines))  # noqa: B023
            await pilot.press("y")
            copied = cache / "qtui" / "command.sh"
            await until(
                pilot,
                lambda command=command, copied=copied: (
                    copied.is_file() and command in copied.read_text()
                ),
            )


@on_screen
async def test_keys_that_a_user_moved_are_named_as_they_are_now(tmp_path: Path) -> None:
    async with drive(tmp_path, config='[keys]\n"home.new" = "N"\n') as pilot:
        await seen(pilot, "N, then ctrl+l")
        await pilot.press("N")
        await until(pilot, lambda: pilot.app.current_mode == "configure")

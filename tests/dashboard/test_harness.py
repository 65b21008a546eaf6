"""The run folders that all tests of the dashboard build on are what they say they are."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from qtui.runs import folder
from qtui.runs.log import EventReader
from qtui.runs.series import load
from qtui.runs.state import ALLOWED, Status, status
from qtui.runs.summary import summarize
from tests.dashboard import run_folders
from tests.dashboard.harness import drive, on_screen, screen_text, seen


def test_each_state_is_the_state_that_qtui_sees(tmp_path: Path) -> None:
    with run_folders.every_state(tmp_path) as runs, run_folders.evaluating(tmp_path) as now:
        assert {name: status(run).value for name, run in runs.items()} == {
            name: name for name in runs
        }
        assert status(now) is Status.EVALUATING
        assert {run.id for run in folder.all_runs(tmp_path)} == {
            run.id for run in [*runs.values(), now]
        }
    assert status(runs["training"]) is Status.INTERRUPTED  # nobody holds it any longer


def test_logs_are_such_as_a_worker_could_have_written(tmp_path: Path) -> None:
    with run_folders.every_state(tmp_path) as runs, run_folders.resumed(tmp_path) as again:
        for run in [*runs.values(), again]:
            reader = EventReader(run.events)
            events = reader.poll()
            assert (reader.gaps, reader.damaged, reader.unknown) == ([], 0, 0)
            times = [event.time for event in events]
            assert times == sorted(times)
            assert not times or times[-1] <= run_folders.NOW
            phases = [phase.phase.value for phase in load(run).phases]
            for before, after in itertools.pairwise(phases):
                if after != "initializing":
                    assert Status(after) in ALLOWED[Status(before)], run.id
        assert load(again).metric("loss")[0] == list(range(1, 141))
        assert load(again).overrides["training.learning_rate"].since == 100


def test_a_living_run_goes_on(tmp_path: Path) -> None:
    with run_folders.live(tmp_path) as run:
        end = run_folders.NOW + 3
        run_folders.append(run, run_folders.steps(413, 413, total=1200, end=end))
        assert summarize(run).step == 413
        assert EventReader(run.events).poll()[-1].time == end


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_the_dashboard_opens_at_the_size_asked_for(tmp_path: Path, size: tuple[int, int]) -> None:
    @on_screen
    async def scenario() -> None:
        async with drive(tmp_path, size) as pilot:
            await seen(pilot, "qtui")
            assert screen_text(pilot.app).count("\n") == size[1] - 1
            assert tuple(pilot.app.size) == size

    scenario()

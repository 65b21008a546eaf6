"""The header line: what it says in each state, and what goes when there is no room."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from qtui.runs.events import (
    AnyEvent,
    FailedEvent,
    FinishedEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
)
from qtui.runs.folder import Run
from qtui.runs.series import History
from qtui.runs.state import Status
from qtui.screens.monitor.header import Surroundings, header, notice, planned

RUN = Run(Path("/workspace/runs/20261120-154210-quiet-otter"))


def fed(*events: AnyEvent) -> History:
    history = History()
    history.feed(events)
    return history


def training(steps: int = 40) -> History:
    history = fed(
        PhaseEvent(time=0, phase=Phase.INITIALIZING), PhaseEvent(time=10, phase=Phase.TRAINING)
    )
    for step in range(1, steps + 1):
        at = 10.0 + 3 * step
        history.feed(
            [
                ProgressEvent(time=at, what="train", done=step, total=100),
                MetricsEvent(time=at, step=step, epoch=step / 50, values={"loss": 1.0}),
            ]
        )
    return history


def text(
    history: History, status: Status, width: int = 80, now: float = 130, **more: object
) -> str:
    around = Surroundings(width, now, **more)  # type: ignore[arg-type]
    return header(RUN, history, status, planned(history, {}), around).plain.rstrip()


def test_a_run_that_trains() -> None:
    assert text(training(), Status.TRAINING, width=84, price=3600.0) == (
        " quiet-otter  ● training  40/100  40%  ━━━━─────  left 3m00s  130.00 $  epoch 0.80"
    )
    assert text(training(), Status.TRAINING, width=76, price=3600.0) == (
        " quiet-otter  ● training  40/100  40%  ━━━━━────────  left 3m00s  130.00 $"
    )
    ascii_line = text(training(), Status.TRAINING, unicode=False)
    assert ascii_line.isascii()
    assert "* training" in ascii_line


def test_a_run_that_waits_says_for_what_and_how_long() -> None:
    loading = PhaseEvent(time=100, phase=Phase.LOADING_MODEL, detail="org/model")
    history = fed(loading)
    assert text(history, Status.LOADING_MODEL, now=142) == (
        " quiet-otter  ● loading model  for 42s  org/model"
    )
    for at, done in ((110, 1_000_000_000), (120, 2_000_000_000)):
        history.feed(
            [ProgressEvent(time=at, what="download", done=done, total=10**10, unit="bytes")]
        )
    line = text(history, Status.LOADING_MODEL, width=120, now=121)
    assert "download 2.0 GB of 10.0 GB  20%  ━━" in line
    assert line.endswith("left 1m20s  for 21s  org/model")
    history.feed([ProgressEvent(time=122, what="look", done=12, unit="files")])
    assert "look 12 files  for 22s" in text(history, Status.LOADING_MODEL, now=122)


def test_an_evaluation_keeps_the_step_in_sight() -> None:
    history = training()
    history.feed([PhaseEvent(time=130, phase=Phase.EVALUATING)])
    assert text(history, Status.EVALUATING, now=135).endswith("for 5s  epoch 0.80")
    history.feed([ProgressEvent(time=134, what="evaluate", done=3, total=12, unit="rows")])
    line = text(history, Status.EVALUATING, width=120, now=135)
    assert "40/100  40%" in line
    assert "evaluate 3 of 12 rows  25%  for 5s" in line


def test_a_run_that_is_over_says_what_it_took() -> None:
    history = training()
    history.feed([FinishedEvent(time=190, status="completed", step=40)])
    line = text(history, Status.COMPLETED, now=9e9)
    assert "✓ completed" in line
    assert "took 3m10s" in line
    assert "left" not in line


@given(st.integers(20, 240), st.sampled_from(["quiet-otter", "x" * 90, "日本語" * 20]))
def test_it_fits_whatever_the_width(width: int, name: str) -> None:
    run = Run(Path("/workspace/runs") / name)
    around = Surroundings(width, 130, price=0.69)
    line = header(run, training(), Status.TRAINING, 100, around)
    assert line.cell_length <= max(width, 34)


def test_the_plan_is_the_runs_own_word_before_its_configs() -> None:
    assert planned(training(), {"training": {"max_steps": 7}}) == 100
    assert planned(History(), {"training": {"max_steps": 7}}) == 7
    assert planned(History(), {"training": {"max_steps": -1}}) is None
    assert planned(History(), {"training": "what"}) is None


def test_a_failure_says_what_why_and_what_to_try() -> None:
    history = training()
    history.feed([FailedEvent(error="OutOfMemoryError", message="no room", remedy="less " * 60)])
    lines = [line.plain for line in notice(RUN, history, Status.FAILED, Surroundings(80, 1))]
    assert lines[0] == " ✗ no room (OutOfMemoryError)"
    assert lines[1].startswith(" try less less")
    assert len(lines) == 4  # what to try has two rows at most
    assert "qtui runs resume quiet-otter" in lines[3]
    assert max(map(len, lines)) <= 80


def test_nothing_is_said_while_all_goes_well() -> None:
    around = Surroundings(80, 1)
    assert notice(RUN, training(), Status.TRAINING, around) == []
    said = notice(RUN, training(), Status.TRAINING, around, alert="too hot")
    assert [line.plain for line in said] == [" ! too hot  (a: seen)"]
    lost = notice(RUN, training(), Status.TRAINING, around, unavailable_since=0.0, why="gone")
    assert "gone. What is shown was read before." in lost[0].plain

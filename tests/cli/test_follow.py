"""What following shows: lines for events, one live line, time left, and how it ends."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from qtui.cli import follow as following
from qtui.cli.follow import EventView, follow
from qtui.cli.output import Output, SafeStream
from qtui.cli.session import exit_code
from qtui.runs import folder
from qtui.runs.events import (
    CheckpointEvent,
    FailedEvent,
    FinishedEvent,
    LogEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
    SampleEvent,
)
from qtui.runs.launch import request_stop
from qtui.runs.log import EventLog
from qtui.runs.state import Status
from tests.cli.programs import on_terminal, spawn


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def output(*, terminal: bool = False) -> Output:
    kind = Terminal if terminal else io.TextIOWrapper
    return Output(
        *(SafeStream(kind(io.BytesIO(), encoding="utf-8", write_through=True)) for _ in range(2))
    )


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


class Lines(list[str]):
    """Collects lines as text."""

    def __call__(self, *parts: object) -> None:
        self.append("".join(getattr(part, "text", part) for part in parts))  # type: ignore[misc]


def training(out: Output, lines: Lines) -> EventView:
    view = EventView(out, lines)
    view.take(PhaseEvent(seq=0, time=100, phase=Phase.TRAINING))
    for step in range(1, 11):
        view.take(ProgressEvent(time=100 + 2 * step, what="train", done=step, total=40))
        view.take(MetricsEvent(time=100 + 2 * step, step=step, values={"loss": 1 / step}))
    return view


def test_the_live_line_has_bar_loss_and_the_time_left() -> None:
    line = training(output(terminal=True), Lines()).live_line(now=121)
    assert line.startswith("training 10/40  ")
    assert "25%" in line
    assert "loss 0.1" in line
    assert "left 1m00s" in line  # 30 steps of two seconds


def test_the_bar_and_the_speed_go_on_over_an_evaluation() -> None:
    view = training(output(terminal=True), Lines())
    view.take(PhaseEvent(time=121, phase=Phase.EVALUATING))
    assert "evaluating 10/40" in view.live_line(now=122)
    assert "left" in view.live_line(now=122)


def test_without_a_count_the_live_line_says_how_long_it_has_waited() -> None:
    view = EventView(output(terminal=True), Lines())
    assert view.live_line(now=5) == ""
    view.take(PhaseEvent(time=100, phase=Phase.LOADING_MODEL, detail="org/model"))
    assert view.live_line(now=132) == "loading model  32s  org/model"
    view.take(ProgressEvent(time=133, what="download", done=0, total=0, unit="bytes"))
    assert "loading model" in view.live_line(now=133)


def test_metrics_are_lines_off_a_terminal_and_the_live_line_on_one() -> None:
    piped, shown = Lines(), Lines()
    training(output(), piped)
    training(output(terminal=True), shown)
    assert sum("loss" in line for line in piped) == 10
    assert "step 4/40  loss 0.25" in piped[4]
    assert not any("loss" in line for line in shown)


def test_an_evaluation_is_held_against_the_best() -> None:
    lines = Lines()
    view = EventView(output(terminal=True), lines)
    for step, loss in ((10, 1.5), (20, 1.2), (30, 1.4)):
        view.take(MetricsEvent(time=1, step=step, values={"eval_loss": loss}))
    assert lines[1].endswith("step 20  eval loss 1.2")
    assert lines[2].endswith("step 30  eval loss 1.4 (best 1.2)")


def test_each_kind_of_event_is_told_once() -> None:
    lines = Lines()
    view = EventView(output(), lines)
    view.take(LogEvent(level="warning", message="careful\nnow"))
    view.take(LogEvent(level="debug", message="not shown"))
    view.take(CheckpointEvent(step=2, path="checkpoints/step-000002", size=84_000_000))
    view.take(ResumedEvent(step=2, reason="out_of_memory", overrides={"training.batch_size": 2}))
    view.take(SampleEvent(step=2, prompt="p " * 500, output="o"))
    texts = [line[10:] for line in lines]
    assert texts[:3] == [
        "warning: careful now",
        "checkpoint step-000002 complete (84 MB)",
        "resumed from step 2: out_of_memory (training.batch_size = 2)",
    ]
    assert len(texts[3]) < 700
    assert texts[3].endswith('"o"')


def test_an_end_is_taken_back_by_a_later_life_of_the_run() -> None:
    view = EventView(output(), Lines())
    view.take(FailedEvent(error="E", message="m"))
    assert view.end is not None
    view.take(ResumedEvent(step=1))
    assert view.end is None


@pytest.mark.parametrize(
    ("end", "status", "code"),
    [
        (FinishedEvent(status="completed"), Status.COMPLETED, 0),
        (FinishedEvent(status="stopped"), Status.STOPPED, 130),
        (FailedEvent(error="E", message="m", exit_code=4), Status.FAILED, 4),
        (FailedEvent(error="E", message="m", exit_code=0), Status.FAILED, 1),
        (None, Status.INTERRUPTED, 1),
    ],
)
def test_the_exit_code_is_the_runs(
    end: FinishedEvent | FailedEvent | None, status: Status, code: int, tmp_path: Path
) -> None:
    run = folder.create(tmp_path, kind="train", config={}, command=[])
    with EventLog(run.events) as log:
        log.write(PhaseEvent(phase=Phase.TRAINING))
        if end is not None:
            log.write(end)
    ending = follow(run, output(), write=Lines())
    assert ending.status is status
    assert exit_code(ending) == code


def test_on_a_terminal_one_line_is_redrawn_and_removed(tmp_path: Path) -> None:
    child = spawn("train", "--preset", "quickstart", "--name", "waits", cwd=tmp_path, fake=True)
    child.expect("training 5/5")
    request_stop(folder.find(tmp_path, "waits"), save=True)
    rest = child.read().decode()
    child.close()
    assert child.exitstatus == 130
    assert "\r\x1b[K" in rest
    assert "training 5/5" not in rest.rpartition("\x1b[K")[2]


def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    env = {"TERM": "dumb"}
    shown = on_terminal("train", "--preset", "quickstart", cwd=tmp_path, fake=True, env=env)
    assert b"\x1b" not in shown.stdout
    assert "step 5/5  loss 0.4" in shown.text


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_lock_that_a_restart_drops_is_believed_only_when_it_stays_free(
    comes_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = folder.create(tmp_path, kind="train", config={}, command=[])
    with EventLog(run.events) as log:
        log.write(PhaseEvent(phase=Phase.TRAINING))
        log.write(ResumedEvent(step=2, reason="out_of_memory"))
        log.write(LogEvent(level="warning", message="going on from step 2"))
    asked = []

    def is_held(path: Path) -> bool:
        asked.append(path)
        if comes_back and len(asked) == 4:  # free at the second, third and fourth look
            with EventLog(run.events) as log:
                log.write(PhaseEvent(phase=Phase.INITIALIZING))
                log.write(FinishedEvent(status="completed"))
        return False

    monkeypatch.setattr(following, "is_held", is_held)
    if not comes_back:
        monkeypatch.setattr(following, "RESTART_SECONDS", 0.1)
    status = follow(run, output(), write=Lines()).status
    assert status is (Status.COMPLETED if comes_back else Status.INTERRUPTED)

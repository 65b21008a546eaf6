"""A run in one line, from the tail of its log, and never an exception for a bad one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from qtui.runs.events import (
    AlertEvent,
    CheckpointEvent,
    FailedEvent,
    FinishedEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
)
from qtui.runs.folder import Run
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog
from qtui.runs.state import Status, status
from qtui.runs.summary import Summary, summarize
from qtui.runs.trend import POINTS, trend
from tests.runs.conftest import make


def train(log: EventLog, first: int, last: int) -> None:
    for step in range(first, last + 1):
        values = {"loss": 100.0 - step, "tokens_per_second": 10.0 * step}
        log.write(MetricsEvent(step=step, epoch=step / 10, values=values))
        log.write(ProgressEvent(what="training", done=step, total=50))


def test_a_run_in_one_line(tmp_path: Path) -> None:
    run = make(tmp_path, model={"model_name": "org/m", "use_qlora": True})
    assert summarize(run).status is Status.QUEUED
    with RunLock(run.lock), EventLog(run.events) as log:
        begun = log.write(PhaseEvent(phase=Phase.TRAINING, detail="50 steps"))
        train(log, 1, 30)
        log.write(MetricsEvent(step=30, values={"eval_loss": 7.0}))
        for step in (10, 20):
            (run.checkpoints / f"step-{step:06d}").mkdir(parents=True)
        (run.checkpoints / "step-000010" / "manifest.json").touch()
        (run.checkpoints / ".step-30.tmp").mkdir()
        last = log.write(AlertEvent(kind="spike", message="look here"))
        summary = summarize(run)
    assert summary.seconds_per_step is not None
    summary.seconds_per_step = None  # how fast these lines were written
    assert summary == Summary(
        id=run.id,
        name=run.name,
        kind="train",
        status=Status.TRAINING,
        model="org/m",
        method="qlora",
        created=run.spec.created,
        updated=last.time,
        step=30,
        total_steps=50,
        epoch=3.0,
        loss=70.0,
        eval_loss=7.0,
        tokens_per_second=300.0,
        trend=trend(run.events).losses,
        detail="50 steps",
        since=begun.time,
        checkpoints=[10],
        message="look here",
    )
    assert (summary.trend[0], len(summary.trend)) == (99.0, POINTS)
    dead = summarize(run)
    assert (dead.status, dead.remedy) == (Status.INTERRUPTED, f"qtui runs resume {run.id}")
    assert msgspec.json.decode(msgspec.json.encode(dead), type=Summary) == dead


def test_what_is_trained_again_supersedes(run: Run) -> None:
    with RunLock(run.lock), EventLog(run.events) as log:
        log.write(PhaseEvent(phase=Phase.TRAINING))
        train(log, 1, 9)
        log.write(ResumedEvent(step=4))
        log.write(PhaseEvent(phase=Phase.TRAINING))
        summary = summarize(run)
        assert (summary.step, summary.loss) == (4, 96.0)
        assert summary.trend == [99.0, 98.0, 97.0, 96.0]
        log.write(MetricsEvent(step=5, values={"loss": 1.0}))
        assert summarize(run).trend == [99.0, 98.0, 97.0, 96.0, 1.0]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (FinishedEvent(status="completed", step=3, message="done"), (Status.COMPLETED, "done", "")),
        (
            FailedEvent(error="OutOfMemory", message="too big", remedy="halve"),
            (Status.FAILED, "too big", "halve"),
        ),
    ],
)
def test_an_end_says_its_message(
    run: Run, end: FinishedEvent | FailedEvent, expected: tuple[Status, str, str]
) -> None:
    with EventLog(run.events) as log:
        log.write(PhaseEvent(phase=Phase.TRAINING))
        log.write(AlertEvent(kind="a", message="old"))
        log.write(end)
    summary = summarize(run)
    assert (summary.status, summary.message, summary.remedy) == expected


@pytest.mark.parametrize(
    ("model", "method"),
    [({}, "qlora"), ({"use_qlora": False}, "lora"), ({"full_finetuning": True}, "full")],
)
def test_the_method(tmp_path: Path, model: dict[str, object], method: str) -> None:
    assert summarize(make(tmp_path, model=model)).method == method


def test_a_long_stretch_of_training_costs_no_more_than_a_short_one(run: Run) -> None:
    with RunLock(run.lock), EventLog(run.events) as log:
        log.write(PhaseEvent(phase=Phase.TRAINING))
        train(log, 1, 20_000)
        head = run.events.read_bytes()[:200_000]
        # Were the beginning read, its damage would make the phase unknown.
        with run.events.open("r+b") as file:
            file.write(b"\0" * len(head))
        assert status(run) is Status.TRAINING
        summary = summarize(run)
    assert (summary.step, summary.status) == (20_000, Status.TRAINING)


@pytest.mark.parametrize("spec", [b"", b"\0", b'{"schema_version":99}', None])
def test_a_damaged_run_is_listed_with_what_is_wrong(run: Run, spec: bytes | None) -> None:
    (run.path / "run.json").unlink()
    if spec is not None:
        (run.path / "run.json").write_bytes(spec)
    run.events.write_bytes(b'\0\0\n{"type":"phase","seq":0,"phase":"training"}\n\xff\xfe\n{"torn')
    summary = summarize(Run(run.path))
    assert summary.status is Status.INTERRUPTED
    assert summary.message


def test_events_that_are_a_folder_do_not_break_the_list(run: Run) -> None:
    run.events.mkdir()
    assert summarize(run).message


def test_a_living_run_says_what_it_waits_for(run: Run) -> None:
    with RunLock(run.lock), EventLog(run.events) as log:
        log.write(ProgressEvent(what="rows", done=7, total=9, unit="rows"))
        begun = log.write(PhaseEvent(phase=Phase.LOADING_MODEL, detail="org/m"))
        assert summarize(run).counted is None
        count = log.write(ProgressEvent(what="download", done=2, total=5, unit="bytes"))
        summary = summarize(run)
    assert (summary.detail, summary.since, summary.counted) == ("org/m", begun.time, count)


def test_an_evaluation_far_back_is_found_behind_its_checkpoint(run: Run) -> None:
    with RunLock(run.lock), EventLog(run.events) as log:
        log.write(PhaseEvent(phase=Phase.TRAINING))
        train(log, 1, 50)
        log.write(MetricsEvent(step=50, values={"eval_loss": 7.0}))
        log.write(
            CheckpointEvent(step=50, path="checkpoints/step-50", size=1, metrics={"eval_loss": 7.0})
        )
        train(log, 51, 200)
        assert summarize(run).eval_loss == 7.0
        log.write(ResumedEvent(step=40))
        assert summarize(run).eval_loss is None

"""What goes wrong on rented machines: memory, numbers, disks. Each ends in plain words."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtui.runs.events import AlertEvent, CheckpointEvent, FailedEvent, LogEvent, ResumedEvent
from qtui.runs.log import EventReader
from qtui.runs.series import load
from qtui.runs.state import Status, status
from tests.e2e.faulty_model import make_faulty
from tests.e2e.workers import finish, losses, make_run
from tests.tools import missing, need

pytestmark = pytest.mark.train


@pytest.fixture
def faulty(micro_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return make_faulty(micro_model, tmp_path / "faulty")


def test_out_of_memory_halves_the_batch_and_keeps_the_effective_one(
    faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT_BATCH", "3")
    run = make_run(
        tmp_path,
        faulty,
        model={"trust_remote_code": True},
        training={"batch_size": 8, "gradient_accumulation_steps": 1, "max_steps": 4},
    )
    finish(run)
    events = EventReader(run.events).poll()
    assert status(run) is Status.COMPLETED, run.worker_log.read_text()[-2000:]
    restarts = [
        event.overrides
        for event in events
        if isinstance(event, ResumedEvent) and event.reason == "out_of_memory"
    ]
    assert restarts == [
        {"training.batch_size": 4, "training.gradient_accumulation_steps": 2},
        {"training.batch_size": 2, "training.gradient_accumulation_steps": 4},
    ]
    alerts = [event for event in events if isinstance(event, AlertEvent)]
    assert [alert.kind for alert in alerts] == ["out_of_memory"] * 2
    assert "a batch of 4 and 2 accumulation steps" in alerts[0].message
    assert "effective batch stays 8" in alerts[0].message
    assert [step for step, _ in losses(run)] == [1, 2, 3, 4]
    assert any(
        isinstance(event, LogEvent) and "trust_remote_code is on" in event.message
        for event in events
    )


def test_out_of_memory_ends_with_advice_when_no_batch_helps(
    faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT_BATCH", "-1")
    hopeless = make_run(
        tmp_path,
        faulty,
        model={"trust_remote_code": True},
        training={"batch_size": 3, "max_steps": 4, "gradient_checkpointing": False},
    )
    finish(hopeless)
    last = EventReader(hopeless.events).poll()[-1]
    assert isinstance(last, FailedEvent)
    assert last.error == "OutOfMemoryError"
    assert "batch of 1 after 1 smaller batches" in last.message
    assert "--set training.gradient_checkpointing=true" in last.remedy


def test_numbers_that_are_not_finite_name_the_step_and_keep_the_checkpoint(
    faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT_NAN_STEP", "6")
    run = make_run(tmp_path, faulty, model={"trust_remote_code": True})
    finish(run)
    last = EventReader(run.events).poll()[-1]
    assert isinstance(last, FailedEvent)
    assert "not finite at step 6" in last.message
    assert "resume" in last.remedy
    assert sorted(path.name for path in run.checkpoints.glob("step-*")) == [
        "step-000002",
        "step-000004",
    ]

    monkeypatch.delenv("FAULT_NAN_STEP")
    finish(run)
    assert status(run) is Status.COMPLETED
    assert [step for step, _ in losses(run)] == list(range(1, 9))


def test_code_that_comes_with_a_model_does_not_run_unless_asked_for(
    faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers has a Llama of its own: the model trains, and its author's code is not read."""
    monkeypatch.setenv("FAULT_BATCH", "-1")
    run = make_run(tmp_path, faulty, training={"max_steps": 2}, evaluation={"num_samples": 0})
    finish(run)
    assert status(run) is Status.COMPLETED, run.worker_log.read_text()[-2000:]
    assert not list((tmp_path / "modules").rglob("*faulty*.py"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, big enough for the data and a few checkpoints."""
    mount = need("mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    size = "size=3m"
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True, text=True
    )
    if made.returncode != 0:
        missing(f"no file system can be mounted here: {made.stderr.strip()}")
    yield folder
    # Lazily: the worker, whose working directory it is, may still be on its way out.
    subprocess.run([need("umount"), "-l", str(folder)], check=True)


def test_a_full_disk_leaves_the_last_checkpoint_whole_and_says_how_much_is_needed(
    micro_model: Path, small_disk: Path
) -> None:
    from qtui.stages.training import checkpoints

    run = make_run(
        small_disk,
        micro_model,
        model={"lora_rank": 64},
        training={"save_total_limit": 10, "max_steps": 12, "save_steps": 1, "eval_steps": 6},
    )
    finish(run)
    events = EventReader(run.events).poll()
    last = events[-1]
    assert isinstance(last, FailedEvent), run.worker_log.read_text()[-1500:]
    assert "the disk is full" in last.message
    assert "MB" in last.message
    newest = checkpoints.newest(run.checkpoints)
    assert newest is not None
    assert f"the checkpoint of step {newest[1].step} is whole" in last.message
    announced = [event.step for event in events if isinstance(event, CheckpointEvent)]
    assert newest[1].step == announced[-1]
    assert not (run.checkpoints / checkpoints.STAGING).exists()

    for folder in sorted(run.checkpoints.glob("step-*"))[:-1]:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    os.sync()
    launched_before = len(events)
    finish(run)
    resumed = [
        event
        for event in EventReader(run.events).poll()[launched_before:]
        if isinstance(event, ResumedEvent)
    ]
    assert resumed[0].step == newest[1].step
    assert load(run).metric("loss")[0][-1] > newest[1].step

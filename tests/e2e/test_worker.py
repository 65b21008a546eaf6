"""A worker is a real process here: killed, stopped, starved, resumed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from qtui.runs import commands, launch
from qtui.runs.events import (
    CheckpointEvent,
    FailedEvent,
    FinishedEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
    SampleEvent,
    SaveNow,
)
from qtui.runs.folder import Run
from qtui.runs.log import EventReader
from qtui.runs.series import load
from qtui.runs.state import ALLOWED, Status, status
from tests.e2e.workers import PATIENCE, finish, losses, make_run, until

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, micro_model: Path) -> Run:
    """A run that nothing disturbed."""
    os.environ["OMP_NUM_THREADS"] = "1"
    run = make_run(tmp_path_factory.mktemp("whole"), micro_model)
    finish(run)
    return run


def test_a_run_from_folder_to_adapter(whole: Run, micro_model: Path) -> None:
    assert status(whole) is Status.COMPLETED
    events = EventReader(whole.events).poll()
    assert [event.seq for event in events] == list(range(len(events)))

    phases = [Status(event.phase) for event in events if isinstance(event, PhaseEvent)]
    assert phases[0] is Status.INITIALIZING
    for before, after in zip(phases, [*phases[1:], Status.COMPLETED], strict=True):
        assert after in ALLOWED[before], f"{before} → {after}"

    assert [step for step, _ in losses(whole)] == list(range(1, 9))
    lines = [event for event in events if isinstance(event, MetricsEvent)]
    assert {
        "loss",
        "grad_norm",
        "learning_rate",
        "tokens_per_second",
        "num_tokens",
        "trained_tokens",
        "memory_host",
    } <= set(lines[0].values)
    assert load(whole).metric("eval_loss")[0] == [4, 8]
    assert {event.step for event in events if isinstance(event, SampleEvent)} == {0, 4, 8}
    assert [event.step for event in events if isinstance(event, CheckpointEvent)] == [2, 4, 6, 8]
    assert any(isinstance(event, ProgressEvent) and event.done == 8 for event in events)

    last = events[-1]
    assert isinstance(last, FinishedEvent)
    assert last.status == "completed"
    report = json.loads((whole.data / "report.json").read_text())
    trained = load(whole).metric("trained_tokens")[1]
    assert trained == sorted(trained)
    assert trained[-1] == last.summary["trained_tokens"]
    assert report["trained_tokens"] > 0


def test_the_adapter_loads_in_plain_peft_and_changes_the_model(
    whole: Run, micro_model: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from qtui.stages.training.weights import identity

    made_by = json.loads((whole.adapter / "qtui.json").read_text())
    assert made_by["run"] == whole.id
    assert made_by["base"]["weights_sha256"] == identity(micro_model)["weights_sha256"]
    base = AutoModelForCausalLM.from_pretrained(micro_model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(whole.adapter)
    ids = tokenizer("say aaa 1", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        before = base(ids).logits.clone()
        after = PeftModel.from_pretrained(base, whole.adapter)(ids).logits
    assert not torch.allclose(before, after)
    assert tokenizer.chat_template
    assert {path.suffix for path in whole.path.rglob("*")}.isdisjoint({".bin", ".pkl", ".ckpt"})


@pytest.mark.parametrize("moment", ["step 5", "checkpoint 4", "evaluating"])
def test_kill_9_loses_nothing_and_resume_is_bit_identical(
    whole: Run, micro_model: Path, tmp_path: Path, moment: str
) -> None:
    run = make_run(tmp_path, micro_model)
    pid = launch.launch(run)
    if moment == "step 5":
        until(run, lambda event: isinstance(event, MetricsEvent) and event.step == 5)
    elif moment == "checkpoint 4":
        until(run, lambda event: isinstance(event, CheckpointEvent) and event.step == 4)
    else:
        until(run, lambda event: isinstance(event, PhaseEvent) and event.phase is Phase.EVALUATING)
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    acknowledged = EventReader(run.events).poll()
    while status(run) is not Status.INTERRUPTED:
        assert time.monotonic() - killed < 5, f"still {status(run)}"
        time.sleep(0.01)

    history = finish(run)
    assert status(run) is Status.COMPLETED
    assert EventReader(run.events).poll()[: len(acknowledged)] == acknowledged
    assert losses(run) == losses(whole)
    assert history.metric("grad_norm") == load(whole).metric("grad_norm")
    assert history.metric("eval_loss") == load(whole).metric("eval_loss")
    assert history.metric("trained_tokens") == load(whole).metric("trained_tokens")
    left = sorted(path.name for path in run.checkpoints.iterdir())
    assert left == [f"step-00000{step}" for step in (2, 4, 6, 8)]


@pytest.mark.parametrize(
    "phase", [Phase.INITIALIZING, Phase.LOADING_MODEL, Phase.TRAINING, Phase.EVALUATING]
)
def test_sigterm_in_any_phase_ends_within_five_seconds(
    whole: Run, micro_model: Path, tmp_path: Path, phase: Phase
) -> None:
    run = make_run(tmp_path, micro_model)
    pid = launch.launch(run)
    until(run, lambda event: isinstance(event, PhaseEvent) and event.phase is phase)
    os.kill(pid, signal.SIGTERM)
    asked = time.monotonic()
    assert launch.wait(run, timeout=PATIENCE) is Status.STOPPED
    assert time.monotonic() - asked < 5
    saved = sorted(path.name for path in run.checkpoints.glob("step-*"))
    if phase in (Phase.TRAINING, Phase.EVALUATING):
        assert saved, "a checkpoint at the next step"
        finish(run)
        assert losses(run) == losses(whole)
        assert load(run).metric("eval_loss") == load(whole).metric("eval_loss")
    else:
        assert not saved


def test_save_now_and_stop_without_saving(micro_model: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, micro_model, training={"max_steps": 4000, "save_steps": 3000})
    launch.launch(run)
    until(run, lambda event: isinstance(event, MetricsEvent) and "loss" in event.values)
    commands.send(run, SaveNow())
    saved = until(run, lambda event: isinstance(event, CheckpointEvent))
    assert isinstance(saved, CheckpointEvent)
    step = saved.step
    until(run, lambda event: isinstance(event, MetricsEvent) and event.step >= step + 2)
    launch.request_stop(run, save=False)
    assert launch.wait(run, timeout=PATIENCE) is Status.STOPPED
    reached = load(run).metric("loss")[0][-1]
    names = [path.name for path in run.checkpoints.glob("step-*")]
    assert f"step-{reached:06d}" not in names


def test_a_worker_outlives_the_session_that_started_it(micro_model: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, micro_model)
    pid = launch.launch(run)
    assert os.getsid(pid) == pid != os.getsid(0)
    os.kill(pid, signal.SIGHUP)
    assert launch.wait(run, timeout=PATIENCE) is Status.COMPLETED


def test_a_config_that_cannot_work_fails_with_a_way_out(micro_model: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, micro_model, training={"device": "cuda:3"})
    finish(run)
    last = EventReader(run.events).poll()[-1]
    assert isinstance(last, FailedEvent)
    assert "cuda:3" in last.message
    assert last.remedy
    assert last.exit_code == 4
    assert not any(isinstance(event, ResumedEvent) for event in EventReader(run.events).poll())

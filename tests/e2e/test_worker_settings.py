"""Settings that the worker itself obeys, and secrets that it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qtui.runs import launch
from qtui.runs.events import ArtifactEvent, FinishedEvent, MetricsEvent, SampleEvent
from qtui.runs.folder import Run
from qtui.runs.log import EventReader
from qtui.runs.series import load
from qtui.runs.state import Status, status
from tests.e2e.workers import PATIENCE, finish, make_run, until

pytestmark = pytest.mark.train

CANARIES = {
    "HF_TOKEN": "hf_canaryCANARYcanaryCANARYcanaryCANAR",
    "WANDB_API_KEY": "canary0123456789abcdef0123456789abcdef01",
    "OPENAI_API_KEY": "sk-canary-0123456789abcdef",
}


def base_answer(run: Run) -> str:
    """What the base model answers in `run`, which is stopped then."""
    shown = until(run, lambda event: isinstance(event, SampleEvent) and event.step == 0)
    assert isinstance(shown, SampleEvent)
    launch.request_stop(run, save=False)
    assert launch.wait(run, timeout=PATIENCE) is Status.STOPPED
    return shown.output


def test_a_resume_shows_the_base_models_answers_when_they_never_came(
    micro_model: Path, tmp_path: Path
) -> None:
    """Asked before the checkpoint is loaded: it is the base model that answers."""
    training = {"max_steps": 4000, "save_steps": 3000, "learning_rate": 0.5}
    cut = make_run(tmp_path / "cut", micro_model, training=training, evaluation={"num_samples": 0})
    launch.launch(cut)
    until(cut, lambda event: isinstance(event, MetricsEvent) and event.step >= 3)
    launch.request_stop(cut, save=True)
    assert launch.wait(cut, timeout=PATIENCE) is Status.STOPPED
    launch.resume(cut, overrides={"evaluation.num_samples": 1})
    answer = base_answer(cut)

    fresh = make_run(tmp_path / "fresh", micro_model, training=training)
    launch.launch(fresh)
    assert base_answer(fresh) == answer


def test_samples_name_and_output_dir(
    micro_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    run = make_run(
        tmp_path,
        micro_model,
        training={
            "output_dir": str(tmp_path / "out"),
            "report_to": ["tensorboard"],
            "max_steps": 4,
            "learning_rate": 0.5,
        },
        evaluation={"num_samples": 3, "sample_max_new_tokens": 2},
    )
    finish(run)
    assert status(run) is Status.COMPLETED, run.worker_log.read_text()[-2000:]
    events = EventReader(run.events).poll()

    samples = [event for event in events if isinstance(event, SampleEvent) and event.step == 0]
    assert len(samples) == 3
    assert len({sample.prompt for sample in samples}) == 3
    assert all(sample.reference for sample in samples)

    assert any(isinstance(event, ArtifactEvent) and event.kind == "adapter" for event in events)
    for name in ("adapter_config.json", "adapter_model.safetensors", "tokenizer.json"):
        assert (tmp_path / "out" / name).read_bytes() == (run.adapter / name).read_bytes()
    assert json.loads((run.adapter / "adapter_config.json").read_text())["r"] == 4

    for file in run.path.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            for name, value in CANARIES.items():
                assert value.encode() not in content, f"{name} stands in {file}"


def test_early_stopping_and_the_best_checkpoint(micro_model: Path, tmp_path: Path) -> None:
    """A learning rate that wrecks the model: the first evaluation stays the best."""
    from safetensors.torch import load_file

    run = make_run(
        tmp_path,
        micro_model,
        training={
            "max_steps": 40,
            "eval_steps": 2,
            "save_steps": 20,
            "learning_rate": 1.0,
            "warmup_steps": 2,
            "lr_scheduler_type": "constant_with_warmup",
            "early_stopping_patience": 3,
            "load_best_model_at_end": True,
            "save_total_limit": 1,
        },
        evaluation={"num_samples": 0},
    )
    finish(run)
    assert status(run) is Status.COMPLETED, run.worker_log.read_text()[-2000:]
    steps, values = load(run).metric("eval_loss")
    best = min(range(len(steps)), key=lambda index: values[index] or 0.0)
    last = EventReader(run.events).poll()[-1]
    assert isinstance(last, FinishedEvent)
    assert steps[-1] < 40, "it was to end early"
    assert len(steps) - 1 - best == 3, "three evaluations without a better one"
    assert last.summary["best_step"] == steps[best]
    assert last.summary["best_eval_loss"] == values[best]
    folders = {path.name for path in run.checkpoints.glob("step-*")}
    assert f"step-{steps[best]:06d}" in folders
    kept = load_file(run.checkpoints / f"step-{steps[best]:06d}" / "adapter_model.safetensors")
    result = load_file(run.adapter / "adapter_model.safetensors")
    assert all((kept[name] == result[name]).all() for name in kept)


def test_full_finetuning_writes_a_model(micro_model: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    run = make_run(
        tmp_path,
        micro_model,
        model={"use_qlora": False, "full_finetuning": True},
        training={"max_steps": 3, "learning_rate": 1e-3},
        evaluation={"num_samples": 0},
    )
    finish(run)
    assert status(run) is Status.COMPLETED, run.worker_log.read_text()[-2000:]
    before = AutoModelForCausalLM.from_pretrained(micro_model, dtype=torch.float32)
    after = AutoModelForCausalLM.from_pretrained(run.path / "model", dtype=torch.float32)
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(before.state_dict()[name], after.state_dict()[name])
    assert not run.adapter.exists()


def test_lora_without_quantisation_on_a_gpu_nobody_has(micro_model: Path, tmp_path: Path) -> None:
    """`lora` trains on the CPU too, and says so; nothing is quantised behind the user's back."""
    run = make_run(
        tmp_path,
        micro_model,
        model={"use_qlora": False, "init_lora_weights": "orthogonal"},
        training={"max_steps": 3},
        evaluation={"num_samples": 0},
    )
    finish(run)
    assert status(run) is Status.COMPLETED, run.worker_log.read_text()[-2000:]
    assert (run.adapter / "adapter_model.safetensors").exists()
    said = (run.events).read_text()
    assert "no GPU in use" in said

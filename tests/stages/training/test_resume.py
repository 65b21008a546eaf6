"""A resumed run is the same computation, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtui.config.models import FineTuneConfig

pytestmark = pytest.mark.train


def config(base: Path, **training: object) -> FineTuneConfig:
    settings: dict[str, object] = {
        "batch_size": 4,
        "gradient_accumulation_steps": 2,
        "num_epochs": 2,
        "learning_rate": 1e-2,
        "eval_steps": 4,
        "save_steps": 1,
        "save_total_limit": 20,
        "max_seq_length": 64,
    }
    return FineTuneConfig.model_validate(
        {"model": {"model_name": str(base), "lora_rank": 4}, "training": settings | training}
    )


@pytest.mark.parametrize(
    ("settings", "resumed_from"),
    [
        # An epoch is 5 steps: 5 is the boundary between two, 7 is inside the second.
        pytest.param({}, (5, 7), id="end-to-end"),
        pytest.param({"padding_free": False}, (5, 7), id="grouped-by-length"),
        pytest.param({"packing": True, "batch_size": 1, "max_steps": 6}, (4,), id="packed"),
        pytest.param(
            {"optim": "adamw_8bit", "neftune_noise_alpha": 5, "max_steps": 7}, (6,), id="8-bit"
        ),
    ],
)
def test_resumed_curve_equals_the_uninterrupted_one(
    micro_model: Path,
    tmp_path: Path,
    settings: dict[str, object],
    resumed_from: tuple[int, ...],
) -> None:
    from qtui.stages.training import checkpoints
    from tests.stages.training.harness import build, curve

    whole = build(micro_model, tmp_path / "whole", config(micro_model, **settings))
    whole.train()
    expected = curve(whole)
    assert [step for step, *_ in expected] == list(range(1, whole.state.max_steps + 1))

    for step in resumed_from:
        folder = tmp_path / "whole" / "checkpoints" / checkpoints.folder_name(step)
        assert checkpoints.read(folder) is not None
        resumed = build(micro_model, tmp_path / str(step), config(micro_model, **settings))
        resumed.train(resume_from_checkpoint=str(folder))
        assert curve(resumed)[step:] == expected[step:]


def test_an_evaluation_cut_short_is_made_up_for(micro_model: Path, tmp_path: Path) -> None:
    """Stopped in the middle of an evaluation: the checkpoint is that of the step before it."""
    from qtui.runs.events import Stop
    from qtui.stages.control import StopNow
    from qtui.stages.training import checkpoints
    from tests.stages.training.harness import build, curve, evaluations

    settings = config(micro_model, max_steps=7, eval_steps=3, save_steps=20, eval_batch_size=2)
    whole = build(micro_model, tmp_path / "whole", settings)
    whole.train()

    stopped = build(micro_model, tmp_path / "stopped", settings)
    seen = []
    predict = stopped.prediction_step

    def interrupt(*arguments: object, **keywords: object) -> object:
        seen.append(stopped.state.global_step)
        if len(seen) == 3:
            stopped.control_requests.stop = Stop(save=True)
        return predict(*arguments, **keywords)

    stopped.prediction_step = interrupt  # type: ignore[method-assign]
    with pytest.raises(StopNow):
        stopped.train()
    stopped.save_stopped()
    folder, manifest = checkpoints.newest(tmp_path / "stopped" / "checkpoints") or (None, None)
    assert manifest is not None
    assert (manifest.step, manifest.evaluate) == (3, True)

    resumed = build(micro_model, tmp_path / "resumed", settings)
    resumed.args.eval_on_start = True
    resumed.train(resume_from_checkpoint=str(folder))
    assert curve(resumed)[3:] == curve(whole)[3:]
    assert evaluations(resumed) == evaluations(whole)
    assert resumed.state.best_metric == whole.state.best_metric


def test_a_resume_at_the_last_step_trains_nothing(micro_model: Path, tmp_path: Path) -> None:
    from qtui.stages.training import checkpoints
    from tests.stages.training.harness import build, curve

    settings = config(micro_model, max_steps=7)
    whole = build(micro_model, tmp_path / "whole", settings)
    whole.train()
    before = {n: p.detach().clone() for n, p in whole.model.named_parameters() if p.requires_grad}
    folder = tmp_path / "whole" / "checkpoints" / checkpoints.folder_name(7)

    resumed = build(micro_model, tmp_path / "resumed", settings)
    resumed.train(resume_from_checkpoint=str(folder))
    assert resumed.state.global_step == 7
    assert curve(resumed) == curve(whole)
    after = dict(resumed.model.named_parameters())
    assert all((after[name] == before[name]).all() for name in before)


def test_a_learning_rate_changed_for_the_resumed_run_takes_effect(
    micro_model: Path, tmp_path: Path
) -> None:
    from qtui.stages.training import checkpoints
    from tests.stages.training.harness import build

    settings = config(micro_model, max_steps=7, lr_scheduler_type="constant", warmup_steps=0)
    whole = build(micro_model, tmp_path / "whole", settings)
    whole.train()
    folder = tmp_path / "whole" / "checkpoints" / checkpoints.folder_name(4)
    lower = config(
        micro_model,
        max_steps=7,
        lr_scheduler_type="constant",
        warmup_steps=0,
        learning_rate=1e-3,
    )
    resumed = build(micro_model, tmp_path / "resumed", lower)
    resumed.train(resume_from_checkpoint=str(folder))
    rates = [line["learning_rate"] for line in resumed.state.log_history if "loss" in line]
    assert rates == [1e-2] * 4 + [1e-3] * 3

"""What a resumed run may change: read and checked as in any command, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtui.config.fields import by_key
from qtui.config.load import from_dict, load, resolve_dict
from qtui.config.problems import ConfigError
from qtui.config.resumable import RESUMABLE, effective_batch, merged, overrides

FROZEN = resolve_dict(load(None, environ={}))


def test_every_setting_that_may_change_is_a_setting() -> None:
    assert by_key().keys() >= RESUMABLE


def test_values_are_read_as_after_set_in_any_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changed = overrides(
        FROZEN,
        [
            "training.learning_rate=1e-3",
            "training.learning_rate=1e-5",
            "training.report_to=[wandb, trackio]",
            "training.max_grad_norm=1",
            "training.early_stopping_patience=none",
            "training.gradient_checkpointing=true",
            "training.output_dir=out/here",
        ],
    )
    assert changed == {
        "training.learning_rate": 1e-5,
        "training.report_to": ["wandb", "trackio"],
        "training.max_grad_norm": 1.0,
        "training.early_stopping_patience": None,
        "training.gradient_checkpointing": True,
        "training.output_dir": str(tmp_path / "out/here"),
    }
    config = from_dict(merged(FROZEN, changed))
    assert config.training.learning_rate == 1e-5
    assert config.training.report_to == ["wandb", "trackio"]
    assert FROZEN["training"]["learning_rate"] != 1e-5
    assert overrides(FROZEN, []) == {}


def test_everything_else_is_refused_with_what_may_change_and_the_way_out() -> None:
    given = [
        "training.seed=1",
        "model.lora_rank=8",
        "training.lerning_rate=1",
        "x",
        "training.batch_size=0",
    ]
    with pytest.raises(ConfigError) as error:
        overrides(FROZEN, given)
    said = [(problem.key, problem.sentence) for problem in error.value.problems]
    assert [key for key, _ in said] == [
        "training.seed", "model.lora_rank", "training.lerning_rate", "x", "training.batch_size",
    ]  # fmt: skip
    assert "cannot change in a run that has begun" in said[0][1]
    assert "did you mean learning_rate" in said[2][1]
    assert all(key in error.value.remedy for key in RESUMABLE)
    assert "start a new run" in error.value.remedy


def test_what_contradicts_the_frozen_settings_is_told_at_the_flag() -> None:
    frozen = merged(FROZEN, {"data.validation_split": 0.0, "data.validation_path": None})
    with pytest.raises(ConfigError) as error:
        overrides(frozen, ["training.load_best_model_at_end=true"])
    assert [problem.file for problem in error.value.problems] == ["--set"]
    assert "eval loss" in error.value.message


def test_settings_of_a_newer_version_are_left_to_the_worker() -> None:
    newer = merged(FROZEN, {"training.from_the_future": 1, "future.x": 2})
    assert overrides(newer, ["training.batch_size=2"]) == {"training.batch_size": 2}


@pytest.mark.parametrize(
    ("changed", "further", "sentence"),
    [
        ({}, {}, ""),
        ({"learning_rate": 1e-5}, {}, ""),
        ({"batch_size": 2}, {"gradient_accumulation_steps": 8}, "steps becomes 8, so that a step"),
        ({"batch_size": 16}, {"gradient_accumulation_steps": 1}, "still learns from 16 rows"),
        ({"gradient_accumulation_steps": 2}, {}, "from 8 rows instead of 16"),
        ({"batch_size": 2, "gradient_accumulation_steps": 8}, {}, ""),
        ({"batch_size": 3}, {}, "from 12 rows instead of 16"),
        ({"batch_size": 2, "gradient_accumulation_steps": 2}, {}, "from 4 rows instead of 16"),
        ({"batch_size": 32}, {}, "from 128 rows instead of 16"),
    ],
)
def test_another_batch_leaves_the_rows_of_a_step_or_is_warned_about(
    changed: dict[str, float], further: dict[str, int], sentence: str
) -> None:
    assert (
        FROZEN["training"]["batch_size"] * FROZEN["training"]["gradient_accumulation_steps"] == 16
    )
    given = {f"training.{name}": value for name, value in changed.items()}
    added, said = effective_batch(FROZEN, given)
    assert added == {f"training.{name}": value for name, value in further.items()}
    assert sentence in said
    assert bool(said) is bool(sentence)

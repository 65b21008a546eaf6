from __future__ import annotations

import pytest
from pydantic import ValidationError

from qtui.config.models import DataConfig, FineTuneConfig, ModelConfig, TrainingConfig


def test_a_config_cannot_be_changed() -> None:
    config = FineTuneConfig()
    with pytest.raises(ValidationError):
        config.training.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("training", "key"),
    [
        (TrainingConfig(packing=True, padding_free=False), "training.padding_free"),
        (TrainingConfig(padding_free=True, neftune_noise_alpha=5), "training.neftune_noise_alpha"),
    ],
)
def test_contradictions_about_padding(training: TrainingConfig, key: str) -> None:
    with pytest.raises(ValidationError, match=f"{key}: .*remove one of the two"):
        FineTuneConfig(training=training)


def test_contradictions_are_told_together_when_made_in_python() -> None:
    with pytest.raises(ValidationError) as caught:
        FineTuneConfig(
            model=ModelConfig(full_finetuning=True, target_modules=[]),
            data=DataConfig(validation_split=0),
            training=TrainingConfig(early_stopping_patience=1),
        )
    for key in ("full_finetuning", "target_modules", "early_stopping_patience"):
        assert key in str(caught.value)


@pytest.mark.parametrize(
    ("quantised", "full", "method"),
    [(True, False, "qlora"), (False, False, "lora"), (False, True, "full")],
)
def test_the_method(quantised: bool, full: bool, method: str) -> None:
    assert ModelConfig(use_qlora=quantised, full_finetuning=full).method == method

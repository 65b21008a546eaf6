"""Whether a run fits: an estimate that cannot be made is said and is never a no."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qtui.config.models import FineTuneConfig, ModelConfig, TrainingConfig
from qtui.system import fit, host
from qtui.system.fit import examine

LLAMA = {
    "model_type": "llama",
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "vocab_size": 4096,
}
GEMMA_3N = LLAMA | {"model_type": "gemma3n", "intermediate_size": [512] * 4}
MAMBA = {
    "model_type": "mamba",
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "intermediate_size": 512,
    "vocab_size": 4096,
}


def config_of(folder: Path, shape: dict[str, Any], **model: Any) -> FineTuneConfig:
    (folder / "config.json").write_text(json.dumps(shape))
    return FineTuneConfig(
        model=ModelConfig(model_name=str(folder), **model),
        training=TrainingConfig(device="cpu", max_seq_length=256),
    )


@pytest.mark.parametrize(
    ("shape", "word"), [(GEMMA_3N, "intermediate_size"), (MAMBA, "num_attention_heads")]
)
def test_a_shape_that_cannot_be_read_is_unknown(
    shape: dict[str, Any], word: str, tmp_path: Path
) -> None:
    found = examine(config_of(tmp_path, shape), tmp_path)
    assert (found.estimate, found.verdict, found.disk, found.too_small) == (None, None, None, [])
    assert word in found.unknown
    assert found.memory_free
    assert found.disk_free


def test_layers_that_the_estimate_does_not_know_are_unknown(tmp_path: Path) -> None:
    found = examine(config_of(tmp_path, LLAMA, target_modules=["in_proj"]), tmp_path)
    assert "in_proj" in found.unknown
    assert found.too_small == []


def test_auto_checkpointing_is_estimated_as_the_worker_will_decide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path, LLAMA)
    for free, checkpointing in ((10**15, False), (10**6, True)):
        monkeypatch.setattr(
            fit.host, "memory", lambda free=free: host.Memory(total=free, available=free)
        )
        found = examine(config, tmp_path)
        assert found.estimate is not None
        assert found.estimate.gradient_checkpointing is checkpointing
        assert bool(found.too_small) is checkpointing

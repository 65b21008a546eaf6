"""A base in 4 or 8 bits answers on the CPU as its unpacked weights say, alone and in a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from transformers import LlamaConfig, MambaConfig

from qtui import builtin
from qtui.errors import ImpossibleError
from qtui.stages.inference import loading
from qtui.stages.inference.batch import Forward, Rows
from tests.stages.inference.engines import config
from tests.stages.training.micro import SIZE, make_model

pytestmark = pytest.mark.train

PROMPTS = [[5, 6, 7, 8], list(range(20, 90)), [11]]


def load(base: Any, quantization: str) -> Any:
    path = builtin.model_path("tiny") if base == "builtin:tiny" else base
    wanted = config(base, model={"quantization": quantization, "dtype": "bfloat16"})
    return loading.load(path, wanted, loading.machine_of(wanted)).model


def logits(model: Any) -> torch.Tensor:
    """Behind three prompts, and behind four more tokens of each."""
    rows = Rows(Forward(model))
    with torch.inference_mode():
        found = [rows.read(PROMPTS, 512)]
        found += [rows.step(torch.tensor([30 + at, 40 + at, 50 + at])) for at in range(4)]
    return torch.stack(found).float()


def unpacked(base: Any) -> Any:
    """The model with the weights that NF4 stands for, as plain matrices."""
    model = load(base, "nf4")
    plain = load(base, "none")
    for name, module in model.named_modules():
        if isinstance(module, bnb.nn.Linear4bit):
            weight = dequantize_4bit(module.weight.data, module.weight.quant_state)
            plain.get_submodule(name).weight.data = weight.to(torch.bfloat16)
    return plain


def apart(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float(((found - wanted).norm(dim=-1) / wanted.norm(dim=-1)).max())


def test_repacked_4_bit_weights_answer_as_what_they_stand_for() -> None:
    model = load("builtin:tiny", "nf4")
    wanted = logits(unpacked("builtin:tiny"))
    assert apart(logits(model), wanted) < 0.05
    assert apart(logits(load("builtin:tiny", "none")), wanted) > 0.05  # NF4 does round
    packed = [
        module.weight.quant_state
        for module in model.modules()
        if isinstance(module, bnb.nn.Linear4bit)
    ]
    if bnb.functional.has_avx512bf16():
        assert all(getattr(state, "packing_format_for_cpu", False) for state in packed)


def test_layers_whose_size_cannot_be_repacked_still_answer(tmp_path: Path) -> None:
    odd = LlamaConfig(**SIZE | {"intermediate_size": 144, "hidden_size": 64})
    base = make_model(tmp_path / "odd", config=odd)
    assert apart(logits(load(base, "nf4")), logits(unpacked(base))) < 0.05


def test_8_bit_weights_answer_nearly_as_the_whole_ones() -> None:
    model = load("builtin:tiny", "int8")
    assert any(isinstance(module, bnb.nn.Linear8bitLt) for module in model.modules())
    error = apart(logits(model), logits(load("builtin:tiny", "none")))
    assert 0 < error < 0.1


def test_a_model_without_a_layer_to_quantise_is_refused(tmp_path: Path) -> None:
    shape = MambaConfig(vocab_size=288, hidden_size=32, num_hidden_layers=0, eos_token_id=1)
    base = make_model(tmp_path / "none", config=shape)
    with pytest.raises(ImpossibleError, match="not one layer"):
        load(base, "nf4")

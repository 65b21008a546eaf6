"""Models that cannot share a batch are told apart, and answer as `generate` makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    FalconH1Config,
    Gemma2Config,
    GPT2Config,
    Lfm2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    OPTConfig,
)

from qtui.stages.inference import solo, transformers_engine
from qtui.stages.inference.batch import Rows
from tests.stages.inference.engines import ask, config
from tests.stages.training.micro import SIZE, make_model

pytestmark = pytest.mark.train

GPT2 = {"vocab_size": 288, "n_positions": 512, "n_embd": 64, "n_layer": 2, "n_head": 4}
OPT = {"ffn_dim": 128, "word_embed_proj_dim": 64, "pad_token_id": 0, "eos_token_id": 1}

TOGETHER = [
    LlamaConfig(**SIZE),
    MistralConfig(**SIZE, sliding_window=8),
    Gemma2Config(**SIZE, head_dim=16, sliding_window=8),
    GPT2Config(**GPT2, eos_token_id=1, bos_token_id=1),
    OPTConfig(**{k: v for k, v in SIZE.items() if k in ("vocab_size", "hidden_size",
        "num_hidden_layers", "num_attention_heads", "max_position_embeddings")}, **OPT),
]  # fmt: skip

ALONE = [
    MambaConfig(vocab_size=288, hidden_size=64, num_hidden_layers=2, eos_token_id=1),
    Lfm2Config(**SIZE, layer_types=["conv", "full_attention"]),
    FalconH1Config(**SIZE, mamba_d_ssm=64, mamba_n_heads=4, mamba_d_head=16, mamba_d_state=16),
]


def make(config: Any) -> Any:
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_config(config).float().eval()


@pytest.mark.parametrize("shape", TOGETHER, ids=lambda shape: shape.model_type)
def test_models_of_keys_and_values_are_answered_together(shape: Any) -> None:
    said: list[str] = []
    new_rows, together = solo.choose(make(shape), said.append)
    assert together
    assert isinstance(new_rows(), Rows)
    assert said == []


@pytest.mark.parametrize("shape", ALONE, ids=lambda shape: shape.model_type)
def test_models_with_a_state_answer_one_at_a_time_as_generate_does(
    shape: Any, tmp_path: Path
) -> None:
    shape.initializer_range = 0.3
    said: list[str] = []
    base = make_model(tmp_path / "model", config=shape)
    engine = transformers_engine.load(tmp_path, config(base), say=said.append)
    try:
        assert any("one request is answered at a time" in sentence for sentence in said)
        prompts = ["tell me a", "x", "another text"]
        heard = [ask(engine, prompt, max_tokens=12) for prompt in prompts]
        loaded = engine._loaded
        for prompt, each in zip(prompts, heard, strict=True):
            each.wait()
            ids = loaded.tokenizer(prompt, return_tensors="pt")["input_ids"]
            out = loaded.model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
            )
            wanted = loaded.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
            assert each.text == wanted
    finally:
        engine.close()


def test_a_model_whose_rows_see_each_other_is_found_out() -> None:
    model = make(LlamaConfig(**SIZE))
    own = model.model.layers[0].forward

    def leaking(hidden: torch.Tensor, *arguments: Any, **keywords: Any) -> Any:
        return own(hidden + hidden.mean(dim=0, keepdim=True), *arguments, **keywords)

    model.model.layers[0].forward = leaking
    said: list[str] = []
    assert solo.choose(model, said.append)[1] is False
    assert "change its answers by" in said[0]

"""The activation count against what autograd really saves, on small models of several kinds."""

from __future__ import annotations

import weakref

import pytest

from qtui.config.models import ModelConfig
from qtui.system.activations import Step, block_bytes
from qtui.system.adapter_size import adapter_of
from qtui.system.model_config import shape_from_config

ROWS, SEQUENCE, RANK = 2, 128, 16
# Wide enough that the adapter's own small tensors do not matter beside the activations.
COMMON = {
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 512,
    "tie_word_embeddings": True,
}

pytestmark = pytest.mark.train


class Kept:
    """Holds a saved tensor for as long as autograd holds it."""

    def __init__(self, tensor):
        self.tensor = tensor


def saved_bytes(layers, family, adapter, kernel, masked, checkpointing):
    """Bytes that autograd holds after a forward pass, without the model's own tensors."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    from qtui.stages.training.batching import flattened
    from qtui.stages.training.segments import SEGMENTS, register

    register()
    config = AutoConfig.for_model(family, num_hidden_layers=layers, **COMMON)
    model = AutoModelForCausalLM.from_config(
        config, dtype=torch.bfloat16, attn_implementation=kernel
    )
    if adapter is not None:
        model = get_peft_model(
            model,
            LoraConfig(
                r=RANK,
                lora_dropout=adapter.lora_dropout,
                use_dora=adapter.use_dora,
                target_modules=adapter.target_modules,
                task_type="CAUSAL_LM",
            ),
            autocast_adapter_dtype=not adapter.use_qlora,
        )
    model.enable_input_require_grads()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: weakref.WeakSet[Kept] = weakref.WeakSet()

    def pack(tensor):
        item = Kept(tensor)
        kept.add(item)
        return item

    ids = torch.randint(0, 512, (ROWS, SEQUENCE))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if masked:
        batch["attention_mask"][0, -5:] = 0
    if kernel == SEGMENTS:
        batch = flattened(ids.tolist())
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda item: item.tensor),
        torch.autocast("cpu", torch.bfloat16),
    ):
        output = model(**batch, use_cache=False)
    storages = {item.tensor.untyped_storage().data_ptr(): item.tensor for item in kept}
    total = sum(t.untyped_storage().nbytes() for at, t in storages.items() if at not in own)
    del output
    return total


@pytest.mark.parametrize(
    ("family", "model", "kernel", "masked"),
    [
        ("llama", {"lora_dropout": 0}, "sdpa", False),
        ("llama", {"lora_dropout": 0}, "sdpa", True),
        ("llama", {"lora_dropout": 0.05}, "sdpa", True),
        ("llama", {"lora_dropout": 0}, "eager", True),
        ("llama", {"lora_dropout": 0}, "sdpa_segments", False),
        ("qwen3", {"lora_dropout": 0.05}, "sdpa_segments", False),
        ("llama", {"lora_dropout": 0, "use_dora": True}, "sdpa", False),
        ("llama", {"lora_dropout": 0, "target_modules": ["q_proj", "v_proj"]}, "sdpa", True),
        ("llama", {"lora_dropout": 0.05, "use_qlora": False}, "sdpa", True),
        ("llama", None, "sdpa", True),
        ("qwen3", {"lora_dropout": 0}, "sdpa", True),
        ("gemma3_text", {"lora_dropout": 0}, "sdpa", True),
    ],
)
def test_a_block_keeps_what_is_counted(family, model, kernel, masked):
    adapter = None if model is None else ModelConfig.model_validate({"lora_rank": RANK, **model})
    arguments = (family, adapter, kernel, masked, False)
    # The difference between depths is what two blocks keep, head and embedding aside.
    measured = (saved_bytes(4, *arguments) - saved_bytes(2, *arguments)) / 2
    shape = shape_from_config(
        {"model_type": family, "num_hidden_layers": 2, **COMMON}, name=family, source="test"
    )
    adapted = () if adapter is None else adapter_of(adapter, shape).blocks[0]
    own = 0 if adapter is None else 2 if adapter.use_qlora else 4
    step = Step(
        rows=ROWS,
        sequence=SEQUENCE,
        element=2,
        adapter_element=own,
        rank=RANK,
        dropout=adapter is not None and adapter.lora_dropout > 0,
        dora=adapter is not None and adapter.use_dora,
        attention={"eager": "eager", "sdpa_segments": "rows"}.get(kernel, "fused"),
        masked=masked,
        on_gpu=False,
    )
    counted = block_bytes(shape, adapted, step) * step.tokens
    if own == 4:
        # autocast's copies of this block's adapter, which the estimate counts with the adapter
        counted += sum(2 * RANK * (layer.in_features + layer.out_features) for layer in adapted)
    assert counted == pytest.approx(measured, rel=0.05)


def test_checkpointing_keeps_one_hidden_state_a_block():
    adapter = ModelConfig(lora_rank=RANK)
    arguments = ("llama", adapter, "sdpa", True, True)
    measured = (saved_bytes(4, *arguments) - saved_bytes(2, *arguments)) / 2
    assert measured == 2 * 256 * ROWS * SEQUENCE

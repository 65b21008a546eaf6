"""The estimate: against peaks that others measured, and the laws that it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.config.models import FineTuneConfig
from qtui.errors import InputError
from qtui.system.disk_need import disk_needed
from qtui.system.estimate import Trainer, decide_checkpointing, estimate
from qtui.system.shapes import known_models, shape_of
from qtui.system.verdict import verdict

MEASURED = Path(__file__).parents[3] / "shared/data/chat_templates/measured_vram"
GIB = 2**30


def config_of(model: dict | None = None, training: dict | None = None) -> FineTuneConfig:
    return FineTuneConfig.model_validate({"model": model or {}, "training": training or {}})


@pytest.mark.skipif(not MEASURED.exists(), reason="shared data is not here")
@pytest.mark.parametrize(
    "name",
    [
        "lora--llama-3.2-3B-rank32",
        "lora--llama-3.2-3B-rank32-dora",
        "lora--llama-3.2-3B-rank10-target-mlp",
        "full-finetuning--llama-3.2-3B-lr_0.00001",
    ],
)
def test_measured_peaks_are_inside_the_band(name):
    # estimate/peak was 0.98 (r 32), 0.98 (DoRA), 1.00 (MLP), 0.95 (full) when this was written
    record = json.loads((MEASURED / f"{name}.json").read_text())
    run, result = record["run_info"], record["train_info"]
    peft = run["peft_config"]
    model: dict = {"model_name": run["train_config"]["model_id"], "use_qlora": False}
    model |= {"attn_implementation": "sdpa"}  # padded rows, as they were measured
    if peft is None:
        model |= {"full_finetuning": True, "dtype": "bfloat16"}
    else:
        model |= {
            "lora_rank": peft["r"],
            "lora_dropout": peft["lora_dropout"],
            "target_modules": peft["target_modules"],
            "use_dora": peft["use_dora"],
        }
    training = {
        "batch_size": run["train_config"]["batch_size"],
        "max_seq_length": run["train_config"]["max_seq_length"],
        "gradient_accumulation_steps": 1,
        "optim": "adamw_torch",
        "gradient_checkpointing": run["train_config"]["use_gc"],
    }
    config = config_of(model, training)
    plain = Trainer(fused_head=False, autocast=False)
    found = estimate(config, shape_of(config.model.model_name), device="cuda", trainer=plain)
    assert found.trained_parameters == result["num_trainable_params"]
    # torch's own statistics leave the CUDA context out
    context = found.item("context")
    peak = result["accelerator_memory_max"]
    assert found.low - context.low < peak < found.high - context.high
    assert (found.likely - context.likely) / peak == pytest.approx(1, abs=0.1)


def test_published_8b_qlora_figures_are_inside_the_band():
    # torchtune: 7.4 GiB with rank 8, batch 2, checkpointing, 8-bit paged AdamW, alpaca rows (a
    # few hundred tokens); Unsloth: from 6 GB.
    shape = shape_of("meta-llama/Llama-3.1-8B-Instruct")
    config = config_of({"lora_rank": 8}, {"batch_size": 2, "max_seq_length": 512})
    found = estimate(config, shape, device="cuda", gradient_checkpointing=True)
    assert found.low < 7.4 * GIB < found.high
    small = config_of({"lora_rank": 8, "lora_dropout": 0}, {"batch_size": 1, "max_seq_length": 256})
    assert estimate(small, shape, device="cuda").low < 6.3 * GIB


def test_items_add_up_and_are_json():
    found = estimate(config_of(), shape_of("Qwen/Qwen3-8B"), device="cuda")
    assert found.likely == sum(item.likely for item in found.items)
    assert all(item.low <= item.likely <= item.high for item in found.items)
    assert json.loads(msgspec.json.encode(found))["likely"] == found.likely
    assert found.item("weights").likely == pytest.approx(
        6_946_816_000 * 4.127 / 8 + 1_243_919_360 * 2, rel=1e-3
    )


def test_double_quantisation_saves_a_third_of_a_bit():
    shape = shape_of("Qwen/Qwen3-8B")
    double = estimate(config_of(), shape, device="cuda").item("weights").likely
    single_config = config_of({"bnb_4bit_use_double_quant": False})
    single = estimate(single_config, shape, device="cuda").item("weights").likely
    assert (single - double) * 8 / shape.linear_parameters() == pytest.approx(0.373, abs=0.001)


def test_optimisers_hold_what_they_hold():
    shape = shape_of("Qwen/Qwen3-8B")

    def state(optim: str, device: str = "cuda") -> float:
        found = estimate(config_of(training={"optim": optim}), shape, device=device)
        return found.item("optimiser").likely / found.trained_parameters

    assert state("auto") == state("paged_adamw_8bit") == pytest.approx(2.03, abs=0.01)
    assert state("paged_adamw_32bit") == 8
    assert state("adamw_torch") == 4  # bf16 adapter, states of the same type
    assert state("auto", "cpu") == 4
    assert state("sgd") == 0
    assert 0 < state("adafactor") < 0.5


def test_adapter_is_counted_as_peft_counts():
    shape = shape_of("meta-llama/Llama-3.2-1B-Instruct")

    def trained(targets) -> int:
        config = config_of({"lora_rank": 8, "target_modules": targets})
        return estimate(config, shape, device="cuda").trained_parameters

    # 16 layers; rank times (in + out)
    assert trained(["q_proj"]) == 16 * 8 * (2048 + 2048)
    assert trained(["layers.3.self_attn.q_proj"]) == 8 * (2048 + 2048)
    assert trained(["self_attn.k_proj", "k_proj"]) == 16 * 8 * (2048 + 512)
    assert trained("all-linear") == trained(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    )
    with pytest.raises(InputError) as caught:
        trained(["q_porj"])
    assert "q_proj?" in caught.value.remedy
    # a name is matched at a dot only
    with pytest.raises(InputError):
        trained(["proj"])


def test_experts_are_counted_in_16_bits_and_said():
    shape = known_models()["Qwen/Qwen3-8B"]
    mixture = msgspec.structs.replace(
        shape, num_experts=8, experts_per_token=2, moe_intermediate_size=1024, moe_layers=36
    )
    found = estimate(config_of(), mixture, device="cuda")
    assert found.item("weights").likely > 2 * mixture.expert_parameters()
    assert any("experts" in note for note in found.notes)


SHAPES = st.sampled_from(
    (
        "Qwen/Qwen3-0.6B",
        "meta-llama/Llama-3.1-8B-Instruct",
        "google/gemma-2-2b-it",
        "microsoft/phi-4",
    )
)
METHODS = st.sampled_from(
    [{}, {"use_qlora": False}, {"use_qlora": False, "full_finetuning": True}, {"use_dora": True}]
)


@settings(deadline=None, max_examples=60)
@given(
    name=SHAPES,
    method=METHODS,
    batch=st.integers(1, 16),
    length=st.integers(8, 8192),
    rank=st.integers(1, 256),
    accumulation=st.integers(1, 4),
    dropout=st.sampled_from([0.0, 0.05]),
    kernel=st.sampled_from([None, "eager", "sdpa", "flash_attention_2"]),
    device=st.sampled_from(["cpu", "cuda"]),
    checkpointing=st.booleans(),
)
def test_more_of_anything_never_needs_less(
    name, method, batch, length, rank, accumulation, dropout, kernel, device, checkpointing
):
    shape = shape_of(name)

    def total(**changed) -> tuple[int, int, int]:
        values = {"batch": batch, "length": length, "rank": rank} | changed
        config = config_of(
            {
                **method,
                "lora_rank": values["rank"],
                "lora_dropout": dropout,
                "attn_implementation": kernel,
            },
            {
                "batch_size": values["batch"],
                "max_seq_length": values["length"],
                "gradient_accumulation_steps": accumulation,
            },
        )
        found = estimate(config, shape, device=device, gradient_checkpointing=checkpointing)
        assert 0 < found.low <= found.likely <= found.high
        return found.low, found.likely, found.high

    now = total()
    for more in (total(batch=batch + 1), total(length=length + 64), total(rank=rank + 8)):
        assert all(after >= before for before, after in zip(now, more, strict=True))


@settings(deadline=None, max_examples=60)
@given(
    name=SHAPES,
    method=METHODS,
    batch=st.integers(1, 16),
    length=st.integers(8, 8192),
    rank=st.integers(1, 128),
    free=st.integers(1, 100).map(lambda gigabytes: gigabytes * 10**9),
)
def test_suggestions_that_claim_to_fit_do_fit(name, method, batch, length, rank, free):
    config = config_of(
        {**method, "lora_rank": rank}, {"batch_size": batch, "max_seq_length": length}
    )
    shape = shape_of(name)
    found = estimate(config, shape, device="cuda")
    judged = verdict(found, free)
    assert (judged.result == "fits") == (found.high <= free)
    assert (judged.result == "no") == (found.likely > free)
    for suggestion in judged.suggestions:
        values = config.model_dump(mode="json")
        for key, value in suggestion.settings.items():
            section, setting = key.split(".")
            values[section][setting] = value
        changed = FineTuneConfig.model_validate(values)
        again = estimate(changed, shape, device="cuda")
        assert again.high == suggestion.high < found.high
        assert suggestion.fits == (again.high <= free)
        assert f"--set {next(iter(suggestion.settings))}=" in suggestion.flags


def test_the_sentence_says_what_to_do():
    shape = shape_of("meta-llama/Llama-3.1-8B-Instruct")
    found = estimate(config_of(), shape, device="cuda")
    assert str(verdict(found, 24 * 10**9)).startswith("fits with ")
    assert "set training.batch_size: 2" in str(verdict(found, 12 * 10**9))
    assert "no setting makes it fit" in str(verdict(found, 2 * 10**9))


def test_auto_checkpointing_is_off_only_when_all_surely_fits():
    shape = shape_of("meta-llama/Llama-3.1-8B-Instruct")
    config = config_of(training={"batch_size": 1, "max_seq_length": 512})
    without = estimate(config, shape, device="cuda", gradient_checkpointing=False)
    enough = int(without.high / 0.85) + 1
    assert decide_checkpointing(config, shape, "cuda", enough) is False
    assert decide_checkpointing(config, shape, "cuda", enough - 10**7) is True
    told = config_of(training={"gradient_checkpointing": False})
    assert decide_checkpointing(told, shape, "cuda", 0) is False


def test_disk_counts_every_checkpoint_and_the_download(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    shape = shape_of("Qwen/Qwen3-8B")
    three = disk_needed(config_of({"model_name": "Qwen/Qwen3-8B"}), shape)
    five = disk_needed(config_of({"model_name": "Qwen/Qwen3-8B"}, {"save_total_limit": 5}), shape)
    assert five.in_workspace - three.in_workspace == 2 * three.checkpoint
    download = next(item for item in three.items if item.name == "model download")
    assert download.size == 2 * shape.parameters()
    assert download.where == "hub cache"
    full = disk_needed(config_of({"use_qlora": False, "full_finetuning": True}), shape)
    assert full.checkpoint > 4 * shape.parameters()  # 16-bit weights and two 8-bit states
    assert not any(item.where == "hub cache" for item in full.items)  # builtin:tiny

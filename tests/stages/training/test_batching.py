"""Rows laid end to end give what they give alone, or are padded, or the run says why it cannot."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from qtui.config.models import FineTuneConfig
from qtui.errors import InputError
from tests.stages.training.micro import SIZE, make_model
from tests.stages.training.test_right import cosine, gradients, padded, plain_loss, wake_adapter

pytestmark = pytest.mark.train

NAMES = {
    "qwen3_next": {
        "num_hidden_layers": 4,
        "head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
    },
    "qwen3_moe": {
        "head_dim": 16,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
    },
    "gemma2": {"head_dim": 16},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
}


def architecture(name: str, **settings: Any) -> Any:
    """The config of a tiny model of another architecture."""
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[name](**SIZE | NAMES.get(name, {}) | settings)


def setting(base: Path, *, kernel: str | None = None, **training: Any) -> FineTuneConfig:
    model: dict[str, Any] = {"model_name": str(base), "lora_rank": 8, "lora_dropout": 0.0}
    return FineTuneConfig.model_validate(
        {
            "model": model | {"attn_implementation": kernel},
            "training": {
                "batch_size": 4,
                "gradient_accumulation_steps": 2,
                "max_steps": 4,
                "learning_rate": 1e-2,
                "max_seq_length": 64,
                "eval_steps": 2,
                "train_sampling_strategy": "sequential",
            }
            | training,
        }
    )


def with_model(config: FineTuneConfig, **settings: Any) -> FineTuneConfig:
    values = config.model_dump(exclude_unset=True)
    return FineTuneConfig.model_validate(values | {"model": values["model"] | settings})


# -- what the config says --------------------------------------------------------------------

OURS = "sdpa_segments"


@pytest.mark.parametrize(
    ("name", "settings", "training", "expected"),
    [
        ("llama", {}, {}, (True, OURS, "")),
        ("llama", {}, {"packing": True}, (True, OURS, "")),
        ("llama", {}, {"padding_free": False}, (False, None, "")),
        ("llama", {}, {"kernel": "flash_attention_2"}, (True, "flash_attention_2", "")),
        ("llama", {}, {"kernel": "eager"}, (False, "eager", "attn_implementation is eager")),
        ("llama", {}, {"kernel": "sdpa", "padding_free": True}, (True, "sdpa", "")),
        ("llama", {}, {"neftune_noise_alpha": 5}, (False, None, "NEFTune")),
        ("qwen3_moe", {}, {}, (True, OURS, "")),
        ("mistral", {"sliding_window": 64}, {}, (True, OURS, "")),
        ("mistral", {"sliding_window": 63}, {}, (False, None, "last 63 tokens only")),
        ("mistral", {"sliding_window": 8}, {"packing": True}, (True, None, "")),
        ("gemma2", {"sliding_window": 512}, {}, (False, None, "caps its attention scores")),
        ("gemma3_text", {"sliding_window": 8}, {}, (False, None, "last 8 tokens only")),
        ("qwen3_next", {}, {}, (False, None, "carries a state")),
        ("mamba", {}, {}, (False, None, "carries a state")),
        ("lfm2", {}, {}, (False, None, "layers of the type conv")),
        ("gpt_oss", {"sliding_window": 512}, {}, (False, None, "no sdpa attention")),
        ("falcon", {}, {}, (False, None, "no sdpa attention")),
        ("gemma3", {}, {}, (False, None, "more than a text model")),
    ],
)
def test_the_config_decides(
    tmp_path: Path,
    name: str,
    settings: dict[str, Any],
    training: dict[str, Any],
    expected: tuple[bool, str | None, str],
) -> None:
    from qtui.stages.training.batching import decide

    architecture(name, **settings).save_pretrained(tmp_path)
    decided = decide(setting(tmp_path, **training), tmp_path)
    assert (decided.padding_free, decided.attention) == expected[:2]
    assert expected[2] in decided.reason
    assert bool(decided.reason) is bool(expected[2])


@pytest.mark.parametrize(
    ("name", "settings", "asked", "reason"),
    [
        ("mistral", {"sliding_window": 8}, "padding_free", "last 8 tokens only"),
        ("qwen3_next", {}, "padding_free", "carries a state from token to token"),
        ("qwen3_next", {}, "packing", "carries a state from token to token"),
        ("lfm2", {}, "packing", "layers of the type conv"),
    ],
)
def test_what_a_model_cannot_do_is_refused_with_its_reason(
    tmp_path: Path, name: str, settings: dict[str, Any], asked: str, reason: str
) -> None:
    from qtui.stages.training.batching import decide

    architecture(name, **settings).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=rf"training\.{asked} is true.*{reason}") as caught:
        decide(setting(tmp_path, **{asked: True}), tmp_path)
    assert f"leave training.{asked} out" in str(caught.value.remedy)


def test_padding_is_hidden_from_attention_alone(tmp_path: Path) -> None:
    from qtui.stages.training.batching import decide

    for name, matters in (("llama", False), ("mistral", False), ("qwen3_next", True)):
        architecture(name).save_pretrained(tmp_path / name)
        decided = decide(setting(tmp_path / name, padding_free="auto"), tmp_path / name)
        assert decided.padding_matters is matters


def test_code_of_its_own_is_not_taken_for_transformers(tmp_path: Path) -> None:
    """The config's type says Llama; what runs is something else, if it may run."""
    from qtui.stages.training.batching import decide

    config = architecture("llama")
    config.auto_map = {"AutoModelForCausalLM": "modeling_own.OwnModel"}
    config.save_pretrained(tmp_path)
    assert decide(setting(tmp_path), tmp_path).attention == OURS
    decided = decide(with_model(setting(tmp_path), trust_remote_code=True), tmp_path)
    assert (decided.padding_free, decided.attention) == (False, None)
    assert decided.reason == "its code is not part of transformers"
    assert decided.padding_matters


# -- what the model proves -------------------------------------------------------------------


def test_a_kernel_that_mixes_rows_is_found_out(
    micro_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Auto goes back to padding and to transformers' kernel; an explicit wish is refused."""
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    from qtui.stages.training import segments
    from tests.stages.training.harness import build

    # What would happen if the borders of the rows never reached the kernel.
    monkeypatch.setattr(
        segments,
        "register",
        lambda: AttentionInterface.register(segments.SEGMENTS, sdpa_attention_forward),
    )
    try:
        trainer = build(micro_model, tmp_path / "auto", setting(micro_model))
        assert not trainer.batching.padding_free
        assert "change its answers by" in trainer.batching.reason
        assert trainer.model.config._attn_implementation == "sdpa"
        assert "attention_mask" in next(iter(trainer.get_train_dataloader()))
        for asked in ("padding_free", "packing"):
            with pytest.raises(InputError, match=f"training.{asked} is true.*change its answers"):
                build(micro_model, tmp_path / asked, setting(micro_model, **{asked: True}))
    finally:
        monkeypatch.undo()
        segments.register()


def test_a_model_that_hides_borders_from_transformers_mask_is_found_out(tmp_path: Path) -> None:
    """OPT: right with our kernel, wrong with transformers' sdpa and packed rows."""
    from tests.stages.training.harness import build

    base = make_model(
        tmp_path / "opt", config=architecture("opt", ffn_dim=128, word_embed_proj_dim=64)
    )
    assert build(base, tmp_path / "ours", setting(base, packing=True)).batching.padding_free
    with pytest.raises(InputError, match="cannot keep rows apart: rows laid end to end change"):
        build(base, tmp_path / "sdpa", setting(base, packing=True, kernel="sdpa"))


@pytest.mark.parametrize(
    ("training", "strategy"),
    [({}, "random"), ({"packing": True}, "random"), ({"padding_free": False}, "group_by_length")],
)
def test_the_order_of_rows_follows_the_padding(
    micro_model: Path, tmp_path: Path, training: dict[str, Any], strategy: str
) -> None:
    from tests.stages.training.harness import build

    config = setting(micro_model, train_sampling_strategy="auto", **training)
    assert build(micro_model, tmp_path, config).args.train_sampling_strategy == strategy


# -- what comes out --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "least"),
    [
        pytest.param({"use_qlora": False, "dtype": "float32"}, 1 - 1e-9, id="float32"),
        pytest.param({"use_qlora": False, "dtype": "bfloat16"}, 0.9995, id="bfloat16"),
        pytest.param({}, 0.9995, id="nf4"),
        pytest.param({"use_qlora": False, "full_finetuning": True}, 0.9995, id="full"),
        pytest.param({"use_dora": True}, 0.9995, id="dora"),
    ],
)
@pytest.mark.parametrize("packing", [False, True], ids=["flat", "packed"])
def test_gradients_are_those_of_the_rows_one_by_one(
    micro_model: Path, tmp_path: Path, model: dict[str, Any], least: float, packing: bool
) -> None:
    import torch

    from tests.stages.training.harness import build

    config = with_model(setting(micro_model, packing=packing), **model)
    trainer = build(micro_model, tmp_path, config)
    wake_adapter(trainer.model)
    batch = next(iter(trainer.get_train_dataloader()))
    assert "attention_mask" not in batch
    ours = gradients(trainer, batch)

    borders = batch["cu_seq_lens_q"].tolist()
    trained = int((batch["labels"] != -100).sum())
    trainer.model.zero_grad()
    for start, end in itertools.pairwise(borders):
        row = {name: batch[name][:, start:end] for name in ("input_ids", "labels")}
        row["attention_mask"] = torch.ones_like(row["input_ids"])
        count = int((row["labels"][:, 1:] != -100).sum())
        if count:
            with trainer.compute_loss_context_manager():
                (plain_loss(trainer.model, row) * count / trained).backward()
    alone = {
        name: parameter.grad.float()
        for name, parameter in trainer.model.named_parameters()
        if parameter.requires_grad
    }
    assert len(borders) > 4
    assert cosine(ours, alone) > least


@pytest.mark.parametrize(
    ("training", "model"),
    [
        pytest.param({}, {}, id="nf4"),
        pytest.param({}, {"use_qlora": False, "dtype": "float32"}, id="float32"),
        pytest.param({"loss_type": "dft"}, {}, id="dft"),
        pytest.param({}, {"name": "qwen3_moe"}, id="experts"),
    ],
)
def test_a_run_is_the_same_with_and_without_padding(
    micro_model: Path, tmp_path: Path, training: dict[str, Any], model: dict[str, Any]
) -> None:
    """Losses, gradient norms, eval losses and counts, step by step; experts with their own loss."""
    from tests.stages.training.harness import build, curve, evaluations

    base = micro_model
    if "name" in model:
        base = make_model(tmp_path / "model", config=architecture(model["name"]))
        model = {}
    runs = []
    for padding_free in (True, False):
        config = with_model(setting(base, padding_free=padding_free, **training), **model)
        trainer = build(base, tmp_path / str(padding_free), config)
        assert trainer.batching.padding_free is padding_free
        trainer.train()
        trainer.journal.settle()
        runs.append(trainer)
    flat, wide = runs
    assert flat.journal.num_tokens == wide.journal.num_tokens
    assert flat.journal.trained_tokens == wide.journal.trained_tokens
    exact = model.get("dtype") == "float32"
    assert len(curve(flat)) == 4
    for ours, theirs in zip(curve(flat), curve(wide), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5 if exact else 2e-2)
    assert len(evaluations(flat)) == 2
    for one, other in zip(evaluations(flat), evaluations(wide), strict=True):
        assert one == pytest.approx(other, rel=1e-5 if exact else 3e-3)


def test_packed_rows_are_evaluated_as_they_are_alone(micro_model: Path, tmp_path: Path) -> None:
    from tests.stages.training.harness import build

    losses = [
        build(micro_model, tmp_path / str(at), setting(micro_model, **training)).evaluate()
        for at, training in enumerate(({"packing": True}, {"padding_free": False}))
    ]
    assert losses[0]["eval_loss"] == pytest.approx(losses[1]["eval_loss"], rel=2e-3)


def test_the_mask_stays_where_padding_matters(tmp_path: Path) -> None:
    """A hybrid model is told which positions are padding."""
    import torch

    from tests.stages.training.harness import build

    base = make_model(tmp_path / "hybrid", config=architecture("lfm2"))
    trainer = build(base, tmp_path, with_model(setting(base), use_qlora=False, dtype="float32"))
    seen = []
    trainer.model.get_base_model().model.register_forward_pre_hook(
        lambda module, inputs, named: seen.append(named.get("attention_mask")), with_kwargs=True
    )
    batch = padded(trainer, 1)[0]
    with torch.no_grad():
        trainer.compute_loss(trainer.model, dict(batch))
    assert torch.equal(seen[0], batch["attention_mask"])

"""The arithmetic is right: gradients, updates and losses are those of plain PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qtui.config.models import FineTuneConfig

pytestmark = pytest.mark.train


def config(base: Path, *, padding_free: bool = True, **model: object) -> FineTuneConfig:
    return FineTuneConfig.model_validate(
        {
            "model": {"model_name": str(base), "lora_rank": 8, "lora_dropout": 0.0} | model,
            "training": {
                "batch_size": 4,
                "gradient_accumulation_steps": 1,
                "max_steps": 5,
                "learning_rate": 1e-2,
                "warmup_steps": 0,
                "lr_scheduler_type": "constant",
                "max_grad_norm": 0,
                "max_seq_length": 64,
                "train_sampling_strategy": "sequential",
                "padding_free": padding_free,
            },
        }
    )


def gradients(trainer: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """Gradient of each trained parameter for `batch`, as float32."""
    trainer.model.train()
    trainer.model.zero_grad()
    with trainer.compute_loss_context_manager():
        loss = trainer.compute_loss(trainer.model, dict(batch))
    loss.backward()
    found = {
        name: parameter.grad.float().clone()
        for name, parameter in trainer.model.named_parameters()
        if parameter.requires_grad
    }
    trainer.model.zero_grad()
    return found


def cosine(left: dict[str, Any], right: dict[str, Any]) -> float:
    """Cosine of two sets of gradients, taken as one long vector each."""
    import torch

    a = torch.cat([left[name].double().flatten() for name in sorted(left)])
    b = torch.cat([right[name].double().flatten() for name in sorted(left)])
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def wake_adapter(model: Any) -> None:
    """Give the adapter's second matrices something to say, so that all gradients are real."""
    import torch

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))


def test_evaluation_and_generation_leave_the_gradients_as_they_were(
    micro_model: Path, tmp_path: Path
) -> None:
    """bitsandbytes 0.50 repacks 4-bit weights in eval mode on CPUs with AVX512-BF16."""
    import torch

    from qtui.stages.training.models import evaluation_mode
    from tests.stages.training.harness import build

    trainer = build(micro_model, tmp_path, config(micro_model))
    wake_adapter(trainer.model)
    batch = next(iter(trainer.get_train_dataloader()))
    before = gradients(trainer, batch)

    trainer.evaluate()
    assert cosine(before, gradients(trainer, batch)) == pytest.approx(1.0, abs=1e-6)

    with evaluation_mode(trainer.model):
        trainer.model.generate(
            input_ids=torch.tensor([[5, 6, 7]]), max_new_tokens=4, do_sample=False, pad_token_id=0
        )
    after = gradients(trainer, batch)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_evaluation_mode_takes_nothing_from_the_random_state(
    micro_model: Path, tmp_path: Path
) -> None:
    import torch

    from qtui.stages.training.models import evaluation_mode
    from tests.stages.training.harness import build

    trainer = build(micro_model, tmp_path, config(micro_model))
    trainer.model.train()
    state = torch.get_rng_state()
    with evaluation_mode(trainer.model):
        torch.rand(3)
        assert not trainer.model.training
    assert torch.equal(state, torch.get_rng_state())
    assert trainer.model.training


def plain_model(trainer: Any, base: Path) -> Any:
    """The same numbers as the trainer's model, in float32, without any quantised layer."""
    import bitsandbytes as bnb
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from qtui.stages.training.arguments import lora_config

    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    quantised = dict(trainer.model.get_base_model().named_modules())
    with torch.no_grad():
        for name, module in plain.named_modules():
            if not isinstance(module, torch.nn.Linear):
                continue
            twin = quantised.get(name)
            layer = getattr(twin, "base_layer", twin)
            if isinstance(layer, bnb.nn.Linear4bit):
                weight = bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
                module.weight.copy_(weight.float())
    peft_model = get_peft_model(plain, lora_config(config(base).model))
    source = dict(trainer.model.named_parameters())
    with torch.no_grad():
        for name, parameter in peft_model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(source[name].float())
    return peft_model


def padded(trainer: Any, batches: int) -> list[dict[str, Any]]:
    """The trainer's first rows in its own batches, padded, whatever the trainer makes of them."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    collate = DataCollatorForLanguageModeling(pad_token_id=0)
    size = trainer.args.per_device_train_batch_size
    rows = [trainer.train_dataset[at] for at in range(batches * size)]
    return [collate(rows[at : at + size]) for at in range(0, len(rows), size)]


def plain_loss(model: Any, batch: dict[str, Any]) -> Any:
    """Mean cross-entropy of the trained tokens, written out."""
    import torch

    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), batch["labels"][:, 1:].flatten(), ignore_index=-100
    )


@pytest.mark.parametrize("padding_free", [True, False])
def test_nf4_gradients_are_those_of_plain_arithmetic_on_the_same_numbers(
    micro_model: Path, tmp_path: Path, padding_free: bool
) -> None:
    from tests.stages.training.harness import build

    trainer = build(micro_model, tmp_path, config(micro_model, padding_free=padding_free))
    wake_adapter(trainer.model)
    plain = plain_model(trainer, micro_model)
    batch = next(iter(trainer.get_train_dataloader()))
    assert ("attention_mask" in batch) is not padding_free
    ours = gradients(trainer, batch)

    loss = plain_loss(plain, padded(trainer, 1)[0])
    loss.backward()
    theirs = {n: p.grad.float() for n, p in plain.named_parameters() if p.requires_grad}
    assert set(ours) == set(theirs)
    # What is left is bfloat16: eight bits of mantissa.
    assert cosine(ours, theirs) > 0.999
    with trainer.compute_loss_context_manager():
        assert float(trainer.compute_loss(trainer.model, dict(batch))) == pytest.approx(
            float(loss), rel=5e-3
        )


def test_five_steps_give_the_adapter_that_plain_adamw_gives(
    micro_model: Path, tmp_path: Path
) -> None:
    import torch

    from tests.stages.training.harness import build

    trainer = build(micro_model, tmp_path, config(micro_model))
    wake_adapter(trainer.model)
    plain = plain_model(trainer, micro_model)
    start = {n: p.detach().clone() for n, p in plain.named_parameters() if p.requires_grad}

    batches = padded(trainer, 5)
    optimiser = torch.optim.AdamW(
        [p for p in plain.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0
    )
    for batch in batches:
        optimiser.zero_grad()
        plain_loss(plain, batch).backward()
        optimiser.step()
    trainer.train()

    ours = dict(trainer.model.named_parameters())
    moved = {n: ours[n].detach().float() - start[n] for n in start}
    expected = {n: p.detach() - start[n] for n, p in plain.named_parameters() if p.requires_grad}
    assert cosine(moved, expected) > 0.97
    length = sum(float(v.norm()) ** 2 for v in moved.values()) ** 0.5
    wanted = sum(float(v.norm()) ** 2 for v in expected.values()) ** 0.5
    assert length == pytest.approx(wanted, rel=0.03)


def test_eval_loss_is_the_mean_over_tokens_whatever_the_batches(
    micro_model: Path, tmp_path: Path
) -> None:
    import torch

    from tests.stages.training.harness import build

    losses = []
    for size in (1, 3, 8):
        settings = config(micro_model)
        settings = settings.model_copy(
            update={"training": settings.training.model_copy(update={"eval_batch_size": size})}
        )
        trainer = build(micro_model, tmp_path / str(size), settings)
        losses.append(trainer.evaluate()["eval_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)
    assert losses[2] == pytest.approx(losses[0], rel=2e-3)

    total, tokens = 0.0, 0
    trainer.model.eval()
    with torch.no_grad(), trainer.compute_loss_context_manager():
        for row in trainer.eval_dataset:
            batch = {
                "input_ids": torch.tensor([row["input_ids"]]),
                "attention_mask": torch.ones(1, len(row["input_ids"]), dtype=torch.long),
                "labels": torch.tensor([row["labels"]]),
            }
            count = int((batch["labels"][:, 1:] != -100).sum())
            total += float(plain_loss(trainer.model, batch)) * count
            tokens += count
    assert losses[0] == pytest.approx(total / tokens, rel=2e-3)


@pytest.mark.parametrize("poison", ["loss", "gradient"])
def test_numbers_that_are_not_finite_stop_before_the_weights(
    micro_model: Path, tmp_path: Path, poison: str
) -> None:
    import torch

    from qtui.stages.training.recovery import NonFiniteError
    from tests.stages.training.harness import build

    trainer = build(micro_model, tmp_path, config(micro_model))
    parameter = next(p for p in trainer.model.parameters() if p.requires_grad)
    seen: list[torch.Tensor] = []

    def spoil(*_: object) -> None:
        if trainer.state.global_step == 2:
            seen.append(parameter.detach().clone())

    trainer.model.register_forward_pre_hook(spoil)
    original = trainer.compute_loss

    def compute(model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
        loss = original(model, inputs, *rest, **named)
        if trainer.state.global_step != 2:
            return loss
        # An infinite slope at a finite value, or no value at all.
        return (
            loss * float("nan")
            if poison == "loss"
            else loss + (parameter - parameter.detach()).abs().sqrt().sum()
        )

    trainer.compute_loss = compute
    with pytest.raises(NonFiniteError, match=f"the {poison} is not finite at step 3"):
        trainer.train()
    assert torch.equal(parameter.detach(), seen[0])
    assert torch.isfinite(parameter).all()

"""Attention within rows: equal to each row alone, and to transformers' sdpa everywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.train


class Layer:
    """What the kernel looks at in an attention module: two query heads for one key head."""

    num_key_value_groups = 2
    is_causal = True
    training = True


def tensors(positions: int, dtype: str) -> list[Any]:
    import torch

    generator = torch.Generator().manual_seed(3)
    return [
        torch.randn(1, heads, positions, 16, generator=generator)
        .to(getattr(torch, dtype))
        .requires_grad_()
        for heads in (4, 2, 2)
    ]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("lengths", [[7], [5, 1, 9], [3] * 6, [700, 4]])
def test_rows_attend_to_themselves_forwards_and_backwards(
    dtype: str, tolerance: float, lengths: list[int]
) -> None:
    """Against softmax written out, with the mask that lets each row see only what it has read."""
    import torch

    from qtui.stages.training.segments import attend

    query, key, value = tensors(sum(lengths), dtype)
    boundaries = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    ours, none = attend(
        Layer(),  # type: ignore[arg-type]
        query,
        key,
        value,
        None,
        dropout=0.0,
        scaling=0.3,
        cu_seq_lens_q=boundaries,
        max_length_q=max(lengths),
    )
    assert none is None

    row = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    seen = (row[:, None] == row[None, :]).tril()
    wide = [tensor.detach().double().requires_grad_() for tensor in (query, key, value)]
    keys, values = (tensor.repeat_interleave(2, dim=1) for tensor in wide[1:])
    scores = (0.3 * wide[0] @ keys.transpose(2, 3)).masked_fill(~seen, float("-inf"))
    expected = (scores.softmax(-1) @ values).transpose(1, 2)

    slope = torch.randn(expected.shape, generator=torch.Generator().manual_seed(4))
    ours.backward(slope.to(ours.dtype))
    expected.backward(slope.double())
    assert ours.shape == expected.shape
    assert ours.dtype == query.dtype
    for got, wanted in [(ours, expected)] + [
        (a.grad, b.grad) for a, b in zip((query, key, value), wide, strict=True)
    ]:
        assert float((got.double() - wanted).norm() / wanted.norm()) < tolerance


def test_short_rows_are_wide_under_autocast_too() -> None:
    """Autocast turns sdpa's inputs into bfloat16: then the rows would be slow again."""
    import torch

    from qtui.stages.training import segments

    seen = []

    def kernel(module: Any, query: Any, *rest: Any, **named: Any) -> Any:
        seen.append((query.dtype, torch.is_autocast_enabled("cpu")))
        return query.transpose(1, 2), None

    query, key, value = tensors(segments.LONG + 6, "bfloat16")
    boundaries = torch.tensor([0, 5, segments.LONG + 6], dtype=torch.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "sdpa_attention_forward", kernel)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            segments.attend(Layer(), query, key, value, None, cu_seq_lens_q=boundaries)  # type: ignore[arg-type]
    assert seen == [(torch.float32, False), (torch.bfloat16, True)]


def models(base: Path) -> tuple[Any, Any]:
    """The micro model with transformers' sdpa and with ours."""
    import torch
    from transformers import AutoModelForCausalLM

    from qtui.stages.training.segments import SEGMENTS, register

    register()
    plain, ours = (
        AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.float32, attn_implementation=name
        ).eval()
        for name in ("sdpa", SEGMENTS)
    )
    # Weights as they come from the random generator look at nothing much: make them look.
    for model in (plain, ours):
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight.data *= 20
            layer.self_attn.k_proj.weight.data *= 20
    return plain, ours


def test_generation_is_that_of_sdpa_with_padding_on_the_left(micro_model: Path) -> None:
    import torch

    plain, ours = models(micro_model)
    ids = torch.tensor([[0, 0, 0, 21, 22, 23], [31, 32, 33, 34, 35, 36]])
    mask = torch.tensor([[0, 0, 0, 1, 1, 1], [1] * 6])
    for cached in (True, False):
        answers = [
            model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=12,
                do_sample=False,
                use_cache=cached,
                pad_token_id=0,
                eos_token_id=None,
                output_scores=True,
                return_dict_in_generate=True,
            )
            for model in (plain, ours)
        ]
        assert torch.equal(answers[0].sequences, answers[1].sequences)
        assert all(map(torch.equal, answers[0].scores, answers[1].scores))
    # The padding is really looked away from: alone, the row is answered the same.
    alone = ours.generate(
        input_ids=ids[:1, 3:], max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=None
    )
    assert torch.equal(alone[0, 3:], answers[1].sequences[0, 6:])


@pytest.mark.parametrize("mask", [None, [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]]])
def test_padded_batches_are_those_of_sdpa(micro_model: Path, mask: list[list[int]] | None) -> None:
    import torch

    plain, ours = models(micro_model)
    ids = torch.arange(12).reshape(2, 6) + 40
    padding = None if mask is None else torch.tensor(mask)
    with torch.no_grad():
        a, b = (model(input_ids=ids, attention_mask=padding).logits for model in (plain, ours))
    assert torch.equal(a, b)


def test_tokens_after_a_cache_see_what_came_before(micro_model: Path) -> None:
    """Several at once: neither a flattened batch nor a plain causal one."""
    import torch

    plain, ours = models(micro_model)
    ids = torch.arange(10)[None] + 40
    with torch.no_grad():
        whole = plain(input_ids=ids).logits[:, 6:]
        begun = ours(input_ids=ids[:, :6], use_cache=True).past_key_values
        rest = ours(input_ids=ids[:, 6:], past_key_values=begun, use_cache=True).logits
    assert float((rest - whole).norm() / whole.norm()) < 1e-5


def test_no_mask_over_the_whole_batch_is_ever_built(micro_model: Path) -> None:
    import torch

    from qtui.stages.training import segments
    from qtui.stages.training.batching import flattened

    _, ours = models(micro_model)
    built = []

    def counting(**arguments: Any) -> Any:
        built.append(arguments)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(segments, "sdpa_mask", counting)
        ours(**flattened([[5, 6, 7], [8, 9]]), use_cache=False)
    assert not built

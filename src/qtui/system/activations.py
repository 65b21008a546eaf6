"""Bytes that a training step holds for its backward pass, counted from what autograd saves.

The counts are those of transformers' Llama-type blocks under torch 2.13, read off with
`torch.autograd.graph.saved_tensors_hooks` on a small model and confirmed by a test
(`tests/system/test_activations.py`) for plain, dropout, DoRA, masked, eager and full runs:

- each RMSNorm keeps its input in 32 bit;
- attention keeps q, k, v, its output and a number a head and token; with a padding mask k and v
  are repeated for every query head and each block keeps its own copy of the mask's row; row by
  row the output is kept twice, and on a CPU q, k, v and output in 32 bit;
- a gated MLP keeps gate, activated gate and up;
- a layer with an adapter keeps its input, once for layers that share it, but once for *each*
  layer when there is dropout (plus the mask) or when the adapter has another type than the
  activations; and it keeps the adapter's inner activations (rank wide).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from qtui.system.model_shape import LinearLayer, ModelShape

_HEAD_TOKENS = 4096
_HEAD_VOCABULARY = 32_768
"""Tile of TRL 1.16's fused head (trl.kernels.chunked_logprob), in 32 bit."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one forward and backward pass is like.

    `element` is the size in bytes of activations; `adapter_element` of the adapter's weights (0
    when every weight is trained); `autocast` whether linear layers cast their inputs to
    `element`; `attention` the kernel (`rows`: fused, each row of a flattened batch by itself);
    `masked` whether padding is masked; `fused_head` whether logits are never built.
    """

    rows: int
    sequence: int
    element: int
    adapter_element: int
    rank: int
    dropout: bool
    dora: bool
    attention: Literal["eager", "fused", "rows"]
    masked: bool
    autocast: bool = True
    fused_head: bool = True
    on_gpu: bool = True
    quantised: bool = False

    @property
    def tokens(self) -> int:
        """Positions in a batch, padding included."""
        return self.rows * self.sequence


def block_bytes(shape: ModelShape, adapted: Sequence[LinearLayer], step: Step) -> int:
    """Bytes that one block keeps a token; `adapted` are its layers that carry an adapter."""
    e = step.element
    h = shape.hidden_size
    kept = shape.norms_per_layer * 4 * h
    if shape.qk_norm:
        kept += 4 * (shape.query_size + shape.kv_size)
    kept += _attention_bytes(shape, step) + _mlp_bytes(shape, step)
    if step.adapter_element == 0:
        return kept + e * h * shape.norms_per_layer + e * (2 * h + shape.intermediate_size)
    return kept + _adapter_inputs(shape, adapted, step)


def _attention_bytes(shape: ModelShape, step: Step) -> int:
    e, q, kv = step.element, shape.query_size, shape.kv_size
    if step.attention == "eager":
        return 4 * e * q + shape.num_heads * step.sequence * (4 + e)
    statistics = 4 * shape.num_heads
    if step.attention == "rows":
        # The rows' outputs are put together in a copy; a CPU attends to short rows in 32 bit.
        return (e if step.on_gpu else 4) * (2 * q + 2 * kv) + e * q + statistics
    if step.masked:
        return 4 * e * q + statistics + e * step.sequence
    return e * (2 * q + 2 * kv) + statistics


def _mlp_bytes(shape: ModelShape, step: Step) -> int:
    if shape.moe_layers:
        expert = 4 * shape.moe_intermediate_size + 2 * shape.hidden_size
        return step.element * shape.experts_per_token * expert
    return step.element * shape.intermediate_size * (3 if shape.gated_mlp else 2)


def _adapter_inputs(shape: ModelShape, adapted: Sequence[LinearLayer], step: Step) -> int:
    e = step.element
    same = step.adapter_element == e
    inner = e if same or step.autocast else step.adapter_element
    kept = sum(inner * step.rank for _ in adapted)
    if step.dora:
        kept += sum(layer.out_features * (e + (e if same else 4)) for layer in adapted)
    if step.dropout or not same:
        mask = (1 if step.on_gpu else (e if same else 4)) if step.dropout else 0
        return kept + sum(layer.in_features * (inner + mask) for layer in adapted)
    # One copy an input: q, k and v share theirs, gate and up too; attention's output is kept.
    inputs = {
        (layer.name.split(".")[0], layer.in_features)
        for layer in adapted
        if not layer.name.endswith("o_proj")
    }
    return kept + sum(e * width for _, width in inputs)


def head_bytes(shape: ModelShape, step: Step, *, training_head: bool) -> int:
    """Bytes that the head and the loss need at the moment the backward pass begins.

    Without a fused head: logits in 16 bit, in 32 bit and their log-softmax (10 bytes a logit),
    as `transformers`' own loss does, and the head's gradient where the head is trained.
    """
    if not step.fused_head:
        head = step.element * shape.vocab_size * shape.hidden_size if training_head else 0
        return 10 * step.tokens * shape.vocab_size + head
    tile = 4 * min(step.tokens, _HEAD_TOKENS) * min(shape.vocab_size, _HEAD_VOCABULARY)
    # Triton folds a tile in place; without it torch holds seven of its size and a 32-bit head.
    copies = 1 if step.on_gpu else 7
    unpacked = 0 if step.on_gpu else 4 * min(shape.vocab_size, _HEAD_VOCABULARY) * shape.hidden_size
    gradient = 4 * shape.vocab_size * shape.hidden_size if training_head else 0
    hidden = (4 + 2 * step.element) * step.tokens * shape.hidden_size
    return copies * tile + unpacked + hidden + gradient


def backward_bytes(shape: ModelShape, step: Step) -> int:
    """Bytes of the gradients that flow through one block, and of a weight that is unpacked.

    DoRA also builds each layer's update in full to take its norm (peft 0.21, `lora/dora.py`).
    """
    e = step.element
    inner = shape.intermediate_size
    if shape.moe_layers:
        inner = shape.moe_intermediate_size * shape.experts_per_token
    flowing = step.tokens * e * (3 * inner + 4 * shape.hidden_size)
    if step.attention == "eager":
        flowing += step.tokens * shape.num_heads * step.sequence * (4 + e)
    largest = max(layer.weights for layer in shape.linear_layers())
    widest = max(layer.in_features for layer in shape.linear_layers())
    unpacked = e * largest if step.quantised else 0
    if step.dora:
        unpacked += max(step.adapter_element, e) * (2 * largest + widest**2)
    return flowing + unpacked

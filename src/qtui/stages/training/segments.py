"""Attention within each row of a flattened batch, on any kernel that torch has.

A batch without padding is one long row. transformers sees where its rows begin, and hands
`scaled_dot_product_attention` a dense mask over all of it: time and memory grow with the square
of the batch. Here each row is attended to by itself, so that they grow with the rows. The result
is that of transformers' own `sdpa`, which does the work, row by row; so it is for everything
else, such as padded batches, generation and decoding with a cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, causal_mask_function, sdpa_mask

SEGMENTS = "sdpa_segments"
"""Name of the kernel. It holds `sdpa`, so that transformers refuses it where it refuses that."""

BOUNDARIES = "cu_seq_lens_q"
"""Where a flattened batch's rows begin and end, as TRL's collator gives it: (rows + 1,)."""

LONG = 512
"""Longest row that a CPU attends to in float32: up to some hundred tokens the backward pass of
torch 2.13's kernel takes twice as long in bfloat16. Above, it takes less, and memory counts."""


def register() -> None:
    """Make the kernel known to transformers under `SEGMENTS`."""
    AttentionInterface.register(SEGMENTS, attend)
    AttentionMaskInterface.register(SEGMENTS, mask)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **arguments: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of each query to the keys of its own row.

    Args:
        query: (batch, heads, positions, head size); `key` and `value` may have fewer heads.
        arguments: as transformers gives them to a kernel. With `cu_seq_lens_q` the batch is one
            flattened row.

    Returns:
        (batch, positions, heads, head size), and no weights.
    """
    boundaries = arguments.get(BOUNDARIES)
    if boundaries is None or attention_mask is not None:
        whole: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **arguments
        )
        return whole
    lengths = row_lengths(boundaries)
    rows = zip(
        query.split(lengths, dim=2),
        key.split(lengths, dim=2),
        value.split(lengths, dim=2),
        strict=True,
    )
    return torch.cat([_attend_to_row(module, *row, **arguments) for row in rows], dim=1), None


def _attend_to_row(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    **arguments: Any,
) -> torch.Tensor:
    """Causal attention of one row, (1, positions, heads, head size)."""
    narrow = query.device.type == "cpu" and query.dtype is torch.bfloat16
    if not narrow or query.shape[2] > LONG:
        attended: torch.Tensor = sdpa_attention_forward(
            module, query, key, value, None, **arguments
        )[0]
        return attended
    with torch.autocast("cpu", enabled=False):  # it would narrow them again
        attended = sdpa_attention_forward(
            module, query.float(), key.float(), value.float(), None, **arguments
        )[0]
    return attended.to(torch.bfloat16)


@lru_cache(maxsize=2)
def row_lengths(boundaries: torch.Tensor) -> list[int]:
    """Lengths of the rows between `boundaries`.

    Every layer asks with the same tensor: on a GPU it is waited for once a batch, not once a layer.
    """
    lengths: list[int] = boundaries.diff().tolist()
    return lengths


def mask(
    *,
    q_length: int,
    kv_length: int,
    mask_function: Callable[..., Any] = causal_mask_function,
    attention_mask: torch.Tensor | None = None,
    allow_is_causal_skip: bool = True,
    use_vmap: bool = False,
    **arguments: Any,
) -> torch.Tensor | None:
    """No mask for a flattened batch; else what transformers makes for `sdpa`.

    A flattened batch is what comes without padding, not from a cache, and yet may not be taken
    for one causal row; a mask made to a model's own wish (`use_vmap`) is something else.
    """
    if (
        attention_mask is None
        and q_length == kv_length
        and not allow_is_causal_skip
        and not use_vmap
    ):
        return None
    made: torch.Tensor | None = sdpa_mask(
        q_length=q_length,
        kv_length=kv_length,
        mask_function=mask_function,
        attention_mask=attention_mask,
        allow_is_causal_skip=allow_is_causal_skip,
        use_vmap=use_vmap,
        **arguments,
    )
    return made

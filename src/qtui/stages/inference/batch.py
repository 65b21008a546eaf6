"""Rows that are answered together: read, stepped, joined by others and left.

Promises: what a row gets to see is its own tokens and nothing else, whatever is beside it, before
or after it; a step costs what the model costs, plus one row of columns in each layer's buffer.
A batch of one row, or of rows of one length, has no padding and is computed without any mask.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from qtui.stages.inference.kv_cache import RowCache


class Forward:
    """A causal model as a function of tokens, mask, positions and cache.

    Models that take no positions work them out from the mask, so they always get one.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device: torch.device = model.device
        takes = inspect.signature(model.forward).parameters
        self.takes_positions = "position_ids" in takes
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}

    def __call__(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor | None,
        positions: torch.Tensor,
        cache: Any,
    ) -> torch.Tensor:
        """Logits of the last column, (rows, vocabulary).

        Args:
            ids: (rows, columns).
            mask: (rows, columns in the cache and these); none where there is no padding.
            positions: (rows, columns).
        """
        arguments: dict[str, Any] = dict(self._last_only)
        if self.takes_positions:
            arguments["position_ids"] = positions
        logits: torch.Tensor = self.model(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            **arguments,
        ).logits
        return logits[:, -1]


class Rows:
    """Rows in one cache. `lengths` are their tokens; all end in the last of `columns`."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._cache = RowCache()
        self.lengths: list[int] = []
        self.columns = 0
        self._mask: torch.Tensor | None = None
        self._positions: torch.Tensor = torch.empty((0, 1))

    def __len__(self) -> int:
        return len(self.lengths)

    def read(self, prompts: Sequence[Sequence[int]], piece: int) -> torch.Tensor:
        """Fill empty rows with prompts; returns the logits behind each, (rows, vocabulary).

        Args:
            piece: columns that are computed at once, so that a long prompt has a bounded peak.
        """
        for logits in self.reading(prompts, piece):
            last = logits
        return last

    def reading(self, prompts: Sequence[Sequence[int]], piece: int) -> Any:
        """`read`, piece by piece: yields the logits behind each piece."""
        self.lengths = [len(prompt) for prompt in prompts]
        longest = max(self.lengths)
        device = self._forward.device
        pads = [longest - length for length in self.lengths]
        ids = torch.tensor(
            [[0] * pad + list(prompt) for pad, prompt in zip(pads, prompts, strict=True)],
            device=device,
        )
        offsets = torch.tensor(pads, device=device)[:, None]
        positions = (torch.arange(longest, device=device)[None] - offsets).clamp(min=0)
        self.columns = longest
        self._new_mask()
        for start in range(0, longest, piece):
            end = min(start + piece, longest)
            mask = None if self._mask is None else self._mask[:, :end]
            yield self._forward(ids[:, start:end], mask, positions[:, start:end], self._cache)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Go on by one token each, (rows,); returns the logits behind it, (rows, vocabulary).

        When that fails the rows are as they were.
        """
        end = self.columns + 1
        if self._mask is not None and self._mask.shape[1] < end:
            self._new_mask()
        mask = None if self._mask is None else self._mask[:, :end]
        try:
            logits = self._forward(tokens[:, None], mask, self._positions, self._cache)
        except Exception:
            self._cache.back_to(self.columns)
            raise
        self.columns = end
        self._positions += 1
        self.lengths = [length + 1 for length in self.lengths]
        return logits

    def keep(self, rows: Sequence[int]) -> None:
        """Let the others go."""
        lengths = [self.lengths[row] for row in rows]
        trim = self.columns - max(lengths, default=0)
        if lengths:
            self._cache.keep(rows, trim)
        else:
            self._cache = RowCache()
        self.lengths = lengths
        self.columns -= trim
        self._new_mask()

    def join(self, other: Rows) -> None:
        """Take in the rows of `other`, below the own ones; it is not to be used any more.

        When that fails the rows are as they were.
        """
        if not self.lengths:
            self._cache, self.columns = other._cache, other.columns
            self.lengths = other.lengths
        else:
            columns = max(self.columns, other.columns)
            lengths = self.lengths + other.lengths
            self._cache.join(other._cache, [columns - length for length in lengths])
            self.columns, self.lengths = columns, lengths
        self._new_mask()

    def _new_mask(self) -> None:
        """Mask and positions for the rows as they are; the mask has columns to spare."""
        device = self._forward.device
        lengths = torch.tensor(self.lengths, device=device)
        self._positions = lengths[:, None]
        padded = any(length != self.columns for length in self.lengths)
        if not padded and self._forward.takes_positions:
            self._mask = None
            return
        room = self.columns + max(64, self.columns // 2)
        first = self.columns - lengths
        self._mask = torch.arange(room, device=device)[None] >= first[:, None]

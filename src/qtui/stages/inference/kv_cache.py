"""The keys and values of all rows that are being answered, in buffers that grow by doubling.

transformers' own cache makes a new tensor of all that it holds for every token. Here a token is
written into its place, and rows come and go without the others noticing more than a copy.

Rows are aligned on the right: the newest token of each is in the last column, and what is before
a row's first one is padding, zero and hidden by the mask. All layers keep everything, so sliding
windows are a matter of the mask alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

STEP = 64
"""Columns by which a buffer grows at least."""

_PLAIN = (DynamicLayer, DynamicSlidingWindowLayer)


class Layer(DynamicLayer):
    """One layer: `keys` and `values` are views, (rows, heads, columns, size), of larger buffers."""

    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.columns = 0
        self._buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add columns; returns all keys and values."""
        if self._buffers is None:
            # What a first call brings is used as it is: a prefill is attended to only once.
            self.dtype, self.device = key_states.dtype, key_states.device
            self.is_initialized = True
            self._hold(key_states, value_states, key_states.shape[2])
        else:
            start = self.columns
            end = start + key_states.shape[2]
            keys, values = self._room(end)
            keys[:, :, start:end] = key_states
            values[:, :, start:end] = value_states
            self._hold(keys, values, end)
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values

    def _hold(self, keys: torch.Tensor, values: torch.Tensor, columns: int) -> None:
        self._buffers = keys, values
        self.columns = columns
        self.keys, self.values = keys[:, :, :columns], values[:, :, :columns]

    def _room(self, wanted: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The buffers, with `wanted` columns or more."""
        assert self._buffers is not None
        if wanted <= self._buffers[0].shape[2]:
            return self._buffers
        capacity = max(wanted + STEP, wanted + wanted // 2)
        larger = []
        for old in self._buffers:
            rows, heads, _, size = old.shape
            new = old.new_empty((rows, heads, capacity, size))
            new[:, :, : self.columns] = old[:, :, : self.columns]
            larger.append(new)
        return larger[0], larger[1]

    def keep(self, rows: torch.Tensor, trim: int) -> None:
        """Keep only `rows` (indices), without their first `trim` columns."""
        assert self._buffers is not None
        columns = self.columns - trim
        kept = []
        for old in self._buffers:
            size = (len(rows), old.shape[1], columns + STEP, old.shape[3])
            new = old.new_empty(size)
            new[:, :, :columns] = old[:, :, trim : self.columns].index_select(0, rows)
            kept.append(new)
        self._hold(kept[0], kept[1], columns)

    def back_to(self, rows: int, columns: int) -> None:
        """Be what it was: the first `rows`, and of their columns the last but those added behind.

        Takes no memory: what is kept is a view.
        """
        assert self._buffers is not None
        first = max(self.columns - columns, 0) if rows < len(self._buffers[0]) else 0
        old = [buffer[:rows, :, first:] for buffer in self._buffers]
        self._hold(old[0], old[1], columns)

    def join(self, other: Layer, pads: Sequence[int]) -> None:
        """Take in the rows of `other` below the own ones.

        Args:
            pads: columns of padding of each of all rows once they are together.
        """
        assert self._buffers is not None
        assert other._buffers is not None
        columns = max(self.columns, other.columns)
        joined = []
        for mine, theirs in zip(self._buffers, other._buffers, strict=True):
            rows = len(mine) + len(theirs)
            new = mine.new_empty((rows, mine.shape[1], columns + STEP, mine.shape[3]))
            for at, (part, width) in (
                (0, (mine, self.columns)),
                (len(mine), (theirs, other.columns)),
            ):
                new[at : at + len(part), :, columns - width : columns] = part[:, :, :width]
            for row, pad in enumerate(pads):
                # Hidden by the mask, yet zero times what was never written may be no number.
                new[row, :, :pad] = 0
            joined.append(new)
        self._hold(joined[0], joined[1], columns)


class RowCache(DynamicCache):
    """The layers of one batch of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_class_to_replicate = Layer

    def keep(self, rows: Sequence[int], trim: int) -> None:
        """Keep only `rows`, without their first `trim` columns."""
        held = [layer for layer in self.layers if layer.is_initialized]
        if held:
            indices = torch.tensor(rows, device=held[0].device)
            for layer in held:
                layer.keep(indices, trim)

    def join(self, other: RowCache, pads: Sequence[int]) -> None:
        """Take in the rows of `other`; see `Layer.join`. When that fails, nothing has changed."""
        before = [(layer, layer.columns) for layer in self.layers if layer.is_initialized]
        rows = len(pads) - other.rows
        try:
            for mine, theirs in zip(self.layers, other.layers, strict=True):
                if mine.is_initialized:
                    mine.join(theirs, pads)
        except Exception:
            for layer, columns in before:
                layer.back_to(rows, columns)
            raise

    def back_to(self, columns: int) -> None:
        """Forget columns that only some of the layers have got."""
        for layer in self.layers:
            if layer.is_initialized:
                layer.back_to(self.rows, columns)

    @property
    def rows(self) -> int:
        """Rows held."""
        held = (len(layer.keys) for layer in self.layers if layer.is_initialized)
        return next(held, 0)


def is_plain(config: Any) -> bool:
    """Whether a model of this config keeps keys and values of each token and nothing else."""
    kinds = {type(layer) for layer in DynamicCache(config=config).layers}
    return all(kind in _PLAIN for kind in kinds)

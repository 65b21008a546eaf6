"""How rows of different length share the trainer's batches, and how much of those is padding.

Only lengths are needed for that. `packed` puts rows together exactly as TRL's best-fit-decreasing
does it (a test holds one against the other), so that what is said before training is what happens.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Lengths = npt.NDArray[np.int64]

BLOCK = 1000
"""Rows that TRL packs among each other: a batch of `Dataset.map`."""
_SAMPLED_BLOCKS = 200
_MEGABATCH = 50


def packed(lengths: Sequence[int] | Lengths, max_length: int) -> Iterator[list[int]]:
    """Yield the rows of each packed sequence, in the order in which they stand in it.

    Best fit decreasing within each `BLOCK` of rows (Ding et al., "Fewer Truncations Improve
    Language Modeling", 2024), as in `trl.pack_dataset`; `lengths` are at most `max_length`.
    """
    values = np.asarray(lengths, dtype=np.int64)
    for first in range(0, len(values), BLOCK):
        for rows in _best_fit(values[first : first + BLOCK], max_length):
            yield [first + row for row in rows]


def _best_fit(lengths: Lengths, max_length: int) -> list[list[int]]:
    bins: list[list[int]] = []
    with_space: defaultdict[int, deque[list[int]]] = defaultdict(deque)
    spaces: list[int] = []  # those that some sequence has left, in order
    for row in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[row])
        if length == 0:
            continue
        at = bisect_left(spaces, length)
        if at < len(spaces):
            space = spaces[at]
            chosen = with_space[space].popleft()
            if not with_space[space]:
                del spaces[at]
        else:
            space, chosen = max_length, []
            bins.append(chosen)
        chosen.append(row)
        left = space - length
        if left > 0:
            if not with_space[left]:
                insort(spaces, left)
            with_space[left].append(chosen)
    return bins


def efficiency(
    lengths: Sequence[int] | Lengths,
    *,
    packing: bool,
    padding_free: bool,
    grouped: bool,
    batch_size: int,
    accumulation: int,
    max_length: int,
    seed: int,
) -> float:
    """The share of positions that hold a token, from 0 to 1; 1 where there are no rows.

    With `packing` of those in sequences of `max_length`; where rows are laid end to end
    (`padding_free`) nothing is padded. Padded batches of `batch_size` rows are as wide as their
    longest; `grouped`: rows of like length together, as the trainer's sampler does it for
    `batch_size` × `accumulation` rows. Of very many rows, blocks spread over all are looked at.
    """
    values = _sampled(np.asarray(lengths, dtype=np.int64))
    if not len(values):
        return 1.0
    if packing:
        sequences = sum(1 for _ in packed(values, max_length))
        return float(values.sum() / max(sequences * max_length, 1))
    if padding_free:
        return 1.0
    order = np.random.default_rng(seed % 2**63).permutation(len(values))
    if grouped:
        order = _grouped(order, values, batch_size * accumulation)
    shuffled = values[order]
    starts = np.arange(0, len(shuffled), batch_size)
    widths = np.maximum.reduceat(shuffled, starts)
    rows = np.diff(np.append(starts, len(shuffled)))
    return float(shuffled.sum() / max(int((widths * rows).sum()), 1))


def _sampled(lengths: Lengths) -> Lengths:
    blocks = -(-len(lengths) // BLOCK)
    if blocks <= _SAMPLED_BLOCKS:
        return lengths
    chosen = np.linspace(0, blocks - 1, _SAMPLED_BLOCKS).astype(np.int64)
    return np.concatenate([lengths[at * BLOCK : (at + 1) * BLOCK] for at in chosen])


def _grouped(order: Lengths, lengths: Lengths, effective: int) -> Lengths:
    """Sorted by length within stretches of random rows, as in transformers' sampler."""
    stretch = min(max(len(order) // (effective * 4), 1), _MEGABATCH) * effective
    parts = [order[at : at + stretch] for at in range(0, len(order), stretch)]
    return np.concatenate([part[np.argsort(-lengths[part], kind="stable")] for part in parts])

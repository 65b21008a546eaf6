"""Rows of like length together: every row once, the same at each start, the longest first."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.train

LENGTHS = st.lists(st.integers(1, 900), min_size=1, max_size=400)


def epoch(lengths: list[int], batch: int, seed: int, number: int) -> list[int]:
    """Indices of the rows, in the order of an epoch."""
    from qtui.stages.training.trainer import LengthGroupedEpochs

    sampler = LengthGroupedEpochs(batch, lengths, seed)
    sampler.set_epoch(number)
    return list(sampler)


@settings(deadline=None, max_examples=60)
@given(LENGTHS, st.integers(1, 8), st.integers(0, 2**31), st.integers(0, 5))
def test_every_row_once_and_the_longest_first(
    lengths: list[int], batch: int, seed: int, number: int
) -> None:
    import torch

    order = epoch(lengths, batch, seed, number)
    assert sorted(order) == list(range(len(lengths)))
    assert max(lengths) in [lengths[row] for row in order[:batch]]
    torch.rand(3)  # whatever else was drawn in between
    assert epoch(lengths, batch, seed, number) == order


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31))
def test_seed_and_epoch_each_change_the_order(seed: int) -> None:
    lengths = [1 + row * 37 % 200 for row in range(300)]
    assert epoch(lengths, 4, seed, 0) != epoch(lengths, 4, seed, 1)
    assert epoch(lengths, 4, seed, 0) != epoch(lengths, 4, seed + 1, 0)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31))
def test_rows_of_a_batch_are_of_like_length_but_batches_are_not_sorted(seed: int) -> None:
    lengths = [1 + row * 37 % 200 for row in range(400)]
    order = epoch(lengths, 4, seed, 0)
    batches = [[lengths[row] for row in order[at : at + 4]] for at in range(0, 400, 4)]
    # By chance four of these rows lie about 120 apart.
    assert sum(max(rows) - min(rows) for rows in batches) / len(batches) < 20
    longest = [max(rows) for rows in batches]
    falls = sum(one > other for one, other in itertools.pairwise(longest))
    assert 25 < falls < 75  # sorted from long to short it would be 98

"""Rows are packed as TRL packs them, and the share of padding is that of the real batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.stages.data.encoding import packing
from qtui.stages.data.encoding.packing import efficiency, packed

LENGTHS = st.lists(st.integers(1, 60), max_size=80)


@settings(deadline=None)
@given(LENGTHS)
def test_every_row_is_packed_once_and_fits(lengths: list[int]) -> None:
    bins = list(packed(lengths, 60))
    assert sorted(row for rows in bins for row in rows) == list(range(len(lengths)))
    assert all(sum(lengths[row] for row in rows) <= 60 for rows in bins)
    # No two sequences would fit into one but for the last rows of a block.
    fills = sorted(sum(lengths[row] for row in rows) for rows in bins)
    assert len(fills) < 2 or fills[0] + fills[1] > 60


@pytest.mark.train
@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(40, 64))
def test_packed_sequences_are_those_of_trl(lengths: list[int], max_length: int) -> None:
    import pyarrow
    from trl.data_utils import _pack_bfd

    rows = pyarrow.table({"input_ids": [[row] * length for row, length in enumerate(lengths)]})
    theirs = _pack_bfd(rows, max_length).column("input_ids").to_pylist()
    ours = packed(lengths, max_length)
    assert [[row for row in rows for _ in range(lengths[row])] for rows in ours] == theirs


@pytest.mark.train
def test_a_block_is_what_trl_packs_at_once() -> None:
    from datasets import Dataset
    from trl import pack_dataset

    lengths = [1 + row * 37 % 90 for row in range(packing.BLOCK + 300)]
    data = Dataset.from_dict({"input_ids": [[row] * n for row, n in enumerate(lengths)]})
    theirs = pack_dataset(data, 100)["input_ids"]
    ours = list(packed(lengths, 100))
    assert [list(dict.fromkeys(ids)) for ids in theirs] == ours
    share = efficiency(
        lengths,
        packing=True,
        padding_free=True,
        grouped=False,
        batch_size=1,
        accumulation=1,
        max_length=100,
        seed=0,
    )
    assert share == pytest.approx(sum(lengths) / (100 * len(ours)))


def padded(lengths: list[int], *, grouped: bool = False, batch: int = 4) -> float:
    return efficiency(
        lengths,
        packing=False,
        padding_free=False,
        grouped=grouped,
        batch_size=batch,
        accumulation=2,
        max_length=1000,
        seed=1,
    )


@settings(deadline=None)
@given(LENGTHS.filter(bool), st.integers(1, 9), st.booleans())
def test_padding_is_a_share(lengths: list[int], batch: int, grouped: bool) -> None:
    share = padded(lengths, grouped=grouped, batch=batch)
    assert np.mean(lengths) / max(lengths) - 1e-9 <= share <= 1
    if batch == 1 or len(set(lengths)) == 1:
        assert share == 1


@pytest.mark.train
def test_padding_is_that_of_the_batches_that_the_sampler_makes() -> None:
    from qtui.stages.training.trainer import LengthGroupedEpochs

    lengths = [int(n) for n in np.random.default_rng(0).lognormal(4, 0.8, 6000).astype(int) + 1]
    order = list(LengthGroupedEpochs(8, lengths, 5))
    batches = [[lengths[row] for row in order[at : at + 4]] for at in range(0, len(order), 4)]
    real = sum(lengths) / sum(max(rows) * len(rows) for rows in batches)
    assert padded(lengths, grouped=True) == pytest.approx(real, abs=0.02)
    shuffled = np.random.default_rng(9).permutation(lengths)
    widths = sum(4 * max(shuffled[at : at + 4]) for at in range(0, 6000, 4))
    assert padded(lengths) == pytest.approx(sum(lengths) / widths, abs=0.02)
    assert padded(lengths) < padded(lengths, grouped=True)


def test_laid_end_to_end_nothing_is_padded_and_nothing_is_nothing() -> None:
    settings_of = {"grouped": False, "batch_size": 4, "accumulation": 1, "max_length": 9, "seed": 0}
    assert efficiency([1, 5, 9], packing=False, padding_free=True, **settings_of) == 1  # type: ignore[arg-type]
    assert efficiency([], packing=True, padding_free=True, **settings_of) == 1  # type: ignore[arg-type]


def test_of_very_many_rows_some_blocks_are_enough() -> None:
    lengths = np.random.default_rng(1).lognormal(4, 0.8, 600_000).astype(np.int64) + 1
    some = packing._sampled(lengths)
    assert len(some) <= packing._SAMPLED_BLOCKS * packing.BLOCK
    assert some.mean() == pytest.approx(lengths.mean(), rel=0.02)

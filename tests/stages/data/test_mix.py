"""Mixing takes rows and invents none: caps and proportions hold, seeds repeat, order is nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.stages.data.relating.mix import Mixture, choose
from tests.stages.data.test_split import keys_of

# Each row: its entry, what it says, and whether it is usable.
ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 400), st.booleans() | st.just(True)), max_size=120
)
WEIGHTS = st.lists(st.floats(0.01, 100), min_size=4, max_size=4)
SOME = st.none() | st.integers(1, 60)
Rows = list[tuple[int, int, bool]]


def mixed(rows: Rows, *, seed: int = 0, **settings_of: Any) -> Mixture:
    return choose(
        np.array([entry for entry, _, _ in rows], dtype=np.int16),
        keys_of([said for _, said, _ in rows]),
        np.array([usable for _, _, usable in rows], dtype=np.bool_),
        **{"weights": [], "cap": None, "limit": None, "seed": seed, **settings_of},
    )


def said_by(rows: Rows, mixture: Mixture) -> Counter[tuple[int, int]]:
    return Counter(row[:2] for row, taken in zip(rows, mixture.rows, strict=True) if taken)


@settings(deadline=None)
@given(ROWS, WEIGHTS | st.just([]), SOME, SOME, st.integers(0, 2**31))
def test_nothing_is_invented_and_every_limit_holds(
    rows: Rows, weights: list[float], cap: int | None, limit: int | None, seed: int
) -> None:
    found = mixed(rows, weights=weights, cap=cap, limit=limit, seed=seed)
    usable = np.array([row[2] for row in rows], dtype=np.bool_)
    assert not (found.rows & ~usable).any()
    counts = Counter(row[0] for row, taken in zip(rows, found.rows, strict=True) if taken)
    assert [counts[entry] for entry in range(len(found.taken))] == list(found.taken)
    assert sum(found.usable) == usable.sum()
    if limit is not None:
        assert found.rows.sum() <= limit
        for pool in range(4) if weights or cap is not None else [None]:
            there = [n for n, row in enumerate(rows) if row[2] and pool in (None, row[0])]
            taken = [n for n in there if found.rows[n]]
            assert set(taken) <= set(there[:limit])
    if cap is not None:
        assert max(found.taken, default=0) <= cap
    if not weights and cap is None and limit is None:
        assert (found.rows == usable).all()
        assert found.sentences == ()
    else:
        said = [text for text in found.sentences if "no rows to mix" not in text]
        assert bool(said) == (int(found.rows.sum()) < int(usable.sum()))
    if usable.any():
        assert found.rows.any()


@settings(deadline=None)
@given(ROWS, WEIGHTS)
def test_proportions_hold_within_a_row_and_the_mixture_is_the_largest(
    rows: Rows, weights: list[float]
) -> None:
    found = mixed(rows, weights=weights)
    there = [(w, u, t) for w, u, t in zip(weights, found.usable, found.taken, strict=True) if u]
    if not there:
        return
    scale = min(usable / weight for weight, usable, _ in there)
    for weight, _, taken in there:
        assert abs(taken - weight * scale) <= 1
    assert any(taken == usable for _, usable, taken in there)


@settings(deadline=None)
@given(ROWS, WEIGHTS, st.integers(1, 60))
def test_a_mixture_of_so_many_rows_is_that_many_where_there_are_enough(
    rows: Rows, weights: list[float], limit: int
) -> None:
    whole, found = mixed(rows, weights=weights), mixed(rows, weights=weights, limit=limit)
    some = [(w, t) for w, u, t in zip(weights, found.usable, found.taken, strict=True) if u]
    if sum(whole.taken) <= limit or not some:
        return
    assert limit - len(some) <= sum(found.taken) <= limit
    if sum(found.taken) == limit:
        scale = limit / sum(weight for weight, _ in some)
        assert all(abs(taken - weight * scale) <= len(some) for weight, taken in some)


@settings(deadline=None)
@given(ROWS, WEIGHTS | st.just([]), SOME, st.integers(0, 2**31), st.permutations(range(120)))
def test_the_order_of_rows_is_irrelevant(
    rows: Rows, weights: list[float], cap: int | None, seed: int, order: list[int]
) -> None:
    moved = [rows[place] for place in order if place < len(rows)]
    one = mixed(rows, weights=weights, cap=cap, seed=seed)
    other = mixed(moved, weights=weights, cap=cap, seed=seed)
    # Two equal rows are one and the same, unless one of them cannot be used.
    assert said_by(rows, one) == said_by(moved, other)
    assert (one.taken, one.sentences) == (other.taken, other.sentences)


def test_another_seed_chooses_other_rows() -> None:
    rows: Rows = [(0, said, True) for said in range(400)]
    one, other = (mixed(rows, cap=100, seed=seed) for seed in (1, 2))
    both = int((one.rows & other.rows).sum())
    assert 5 <= both <= 60  # 25 expected
    assert (mixed(rows, cap=100, seed=1).rows == one.rows).all()


def test_what_was_done_is_said() -> None:
    rows: Rows = [(int(said >= 300), said, True) for said in range(400)]
    found = mixed(rows, weights=[1.0, 1.0], cap=200, limit=350)
    assert found.usable == (300, 100)
    assert found.taken == (100, 100)
    assert found.sentences == (
        "max_rows_per_source: 200 of 300 rows of entry 1 are used",
        "weights: 200 of 300 rows are used; of each entry 100 of 200 (50.0%), 100 of 100 (50.0%)",
    )
    less = mixed(rows, weights=[2.0, 1.0], limit=20)
    assert less.taken == (13, 7)
    assert less.sentences == (
        "weights: 20 of 40 rows are used; of each entry 13 of 20 (65.0%), 7 of 20 (35.0%)",
        "max_samples: 20 of 400 rows are used, of the first 20 of each entry",
    )
    first = mixed(rows, limit=350)
    assert first.sentences == ("max_samples: the first 350 of 400 rows are used",)
    assert mixed(rows, weights=[1.0, 1.0, 1.0]).sentences[0] == (
        "weights: entry 3 has no rows to mix (a file that is named twice is read once)"
    )

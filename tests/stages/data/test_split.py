"""A split is made by what rows say: seeds repeat, order is irrelevant, groups are never torn."""

from __future__ import annotations

import hashlib
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.runs.dataset import Part
from qtui.stages.data.relating.ranks import Bytes, Numbers
from qtui.stages.data.relating.split import assign, together

# What rows say (copies are likely), and the group of each.
ROWS = st.lists(st.tuples(st.integers(0, 60), st.integers(-1, 12)), max_size=80)
SHARES = st.floats(0, 0.99)


def keys_of(said: list[int]) -> Bytes:
    digests = [hashlib.blake2b(str(word).encode(), digest_size=16).digest() for word in said]
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 16)


def numbers(values: list[int]) -> Numbers:
    return np.array(values, dtype=np.int64)


def companies(rows: list[tuple[int, int]]) -> list[set[int]]:
    """The rows that belong together, found by merging until nothing changes."""
    found: list[set[int]] = [{row} for row in range(len(rows))]
    labels: list[set[object]] = [
        {("key", key)} | ({("group", group)} if group >= 0 else set()) for key, group in rows
    ]
    merged = True
    while merged:
        merged = False
        for one in range(len(found)):
            for other in range(one + 1, len(found)):
                if labels[one] & labels[other]:
                    found[one] |= found.pop(other)
                    labels[one] |= labels.pop(other)
                    merged = True
                    break
            if merged:
                break
    return found


@settings(deadline=None)
@given(ROWS, SHARES, SHARES, st.integers(0, 2**31))
def test_groups_are_whole_and_something_is_left(
    rows: list[tuple[int, int]], validation: float, test: float, seed: int
) -> None:
    keys, groups = keys_of([key for key, _ in rows]), numbers([group for _, group in rows])
    parts = assign(keys, groups, validation=validation, test=test, seed=seed)
    found = companies(rows)
    for company in found:
        assert len({parts[row] for row in company}) == 1
    counts = {part: int((parts == part).sum()) for part in Part}
    assert counts[Part.TRAIN] + counts[Part.VALIDATION] + counts[Part.TEST] == len(rows)
    if rows:
        assert counts[Part.TRAIN]
    wanted = [
        share_part
        for share_part in ((validation, Part.VALIDATION), (test, Part.TEST))
        if share_part[0] > 0
    ]
    assert sum(counts[part] > 0 for _, part in wanted) == min(len(wanted), max(len(found) - 1, 0))
    for share, part in ((validation, Part.VALIDATION), (test, Part.TEST)):
        if share == 0:
            assert counts[part] == 0
        held = [company for company in found if parts[min(company)] == part]
        assert len(held) <= 1 or counts[part] <= max(1, round(share * len(rows)))


@settings(deadline=None)
@given(ROWS, st.floats(0.01, 0.5), st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_names_of_groups_do_not_matter(
    rows: list[tuple[int, int]], share: float, seed: int, chance: object
) -> None:
    order = list(range(len(rows)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    keys, groups = keys_of([key for key, _ in rows]), numbers([group for _, group in rows])
    renamed = np.where(groups >= 0, 1000 - 7 * groups, -1)
    parts = assign(keys, groups, validation=share, test=share, seed=seed)
    again = assign(keys[order], renamed[order], validation=share, test=share, seed=seed)
    assert again.tolist() == parts[order].tolist()


def test_shares_are_met_and_seeds_differ() -> None:
    keys, alone = keys_of(list(range(5000))), np.full(5000, -1, dtype=np.int64)
    parts = assign(keys, alone, validation=0.05, test=0.1, seed=1)
    assert np.bincount(parts).tolist() == [4250, 250, 500]
    other = assign(keys, alone, validation=0.05, test=0.1, seed=2)
    both = int(((parts == Part.VALIDATION) & (other == Part.VALIDATION)).sum())
    assert both < 40  # by chance 12.5
    without = assign(keys, alone, validation=0.05, test=0, seed=1)
    assert ((without == Part.VALIDATION) == (parts == Part.VALIDATION)).all()


def test_rows_that_are_added_move_few_others() -> None:
    keys, alone = keys_of(list(range(2000))), np.full(2000, -1, dtype=np.int64)
    before = assign(keys[:1900], alone[:1900], validation=0.1, test=0, seed=3)
    after = assign(keys, alone, validation=0.1, test=0, seed=3)[:1900]
    assert int((before != after).sum()) <= 20


def test_a_large_document_stays_in_training_unless_all_are_large() -> None:
    sizes = [400, *[10] * 20]
    groups = numbers([number for number, size in enumerate(sizes) for _ in range(size)])
    keys = keys_of(list(range(len(groups))))
    for seed in range(20):
        parts = assign(keys, groups, validation=0.05, test=0, seed=seed)
        assert (parts[:400] == Part.TRAIN).all()
        assert (parts == Part.VALIDATION).sum() == 30
    large = numbers([number // 100 for number in range(500)])
    parts = assign(keys_of(list(range(500))), large, validation=0.05, test=0, seed=0)
    assert (parts == Part.VALIDATION).sum() == 100


def test_long_documents_are_held_out_as_often_as_short_ones() -> None:
    """A group's rank is that of one key, chosen without the seed: many keys are not many lots."""
    sizes = [40] + [1] * 400
    groups = numbers([number for number, size in enumerate(sizes) for _ in range(size)])
    keys = keys_of(list(range(len(groups))))
    held = sum(
        assign(keys, groups, validation=0.2, test=0, seed=seed)[0] == Part.VALIDATION
        for seed in range(200)
    )
    assert 10 <= held <= 70  # 40 expected


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 5), st.integers(-1, 5)), max_size=40))
def test_joined_groupings_hold_what_each_held(rows: list[tuple[int, int]]) -> None:
    one, other = numbers([a for a, _ in rows]), numbers([b for _, b in rows])
    joined = together(one, other).tolist()
    members: dict[int, set[int]] = defaultdict(set)
    for row, number in enumerate(joined):
        assert (number == -1) == (rows[row] == (-1, -1))
        members[number].add(row)
    for grouping in (one, other):
        for value in set(grouping.tolist()) - {-1}:
            assert len({joined[row] for row in np.flatnonzero(grouping == value)}) == 1
    assert set(joined) - {-1} == set(range(len(set(joined) - {-1})))
    # Nothing is joined that no chain of shared numbers joins.
    for number, rows_of in members.items():
        if number >= 0 and len(rows_of) > 1:
            for row in rows_of:
                a, b = rows[row]
                others = [rows[r] for r in rows_of - {row}]
                assert any((a >= 0 and a == c) or (b >= 0 and b == d) for c, d in others)


def test_nothing_is_held_out_of_nothing() -> None:
    assert len(assign(keys_of([]), numbers([]), validation=0.5, test=0.1, seed=0)) == 0
    only = assign(keys_of([1, 1]), numbers([-1, -1]), validation=0.5, test=0.1, seed=0)
    assert only.tolist() == [Part.TRAIN, Part.TRAIN]


@pytest.mark.parametrize("seed", [0, 2**63, 2**80, -1])
def test_any_seed_will_do(seed: int) -> None:
    parts = assign(
        keys_of(list(range(10))),
        np.full(10, -1, dtype=np.int64),
        validation=0.2,
        test=0.2,
        seed=seed,
    )
    assert np.bincount(parts).tolist() == [6, 2, 2]

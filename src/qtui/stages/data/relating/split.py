"""Which rows are trained on, and which are held out: by what they say, not by where they stand.

Rows that belong together (copies, pieces of one document, near duplicates) are one group, and a
group never stands on two sides. Each group has a number from the seed and its own content
(`ranks.py`): the lowest are held out for validation, the highest for the test. So the same seed
gives the same split whatever the order of the files, another share of the one moves no row of the
other, and rows that are added later move few.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qtui.runs.dataset import Part
from qtui.stages.data.relating.ranks import Bytes, Numbers, Words, contents, ranked


def assign(
    keys: Bytes, groups: Numbers, *, validation: float, test: float, seed: int
) -> npt.NDArray[np.uint8]:
    """Return `Part.TRAIN`, `VALIDATION` or `TEST` for each row.

    `keys` are n × 16 bytes, `groups` one number a row: rows with one number belong together, and
    so do rows with one key; -1 stands for no other company. Groups that share a key are one.

    The shares are of the rows, filled with whole groups: a group that is larger than the share
    stays in training, unless there are only such. Above 0, at least one group is held out as long
    as another is left to train on; of two groups, validation gets the one.
    """
    parts = np.full(len(keys), Part.TRAIN, dtype=np.uint8)
    if len(keys) == 0 or (validation <= 0 and test <= 0):
        return parts
    content = contents(keys)
    index, count = _companies(content, groups)
    sizes = np.bincount(index, minlength=count)
    smallest = np.full(count, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(smallest, index, content)
    order = np.argsort(ranked(smallest, seed, "split"), kind="stable")
    part_of = np.full(count, Part.TRAIN, dtype=np.uint8)
    for share, part, lots, others in (
        (validation, Part.VALIDATION, order, 2 if test > 0 and count > 2 else 1),
        (test, Part.TEST, order[::-1], 1),
    ):
        left = lots[part_of[lots] == Part.TRAIN]
        part_of[_filled(left, sizes, share * len(keys), len(left) - others)] = part
    return part_of[index]


def together(*groupings: Numbers) -> Numbers:
    """Join groupings of the same rows: who shares a number in any of them is in one group.

    Each holds one number a row, -1 for none. So are the numbers returned, from 0 without gaps.
    """
    joined, count = np.full(len(groupings[0]), -1, dtype=np.int64), 0
    for grouping in groupings:
        there = grouping >= 0
        values, compact = np.unique(grouping[there], return_inverse=True)
        both = joined[there] >= 0
        pairs = np.unique(np.stack((joined[there][both], compact[both] + count), axis=1), axis=0)
        fresh = joined[there]
        joined[there] = np.where(both, fresh, compact + count)
        count += len(values)
        leaders = _leaders(count, pairs)
        held = joined >= 0
        names, renamed = np.unique(leaders[joined[held]], return_inverse=True)
        joined[held] = renamed
        count = len(names)
    return joined


def _companies(content: Words, groups: Numbers) -> tuple[Numbers, int]:
    """The number of each row's group from 0, copies of a row included, and how many there are."""
    _, index, copies = np.unique(content, return_inverse=True, return_counts=True)
    if not (groups >= 0).any():
        return index, len(copies)
    joined = together(groups, np.where(copies[index] > 1, index, -1))
    alone = joined < 0
    first = int(joined.max()) + 1
    joined[alone] = np.arange(first, first + int(alone.sum()))
    return joined, first + int(alone.sum())


def _filled(order: Numbers, sizes: Numbers, wanted: float, most: int) -> Numbers:
    """The first groups of `order` that make up `wanted` rows together; `most` groups at most."""
    if wanted <= 0 or most < 1:
        return order[:0]
    rows = max(1, round(wanted))
    of = sizes[order]
    fit = order[of <= rows]
    if len(fit) == 0:  # all are larger than the share: one that is not among the largest
        return order[of <= np.median(of)][:1]
    number = int(np.searchsorted(np.cumsum(sizes[fit]), rows, side="right"))
    return fit[: min(number, most)]


def _leaders(count: int, pairs: Numbers) -> Numbers:
    """One leader for all numbers below `count` that `pairs` connect; the others lead themselves."""
    leader = {int(number): int(number) for number in np.unique(pairs)}

    def find(number: int) -> int:
        while leader[number] != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number

    for one, other in pairs.tolist():
        first, second = find(one), find(other)
        leader[max(first, second)] = min(first, second)
    leaders = np.arange(count, dtype=np.int64)
    for number in leader:
        leaders[number] = find(number)
    return leaders

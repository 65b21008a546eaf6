"""Which of the usable rows are taken, where the run file wants fewer than there are.

In this order: at most `max_rows_per_source` of each entry of `data.input_path`, the proportions of
`weights`, and `max_samples` rows in all: the first ones, or with weights a mixture of so many. Of
each entry only its first `max_samples` rows take part then, so that no more need be read. No row is
taken twice: the largest mixture is made that holds the proportions to within a row. Rows that are
left out at random are chosen by seed and content (`ranks.py`), so neither the order of the rows nor
that of the entries matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qtui.stages.data.relating.ranks import Bytes, Flags, contents, ranked

if TYPE_CHECKING:
    import numpy.typing as npt

    Entries = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Mixture:
    """`rows` flags those that are taken; of entry i, `taken[i]` of `usable[i]` rows are.

    `sentences` say what was left out and why; safe to show.
    """

    rows: Flags
    usable: tuple[int, ...]
    taken: tuple[int, ...]
    sentences: tuple[str, ...]


def choose(
    entry: Entries,
    keys: Bytes,
    usable: Flags,
    *,
    weights: Sequence[float],
    cap: int | None,
    limit: int | None,
    seed: int,
) -> Mixture:
    """Choose among the `usable` rows.

    `entry` is the number of each row's entry of `data.input_path` from 0, `keys` are n × 16 bytes.
    `cap` and `weights` (one for each entry, all above 0; empty: no proportions) choose at random
    and come before `limit`, see above. An entry without a usable row is left out of the
    proportions.
    """
    count = max(len(weights), int(entry.max(initial=-1)) + 1)
    there = _counts(entry, usable, count)
    rows = usable.copy()
    sentences: list[str] = []
    mixing = is_mixed(count, weights, cap)
    if limit is not None:
        for pool in [rows & (entry == number) for number in range(count)] if mixing else [usable]:
            rows[np.flatnonzero(pool)[limit:]] = False
        if not mixing and not (rows == usable).all():
            sentences.append(f"max_samples: the first {limit} of {int(usable.sum())} rows are used")
    wanted = left = _counts(entry, rows, count)
    if cap is not None:
        wanted = np.minimum(wanted, cap)
        sentences += [
            f"max_rows_per_source: {cap} of {left[number]} rows of entry {number + 1} are used"
            for number in np.flatnonzero(wanted < left).tolist()
        ]
    if len(weights):
        mixed = _proportioned(wanted, np.asarray(weights, dtype=np.float64), limit)
        sentences += _about_weights(wanted, mixed)
        wanted = mixed
    if (wanted < left).any():
        _leave_out(rows, entry, keys, wanted, left, seed)
    if limit is not None and mixing:
        rows[np.flatnonzero(rows)[limit:]] = False
        wanted = _counts(entry, rows, count)
        used, whole = int(wanted.sum()), int(there.sum())
        if used == limit < whole or (left < there).any():
            sentences.append(
                f"max_samples: {used} of {whole} rows are used, of the first {limit} of each entry"
            )
    return Mixture(
        rows=rows,
        usable=tuple(there.tolist()),
        taken=tuple(wanted.tolist()),
        sentences=tuple(sentences),
    )


def is_mixed(entries: int, weights: Sequence[float], cap: int | None) -> bool:
    """Whether rows of each entry are wanted, and not the first rows of all of them."""
    return entries > 1 and (len(weights) > 0 or cap is not None)


def _counts(entry: Entries, rows: Flags, count: int) -> npt.NDArray[np.int64]:
    return np.bincount(entry[rows], minlength=count)


def _proportioned(
    there: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], limit: int | None
) -> npt.NDArray[np.int64]:
    """The most rows of each entry that stand in proportion; the scarcest entry is used whole.

    There are at most `limit` in all; what rounding leaves of them goes to the largest remainders.
    """
    some = there > 0
    if not some.any():
        return there
    shares = np.where(some, weights, 0.0)
    scale = (there[some] / weights[some]).min()
    mixed: npt.NDArray[np.int64] = np.rint(shares * scale).astype(np.int64)
    mixed = np.minimum(np.maximum(mixed, some), there)
    if limit is None or int(mixed.sum()) <= limit:
        return mixed
    exact = shares * (limit / shares.sum())
    mixed = np.minimum(np.floor(exact).astype(np.int64), there)
    order = np.argsort(mixed - exact, kind="stable")
    order = order[mixed[order] < there[order]]
    mixed[order[: limit - int(mixed.sum())]] += 1
    return mixed


def _about_weights(there: npt.NDArray[np.int64], mixed: npt.NDArray[np.int64]) -> list[str]:
    sentences = [
        f"weights: entry {number + 1} has no rows to mix (a file that is named twice is read once)"
        for number in np.flatnonzero(there == 0).tolist()
    ]
    total = int(mixed.sum())
    if total < int(there.sum()):
        shares = ", ".join(
            f"{took} of {had} ({took / total:.1%})"
            for took, had in zip(mixed.tolist(), there.tolist(), strict=True)
        )
        whole = int(there.sum())
        sentences.append(f"weights: {total} of {whole} rows are used; of each entry {shares}")
    return sentences


def _leave_out(
    rows: Flags,
    entry: Entries,
    keys: Bytes,
    wanted: npt.NDArray[np.int64],
    left: npt.NDArray[np.int64],
    seed: int,
) -> None:
    """Take rows off until of each entry as many are left as are wanted."""
    for number in np.flatnonzero(wanted < left).tolist():
        places = np.flatnonzero(rows & (entry == number))
        lots = ranked(contents(keys[places]), seed, "mix")
        rows[places[np.argsort(lots, kind="stable")[int(wanted[number]) :]]] = False

"""Which rows are worth comparing: found from sketches on disk, a slice of the rows in memory.

Rows that share the hash of a band stand in one bucket. A bucket of up to `SMALL` rows gives every
pair of them. A larger one must not become quadratic, and gives a few pairs a row:

- to leaders: its first row, then the first that is like no leader so far, up to `LEADERS`; a row
  is held against the next leader until it is surely like one or has `TRIES` pairs;
- to the neighbours in the order of the sketches' bits, so that equal sketches always meet.

Of all pairs only those stay whose bits differ little (`Bands.differing`). What one band leaves
out the others mostly find: a bucket is large where the hash saw only words that many rows share,
and each band that saw a word of the row's own puts it into a small one.

Each bucket is dealt with by itself, so the pairs of all bands together do not depend on the order
of bands, nor on how the rows were handed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

SMALL = 32
LEADERS = 16
TRIES = 4
_NEIGHBOURS = 2
_SLICE_ROWS = 1 << 20
_BLOCK_ROWS = 1 << 17

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]
Emit = Callable[[Rows, Rows], None]
"""Takes pairs: the earlier rows, and the later ones."""
Read = Callable[[int, int], Hashes]


def slices(
    read: Read, count: int, rows_a_slice: int = _SLICE_ROWS
) -> Iterator[tuple[Rows, Hashes]]:
    """Cut `count` hashes into slices by their first word: equal ones are always in one slice.

    `read(start, rows)` gives the hashes of some rows, shape (rows, words); all are read once for
    each slice, a block at a time. Yields the numbers of the rows, ascending, and their hashes.
    """
    parts = -(-count // rows_a_slice)
    for part in range(parts):
        numbers, hashes = [], []
        for start in range(0, count, _BLOCK_ROWS):
            block = read(start, min(_BLOCK_ROWS, count - start))
            here = (block[:, 0] >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32) == part
            numbers.append(np.flatnonzero(here) + start)
            hashes.append(block[here])
        yield np.concatenate(numbers), np.concatenate(hashes)


def emit_pairs(
    rows: Rows,
    hashes: Hashes,
    bits: Hashes,
    differing: tuple[int, int],
    emit: Emit,
    check: Callable[[], None],
) -> None:
    """Emit the pairs of one slice of one band.

    `rows` are the numbers of rows, ascending, and `hashes` theirs, shape (rows,); `bits` are the
    bits of all rows, shape (all rows, words). `differing`: bits that may differ in a pair, and up
    to which two rows are taken to be surely alike. `check` is called every few milliseconds and
    may raise.
    """
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    same = np.zeros(len(order) + 1, dtype=bool)
    same[1:-1] = hashes[1:] == hashes[:-1]
    shared = same[1:] | same[:-1]
    rows, starts = rows[order[shared]], np.flatnonzero(~same[:-1][shared])
    del order, hashes
    if not len(rows):
        return
    check()
    sizes = np.diff(starts, append=len(rows))
    small = np.repeat(sizes <= SMALL, sizes)
    rank = np.arange(len(rows)) - np.repeat(starts, sizes)
    later = np.flatnonzero(small)
    for step in range(1, SMALL):
        later = later[rank[later] >= step]
        _emit_alike(rows[later - step], rows[later], bits, differing[0], emit)
        check()
    for bucket in np.flatnonzero(sizes > SMALL):
        crowd = rows[starts[bucket] : starts[bucket] + sizes[bucket]]
        _emit_leaders(crowd, bits, differing, emit, check)
        # lexsort is stable: of equal sketches the earlier row comes first.
        crowd = crowd[np.lexsort(bits[crowd].T)]
        for step in range(1, _NEIGHBOURS + 1):
            earlier, later = np.sort([crowd[:-step], crowd[step:]], axis=0)
            _emit_alike(earlier, later, bits, differing[0], emit)
            check()


def _emit_leaders(
    rows: Rows,
    bits: Hashes,
    differing: tuple[int, int],
    emit: Emit,
    check: Callable[[], None],
) -> None:
    possible, sure = differing
    leaders: list[int] = []
    for start in range(0, len(rows), _BLOCK_ROWS):
        left = rows[start : start + _BLOCK_ROWS]
        own, tries = bits[left], np.zeros(len(left), dtype=np.int8)
        for turn in range(LEADERS):
            if turn == len(leaders) and len(left):
                leaders.append(int(left[0]))
                left, own, tries = left[1:], own[1:], tries[1:]
            if not len(left):
                break
            apart = distance(own, bits[leaders[turn]])
            alike = apart <= possible
            emit(np.full(np.count_nonzero(alike), leaders[turn]), left[alike])
            tries += alike
            stay = (apart > sure) & (tries < TRIES)
            left, own, tries = left[stay], own[stay], tries[stay]
            check()


def _emit_alike(earlier: Rows, later: Rows, bits: Hashes, differing: int, emit: Emit) -> None:
    for start in range(0, len(later), _BLOCK_ROWS):
        one, other = earlier[start : start + _BLOCK_ROWS], later[start : start + _BLOCK_ROWS]
        alike = distance(bits[one], bits[other]) <= differing
        emit(one[alike], other[alike])


def distance(one: Hashes, other: Hashes) -> NDArray[np.int64]:
    """Bits that differ, row by row."""
    bits: NDArray[np.int64] = np.bitwise_count(one ^ other).sum(axis=-1, dtype=np.int64)
    return bits

"""Rows that say what an earlier row says, exactly or nearly, among tens of millions.

Keys and sketches of rows lie on disk and are read a slice at a time, so that memory grows by the
few bytes a row of the answer, and not by what is looked for in. The earliest row is the one that
stays. Nothing here is random, and it does not matter how rows were batched.

A near duplicate is at least as similar as the threshold to the very row that it is said to repeat:
its text is read and compared piece by piece, whatever the sketches said. There are no chains in
that: of rows A, B, C, where only neighbours are similar, B repeats A, and C stays. But all three
are one company, so that a split does not part C from B; and where A and B are held out, C repeats
B, so that it counts as a leak.

What may happen is that a pair is not looked at, and two rows are then parted although they are
alike: where their sketches share no band (see `Bands.recall` for how often), where both stand in a
crowd and another row joins them with none of it (`candidates`), or where one has more than
`COMPARED` candidates.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtui.errors import StoppedError
from qtui.stages.data.relating.sketches import PERMUTATIONS, Bands, jaccard, shingles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qtui.stages.data.relating.pair_files import PairFiles

KEY_BYTES = 16
COMPARED = 16
"""Rows that one row is compared with, at most: those with the most similar sketches."""

_PIECES_IN_MEMORY = 200_000
_BUFFER = 1 << 16

Progress = Callable[[int, int], None]
TextOf = Callable[[int], str]


def first_of(
    keys: bytes | bytearray,
    skip: NDArray[np.bool_] | None = None,
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> NDArray[np.int64]:
    """For each row the number of the first row with the same key, its own if it is that.

    `keys` are those of all rows (`Row.key()`), 16 bytes each, one behind another. Rows under
    `skip` take no part: they repeat none and none repeats them. Takes the 8 bytes a row that it
    returns, and some 100 MB. Raises StoppedError when `stopped()`.
    """
    import numpy as np

    from qtui.stages.data.relating.candidates import slices

    words = np.frombuffer(keys, "<u8").reshape(-1, KEY_BYTES // 8)
    first = np.arange(len(words), dtype=np.int64)
    for rows, found in slices(lambda start, count: words[start : start + count], len(words)):
        _refuse_stopped(stopped)
        if skip is not None:
            rows, found = rows[~skip[rows]], found[~skip[rows]]
        # lexsort is stable: the first of equal keys is the earliest row.
        order = np.lexsort(found.T)
        found = found[order]
        new = np.ones(len(order), dtype=bool)
        new[1:] = (found[1:] != found[:-1]).any(axis=1)
        start = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
        first[rows[order]] = rows[order[start]]
    return first


@dataclass(frozen=True)
class NearGroups:
    """Which row repeats which.

    `first` has for each row the earliest row of its group (itself where it repeats none), and
    first[first] == first, but for rows behind the held-out ones: see `NearDuplicates.find`.
    `company` has for each the earliest row that similar pairs join it with, directly or one after
    another. `similarities` are float32, see `similarity`. `compared` counts the pairs of texts
    that were compared.
    """

    first: NDArray[np.int64]
    company: NDArray[np.int64]
    similarities: NDArray[np.float32]
    compared: int

    def similarity(self, row: int) -> float:
        """Jaccard similarity of a row to the one it repeats (7 digits); 0 where it repeats none."""
        return float(self.similarities[row])


class NearDuplicates:
    """Sketches of rows in files in `folder`, and the search among them.

    A context manager: the files are gone when it is left. They take 8 bytes a row for each word of
    `bands.width`, and while searching up to a few hundred bytes more for each row that has near
    duplicates.
    """

    def __init__(self, folder: Path, bands: Bands, threshold: float) -> None:
        self._folder = folder
        self._bands = bands
        self._threshold = threshold
        self._count = 0
        self._closing = ExitStack()
        self._files = [
            self._closing.enter_context(self._band(band).open("wb", buffering=_BUFFER))
            for band in range(bands.bands)
        ]
        self._bits = folder / "bits.u64"
        self._files.append(self._closing.enter_context(self._bits.open("wb", buffering=_BUFFER)))

    def __enter__(self) -> NearDuplicates:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
        for band in range(self._bands.bands):
            self._band(band).unlink(missing_ok=True)
        self._bits.unlink(missing_ok=True)

    def __len__(self) -> int:
        return self._count

    def _band(self, band: int) -> Path:
        return self._folder / f"band-{band}.u64"

    def add(self, sketches: NDArray[np.uint64] | bytes) -> None:
        """Add the sketches of the next rows, as `sketch` returns them or as their bytes."""
        import numpy as np

        width = self._bands.width
        words = np.frombuffer(sketches, "<u8").reshape(-1, width)
        for band, file in enumerate(self._files[:-1]):
            file.write(words[:, band].tobytes())
        self._files[-1].write(words[:, self._bands.bands :].tobytes())
        self._count += len(words)

    def find(
        self,
        text_of: TextOf,
        skip: NDArray[np.bool_] | None = None,
        *,
        held: int = 0,
        stays: NDArray[np.bool_] | None = None,
        progress: Progress = lambda done, total: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> NearGroups:
        """Find near duplicates: each row, in order, repeats the earliest similar row that stays.

        `text_of` gives the text of a row, the same that was sketched. Rows under `skip` take no
        part: they repeat none and none repeats them. The first `held` rows are held out: a row
        behind them that is like any of them repeats one of them, whatever else it is like.
        `stays` flags the rows that stay although they repeat one (none: all do); a row that goes
        makes no leak, and joins nobody. `progress` counts rows: the first half of it is the search
        for pairs, the second their comparison. Takes 20 bytes a row, 16 more that are a file mapped
        into memory, and some 100 MB. Raises StoppedError when `stopped()`.
        """
        import numpy as np

        from qtui.stages.data.relating.pair_files import PairFiles

        for file in self._files:
            file.flush()
        groups = NearGroups(
            first=np.arange(self._count, dtype=np.int64),
            company=np.arange(self._count, dtype=np.int64),
            similarities=np.zeros(self._count, dtype=np.float32),
            compared=0,
        )
        if not self._count:
            return groups
        bits = np.memmap(self._bits, "<u8", "r").reshape(self._count, -1)
        pairs = PairFiles(self._folder, check=lambda: _refuse_stopped(stopped))
        try:
            self._collect(pairs, bits, skip, progress, stopped)
            texts = _Texts(text_of, stopped)
            told = 0
            for later, others in _by_row(pairs):
                if later - told >= self._count // 100:
                    told = later
                    progress((self._count + later) // 2, self._count)
                leaders = sorted(set(groups.first[others].tolist()))
                self._assign(groups, later, _most_alike(leaders, bits, later), texts)
                left = others[groups.first[others] != others]
                if stays is not None:
                    left = left[stays[left]]
                apart = self._apart(groups, later, left.tolist(), held)
                self._join(groups, later, _most_alike(apart, bits, later), held, texts)
        finally:
            pairs.close()
        progress(self._count, self._count)
        return replace(groups, company=_led(groups.company), compared=texts.compared)

    def _collect(
        self,
        pairs: PairFiles,
        bits: NDArray[np.uint64],
        skip: NDArray[np.bool_] | None,
        progress: Progress,
        stopped: Callable[[], bool],
    ) -> None:
        from qtui.stages.data.relating.candidates import emit_pairs, slices

        differing = (
            self._bands.differing,
            min(self._bands.differing, int((1 - self._threshold) / 2 * PERMUTATIONS)),
        )
        for band in range(self._bands.bands):
            seen = band * self._count
            for rows, hashes in slices(_reader(self._band(band)), self._count):
                progress(seen // self._bands.bands // 2, self._count)
                _refuse_stopped(stopped)
                seen += len(rows)
                taking_part = hashes[:, 0] != 0
                if skip is not None:
                    taking_part &= ~skip[rows]
                emit_pairs(
                    rows[taking_part],
                    hashes[taking_part, 0],
                    bits,
                    differing,
                    pairs.add,
                    lambda: _refuse_stopped(stopped),
                )

    def _assign(self, groups: NearGroups, row: int, leaders: list[int], texts: _Texts) -> None:
        """The row repeats the earliest of the leaders that is similar, and joins all that are."""
        for leader in leaders:
            alone = groups.first[row] == row
            if not alone and _leader(groups.company, leader) == _leader(groups.company, row):
                continue
            similarity = texts.similarity(leader, row)
            if similarity >= self._threshold:
                _put_together(groups.company, leader, row)
                if alone:
                    groups.first[row] = leader
                    groups.similarities[row] = similarity

    def _apart(self, groups: NearGroups, row: int, others: list[int], held: int) -> list[int]:
        """Those that are not in the row's company (most are), or that would make it a leak."""
        own = _leader(groups.company, row)
        safe = held <= min(row, int(groups.first[row]))
        return [
            other
            for other in others
            if (safe and other < held) or _leader(groups.company, other) != own
        ]

    def _join(
        self, groups: NearGroups, row: int, others: list[int], held: int, texts: _Texts
    ) -> None:
        """The row joins those that are similar; one that is held out makes it a leak."""
        while others := self._apart(groups, row, others, held):
            other = others.pop(0)
            similarity = texts.similarity(other, row)
            if similarity < self._threshold:
                continue
            _put_together(groups.company, other, row)
            if other < held <= min(row, int(groups.first[row])):
                groups.first[row] = other
                groups.similarities[row] = similarity


def _leader(company: NDArray[np.int64], row: int) -> int:
    """The earliest row of a company, with the way there shortened (union-find)."""
    leader = int(company[row])
    while leader != row:
        further = int(company[leader])
        company[row] = further
        row, leader = leader, further
    return leader


def _put_together(company: NDArray[np.int64], one: int, other: int) -> None:
    first, second = sorted((_leader(company, one), _leader(company, other)))
    company[second] = first


def _led(company: NDArray[np.int64]) -> NDArray[np.int64]:
    """All companies by their earliest row."""
    while (company[company] != company).any():
        company = company[company]
    return company


class _Texts:
    """Compares texts by their pieces; keeps the pieces of those that were used last."""

    def __init__(self, text_of: TextOf, stopped: Callable[[], bool]) -> None:
        self.compared = 0
        self._text_of = text_of
        self._stopped = stopped
        self._kept: OrderedDict[int, frozenset[str]] = OrderedDict()
        self._size = 0

    def similarity(self, one: int, other: int) -> float:
        self.compared += 1
        return jaccard(self._pieces(one), self._pieces(other))

    def _pieces(self, row: int) -> frozenset[str]:
        pieces = self._kept.get(row)
        if pieces is not None:
            self._kept.move_to_end(row)
            return pieces
        _refuse_stopped(self._stopped)
        pieces = self._kept[row] = frozenset(shingles(self._text_of(row)))
        self._size += len(pieces)
        while self._size > _PIECES_IN_MEMORY and len(self._kept) > 2:
            _, gone = self._kept.popitem(last=False)
            self._size -= len(gone)
        return pieces


def _reader(path: Path) -> Callable[[int, int], NDArray[np.uint64]]:
    """Reads some rows of a file of one hash a row."""
    import numpy as np

    return lambda start, rows: np.fromfile(path, "<u8", rows, offset=8 * start).reshape(-1, 1)


def _by_row(pairs: PairFiles) -> Iterator[tuple[int, Any]]:
    """Each row that has candidates, ascending, with them: an array of earlier rows."""
    import numpy as np

    for part in pairs.read():
        later, earlier = part[:, 0], part[:, 1]
        starts = np.flatnonzero(np.diff(later, prepend=-1))
        ends = np.append(starts[1:], len(later)).tolist()
        for row, start, end in zip(later[starts].tolist(), starts.tolist(), ends, strict=True):
            yield row, earlier[start:end]


def _most_alike(rows: list[int], bits: NDArray[np.uint64], row: int) -> list[int]:
    """The `COMPARED` rows whose bits differ least from those of `row`, in order of rows."""
    import numpy as np

    from qtui.stages.data.relating.candidates import distance

    if len(rows) <= COMPARED:
        return rows
    nearest = np.argsort(distance(bits[rows], bits[row]), kind="stable")[:COMPARED]
    return sorted(rows[number] for number in nearest.tolist())


def _refuse_stopped(stopped: Callable[[], bool]) -> None:
    if stopped():
        raise StoppedError("stopped while duplicates were looked for")

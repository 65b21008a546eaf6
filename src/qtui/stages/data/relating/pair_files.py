"""Pairs of rows on disk: added in any order, read back each once, by the later row of the two.

One file for every `ROWS_A_FILE` rows; only one of them is ever in memory. The same pair is added
by many bands, so a file that has grown is freed of repetitions before it grows on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROWS_A_FILE = 1 << 16
_BUFFERED = 1 << 19
_BYTES = 1 << 23
_LATER = np.uint64(32)


class PairFiles:
    """Files in `folder`; `close` removes them. Rows are numbered below 2**32.

    `check` is called between two files and may raise; nothing is to be read then.
    """

    def __init__(
        self,
        folder: Path,
        *,
        check: Callable[[], None] = lambda: None,
        buffered: int = _BUFFERED,
        most_bytes: int = _BYTES,
    ) -> None:
        self._check = check
        self._folder = folder
        self._buffered = buffered
        self._most_bytes = most_bytes
        self._waiting: list[NDArray[np.uint64]] = []
        self._count = 0
        self._limits: dict[int, int] = {}

    def add(self, earlier: NDArray[np.int64], later: NDArray[np.int64]) -> None:
        """Add pairs (earlier[n], later[n])."""
        if len(earlier):
            self._waiting.append(later.astype(np.uint64) << _LATER | earlier.astype(np.uint64))
            self._count += len(earlier)
        if self._count >= self._buffered:
            self._write()

    def read(self) -> Iterator[NDArray[np.int64]]:
        """Each pair once, sorted by the later row, then the earlier; a file at a time.

        Yields arrays of the shape (pairs, 2): later, earlier.
        """
        self._write()
        for number in sorted(self._limits):
            pairs = _once(np.fromfile(self._path(number), "<u8"))
            yield np.stack(
                [
                    (pairs >> _LATER).astype(np.int64),
                    (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64),
                ],
                axis=1,
            )

    def close(self) -> None:
        """Remove the files."""
        for number in self._limits:
            self._path(number).unlink(missing_ok=True)
        self._limits.clear()
        self._waiting.clear()
        self._count = 0

    def _write(self) -> None:
        if not self._count:
            return
        pairs = _once(np.concatenate(self._waiting))
        self._waiting.clear()
        self._count = 0
        files = pairs >> _LATER >> np.uint64(ROWS_A_FILE.bit_length() - 1)
        starts = np.flatnonzero(np.diff(files, prepend=files[0] + np.uint64(1)))
        for number, piece in zip(files[starts].tolist(), np.split(pairs, starts[1:]), strict=True):
            self._check()
            limit = self._limits.setdefault(number, self._most_bytes)
            with self._path(number).open("ab") as file:
                file.write(piece.astype("<u8").tobytes())
                size = file.tell()
            if size > limit:
                once = _once(np.fromfile(self._path(number), "<u8"))
                once.tofile(self._path(number))
                self._limits[number] = max(limit, 2 * once.nbytes)

    def _path(self, number: int) -> Path:
        return self._folder / f"pairs-{number}.u64"


def _once(pairs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sorted and without repetitions; several times as fast as np.unique, which hashes first."""
    pairs = np.sort(pairs)
    new = np.ones(len(pairs), dtype=bool)
    new[1:] = pairs[1:] != pairs[:-1]
    return pairs[new]

"""How many rows to read for `data.max_samples`, so that a look at large data reads few of them.

Up to `EXACT` rows it is as many as are used: rows that repeat another one exactly fall away later,
so they do not count, and others are read in their place. Beyond that, and for near duplicates,
rows that fall away are not made up for; that is said.
"""

from __future__ import annotations

from collections.abc import Sequence

from qtui.config.models import DataConfig
from qtui.runs.dataset import Part
from qtui.stages.data.reading.sources import Source
from qtui.stages.data.refining.row_pool import ROWS_A_BATCH
from qtui.stages.data.relating.mix import is_mixed
from qtui.stages.data.relating.row_table import RowTable

EXACT = 20_000
"""Rows up to which `data.max_samples` is exact in what is read, and not only in what is used."""

_MOST_HELD = 200_000
"""Held-out rows up to which training rows that repeat them do not count."""


class Wanted:
    """Counts the rows of one part while they are read into `table`."""

    def __init__(self, config: DataConfig, table: RowTable, part: Part) -> None:
        self._config = config
        self._table = table
        self._limit = config.max_samples if part is Part.TRAIN else None
        self.exact = self._limit is not None and self._limit <= EXACT
        """Whether no row may be read that is not wanted."""
        self._at = len(table.parts)
        self._left = 0
        self._seen: set[bytes] = set()
        self._held: set[bytes] = set()
        if self.exact and config.on_leakage == "drop" and self._at <= _MOST_HELD:
            self._held = {
                self._key(row) for row in range(self._at) if table.parts[row] < Part.UNUSABLE
            }
        self._sources: Sequence[Source] = ()
        self._mixed = False

    def together(self, sources: list[Source]) -> list[list[Source]]:
        """The sources whose rows are counted together: all, or of each entry those to be mixed."""
        self._sources = sources
        entries = sorted({source.entry for source in sources})
        self._mixed = self._limit is not None and is_mixed(
            len(entries), self._config.weights, self._config.max_rows_per_source
        )
        if not self._mixed:
            return [sources]
        return [[source for source in sources if source.entry == entry] for entry in entries]

    def begin(self) -> None:
        """From here on rows are counted anew."""
        self._left = self._limit or 0

    def room(self) -> int:
        """How many rows more are wanted; any number where there is no limit."""
        return ROWS_A_BATCH if self._limit is None else self._left

    def count(self) -> None:
        """Count the rows that were read since the last time."""
        table, start = self._table, self._at
        self._at = len(table.parts)
        if self._limit is None:
            return
        for row in range(start, self._at):
            self._left -= table.parts[row] == Part.TRAIN and not self._falls_away(row)

    def _falls_away(self, row: int) -> bool:
        """Whether the row repeats another one exactly, and is dropped for that."""
        if not self.exact:
            return False
        key = self._key(row)
        again = key in self._seen and self._config.on_duplicate == "drop"
        self._seen.add(key)
        return (again or key in self._held) and not self._table.pinned[row]

    def _key(self, row: int) -> bytes:
        return bytes(self._table.keys[16 * row : 16 * row + 16])

    def said(self) -> list[str]:
        """Sentences on what the limit left out, once rows were compared."""
        limit, table = self._limit, self._table
        if limit is None or self._mixed or self._left > 0:
            return []
        sentences = []
        read = set(table.entries[len(table.entries) - table.read_of[Part.TRAIN] :])
        none = sorted({source.entry for source in self._sources} - read)
        if none:
            names = " and ".join(str(entry + 1) for entry in none)
            which = "entries" if len(none) > 1 else "entry"
            sentences.append(
                f"max_samples: the first {limit} rows are used, and none of {which} {names} "
                "of input_path"
            )
        used = table.parts.count(Part.TRAIN)
        if used < limit:
            sentences.append(
                f"max_samples: {used} of {limit} rows are used; the others of the first {limit} "
                "repeat another row"
            )
        return sentences

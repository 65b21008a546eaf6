"""The findings by kind and by row, as numbers: a million of them cost some megabytes.

Made once in a thread; afterwards "the next one of this kind" and "all of this row" are looked up.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from qtui.runs.dataset import Dataset, Finding

LEVELS = ("error", "warning", "note")
MOST = 1_000_000
"""Findings that are taken into account; the worker keeps far fewer."""
ALL = ""
"""Stands for every kind."""


@dataclass
class Kind:
    """Findings of one kind, in the order of their rows: row (-1: of a whole file) and number."""

    name: str
    level: str
    rows: array[int] = field(default_factory=lambda: array("q"))
    numbers: array[int] = field(default_factory=lambda: array("q"))

    def behind(self, row: int, by: int) -> int | None:
        """The place of the first finding in a row behind `row` (`by` 1), or of the last in a row
        in front of it (`by` -1); None: there is none."""
        at = bisect_right(self.rows, row) if by > 0 else bisect_left(self.rows, row) - 1
        return at if 0 <= at < len(self.rows) else None

    def of(self, row: int) -> range:
        """The places of the findings of `row`."""
        return range(bisect_left(self.rows, row), bisect_right(self.rows, row))


class Found:
    """What there is to jump to, made by `gather`; then read by anybody."""

    def __init__(self) -> None:
        self.kinds: dict[str, Kind] = {}
        self.all = Kind(ALL, "")

    def gather(self, dataset: Dataset) -> Iterator[None]:
        """Take in all findings; yields now and then, so that other requests come first."""
        for number, found in enumerate(dataset.findings(0, MOST)):
            self._take(number, found)
            if number % 2000 == 1999:
                yield
        for kind in (self.all, *self.kinds.values()):
            order = sorted(range(len(kind.rows)), key=kind.rows.__getitem__)
            kind.rows = array("q", [kind.rows[at] for at in order])
            kind.numbers = array("q", [kind.numbers[at] for at in order])
            yield

    def _take(self, number: int, found: Finding) -> None:
        kind = self.kinds.get(found.kind)
        if kind is None:
            kind = self.kinds[found.kind] = Kind(found.kind, found.level)
        elif LEVELS.index(found.level) < LEVELS.index(kind.level):
            kind.level = found.level
        for each in (kind, self.all):
            each.rows.append(found.row)
            each.numbers.append(number)

    def kind(self, name: str) -> Kind | None:
        """The kind of that name, or all of them."""
        return self.all if name == ALL else self.kinds.get(name)

"""What is known of every row while rows are collected: a few bytes for each.

Two million rows take some hundred megabytes here; the rows themselves are written down as they come
and read again only where two of them are to be compared.
"""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

import msgspec

from qtui.errors import InputError
from qtui.runs.dataset import Part
from qtui.stages.data.refining.refine import Batch, Refined
from qtui.stages.data.rows import Findings
from qtui.stages.data.store import RecordWriter


class RowTable:
    """The rows that were read so far, in order.

    `parts` has a `Part` for each, `keys` 16 bytes for what it says, `groups` 8 bytes for the
    document or group it belongs to (zero: none), `pinned` a byte, 1 for a row of `data.keep_rows`,
    `entries` the entry of `input_path` it came from. `company` is, once rows were compared, the
    first of the near duplicates that each one belongs to (itself: none). `matched` are the keys of
    `data.drop_rows` and `data.keep_rows` that rows have. The rest are sums over all rows.
    """

    def __init__(self, writer: RecordWriter, findings: Findings) -> None:
        self.findings = findings
        self.parts = bytearray()
        self.keys = bytearray()
        self.groups = bytearray()
        self.pinned = bytearray()
        self.entries = array("h")
        self.company: Any = None
        self.done: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.read_of: Counter[Part] = Counter()
        self.bad_of: Counter[Part] = Counter()
        self.usable_of: Counter[Part] = Counter()
        self.left_out_of: Counter[tuple[Part, str]] = Counter()
        self.matched: set[str] = set()
        self.sources: list[tuple[str, int]] = []
        self.conversations = False
        self.near_duplicates = 0
        self.augmented = 0
        self._writer = writer

    def take(self, batch: Batch, refined: Refined, part: Part, entry: int) -> None:
        """Write down a refined batch; its usable rows are of `part`, from here on.

        Raises InputError when an `on_…: fail` found something in it.
        """
        base = self._writer.count
        count = len(refined.lengths)
        if self.sources and self.sources[-1][0] == batch.source:
            self.sources[-1] = (batch.source, self.sources[-1][1] + count)
        else:
            self.sources.append((batch.source, count))
        at = 0
        for length in refined.lengths:
            self._writer.add(refined.rows[at : at + length])
            at += length
        parts = bytearray(refined.parts)
        if part is not Part.TRAIN:
            parts = parts.replace(bytes([Part.TRAIN]), bytes([part]))
        self.parts += parts
        self.keys += refined.keys
        self.groups += refined.groups
        self.pinned += refined.pinned
        self.entries.extend([entry] * count)
        for finding in refined.findings:
            row = base + finding.row if finding.row >= 0 else -1
            self.findings.take(msgspec.structs.replace(finding, row=row))
        self.conversations |= refined.conversations
        self.done.update(refined.done)
        self.languages.update(refined.languages)
        self.read_of[part] += count
        self.bad_of[part] += parts.count(Part.UNUSABLE)
        self.usable_of[part] += parts.count(part)
        self.left_out_of.update({(part, kind): n for kind, n in refined.left_out.items()})
        self.matched.update(refined.matched)
        if refined.failure:
            raise InputError(
                f"the data hold what they must not: {refined.failure}",
                remedy="Mend the row, or set the data.on_… setting of this kind to keep or drop.",
            )

"""The first batch as the model gets it: sequences, the rows in each with their borders, labels.

What is shown comes from the batch itself (ids, labels, positions), not from the prepared rows;
where the two differ, that is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec
from textual.content import Content

from qtui.runs.dataset import Batch, BatchRow, StoredTokens
from qtui.screens.data.asked import FirstBatch
from qtui.screens.data.drawing import MUTED, Around
from qtui.screens.data.signs import Signs, Writer
from qtui.screens.data.views import Look, write
from qtui.widgets.marked_text import Laid

IGNORED = -100
KINDS = {
    "packed": "packed: rows end to end in sequences of one length",
    "padding_free": "padding-free: rows end to end, each attended to by itself",
    "padded": "padded: a row in each sequence, filled up to one length",
}


@dataclass(frozen=True)
class Part:
    """A row's place in the batch."""

    sequence: int
    place: BatchRow

    @property
    def length(self) -> int:
        return self.place.end - self.place.start


class BatchView:
    """The batch with a cursor on one of its rows."""

    def __init__(self, first: FirstBatch) -> None:
        self.batch = first.batch
        self._tokens = first.tokens
        self.parts = [
            Part(number, place)
            for number, sequence in enumerate(self.batch.rows if self.batch else ())
            for place in sequence
        ]
        self.at = 0

    @property
    def chosen(self) -> Part | None:
        """The row under the cursor."""
        return self.parts[self.at] if self.parts else None

    def go(self, by: int) -> None:
        """The cursor up or down."""
        self.at = min(max(self.at + by, 0), max(len(self.parts) - 1, 0))

    def head(self, height: int, around: Around) -> list[Content]:
        """What the batch is, and its rows under their sequences: `height` lines."""
        batch = self.batch
        if batch is None:
            return []
        lines = [Content.assemble((" First batch ", "bold"), KINDS[batch.kind]), _whole(batch)]
        # What is listed: a sequence (none, its number), or a row (its number among all, sequence).
        listed: list[tuple[int | None, int]] = []
        for number, sequence in enumerate(batch.rows):
            so_far = len(listed) - number
            listed.append((None, number))
            listed += [(so_far + place, number) for place in range(len(sequence))]
        cursor = next((n for n, (at, _) in enumerate(listed) if at == self.at), 0)
        room = max(height - len(lines), 1)
        first = min(max(cursor - room // 2, 0), max(len(listed) - room, 0))
        lines += [
            _sequence(batch, number, around) if at is None else self._line(at, around)
            for at, number in listed[first : first + room]
        ]
        return lines[:height]

    def _line(self, at: int, around: Around) -> Content:
        assert self.batch is not None
        part = self.parts[at]
        place = part.place
        labels = self.batch.labels[part.sequence][place.start : place.end]
        learnt = sum(label != IGNORED for label in labels)
        marker = around.marker if at == self.at else " "
        notes = self.wrong(part)
        return Content.assemble(
            (f" {marker} row {place.row + 1:,}", "bold" if at == self.at else ""),
            f"  tokens {place.start:,} to {place.end:,}, trained {learnt:,} of {len(labels):,}",
            ("  ! " + notes[0] if notes else "", "$warning"),
        )

    def wrong(self, part: Part) -> list[str]:
        """In what the batch differs from the row that was prepared."""
        batch, place = self.batch, part.place
        assert batch is not None
        tokens = self._tokens.get(place.row)
        ids = batch.input_ids[part.sequence][place.start : place.end]
        said = []
        if tokens is None:
            said.append("no such row was prepared")
        elif list(tokens.token_ids()[: len(ids)]) != ids:
            said.append("its ids are not those that were prepared")
        if batch.position_ids is not None and ids:
            positions = batch.position_ids[part.sequence][place.start : place.end]
            if positions != list(range(len(ids))):
                said.append(f"its positions begin at {positions[0]:,} and are not counted anew")
        return said

    def text(self, width: int, *, visible: bool, ids: bool, unicode: bool) -> Laid:
        """The row under the cursor as the batch has it: what is learnt follows from the labels."""
        writer = Writer(Signs(unicode, visible))
        part, batch = self.chosen, self.batch
        if batch is None or part is None:
            writer.line("The batch has no rows.", MUTED)
            return writer.pen.lay_out(width)
        for sentence in self.wrong(part):
            writer.line(f"! {sentence}", "bold $warning")
        place = part.place
        labels = batch.labels[part.sequence][place.start : place.end]
        tokens = self._tokens.get(place.row)
        if tokens is None:
            numbers = batch.input_ids[part.sequence][place.start : place.end]
            writer.own(" ".join(map(str, numbers)))
            return writer.pen.lay_out(width)
        look = Look("tokens" if ids else "template", visible, ids)
        write(writer, _as_labelled(tokens, labels), look)
        return writer.pen.lay_out(width)

    def foot(self) -> list[Content]:
        """One line about the row under the cursor."""
        part = self.chosen
        if part is None:
            return [Content("")]
        return [Content.styled(f" row {part.place.row + 1:,} as it stands in sequence "
                               f"{part.sequence + 1}; enter: go to the row", MUTED)]  # fmt: skip


def _whole(batch: Batch) -> Content:
    sequences = len(batch.rows)
    learnt = sum(label != IGNORED for sequence in batch.labels for label in sequence)
    cells = max(sequences * batch.length, 1)
    filled = sum(place.end - place.start for sequence in batch.rows for place in sequence)
    return Content.styled(
        f" {sequences} sequence{'s' if sequences != 1 else ''} of {batch.length:,} tokens, "
        f"{sum(map(len, batch.rows)):,} rows, trained {learnt / cells:.0%}, "
        f"padding {1 - filled / cells:.0%}",
        MUTED,
    )


def _sequence(batch: Batch, number: int, around: Around) -> Content:
    """A sequence as a bar: learnt, not learnt, padding, and the borders between its rows."""
    text = f" sequence {number + 1} "
    room = max(around.width - len(text) - 2, 1)
    return Content.assemble((text, "bold"), (bar(batch, number, room, around.unicode), "$accent"))


def bar(batch: Batch, number: int, width: int, unicode: bool) -> str:
    """Sequence `number` in at most `width` cells; each stands for the most of its tokens. Borders
    have cells of their own; where there are very many rows, there are none."""
    learnt, not_learnt, padding, border = "█▒·│" if unicode else "#=.|"
    labels, rows = batch.labels[number], batch.rows[number]
    starts = [place.start for place in rows if place.start]
    shown = len(starts) * 4 <= width
    cells = max(min(width - len(starts) if shown else width, batch.length), 1)
    edges = [round(at * batch.length / cells) for at in range(cells + 1)]
    drawn = []
    for first, last in pairwise(edges):
        if shown and any(first <= start < last for start in starts):
            drawn.append(border)
        count = max(last - first, 1)
        filled = sum(max(min(place.end, last) - max(place.start, first), 0) for place in rows)
        trained = sum(label != IGNORED for label in labels[first:last])
        if filled * 2 < count:
            drawn.append(padding)
        else:
            drawn.append(learnt if trained * 2 >= count else not_learnt)
    return "".join(drawn)


def _as_labelled(tokens: StoredTokens, labels: Sequence[int]) -> StoredTokens:
    """The tokens of a row as a batch has them: cut to its labels, learnt where these say so."""
    ends = tokens.token_ends()
    trained: list[tuple[int, int]] = []
    start = 0
    for label, end in zip(labels, ends, strict=False):
        if label != IGNORED:
            if trained and trained[-1][1] == start:
                trained[-1] = (trained[-1][0], end)
            else:
                trained.append((start, end))
        start = end
    learnt = sum(label != IGNORED for label in labels)
    return msgspec.structs.replace(
        tokens, trained=trained, kept=min(len(labels), len(ends)), trained_tokens=learnt
    )

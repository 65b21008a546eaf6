"""What becomes of rows in view of each other: copies fall away, mixtures are made, parts are split.

Everything here looks at the `RowTable`; the text of a row is read only where it is compared with
another, told of, or varied.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from qtui.config.models import DataConfig
from qtui.errors import InputError
from qtui.runs.dataset import ROWS, Level, Part, StoredRow
from qtui.runs.records import Records
from qtui.stages.data.collected import Progress, decoded, row_from
from qtui.stages.data.refining.refine import compared, encoded
from qtui.stages.data.relating import augment as augmenting
from qtui.stages.data.relating import duplicates, mix
from qtui.stages.data.relating.row_table import RowTable
from qtui.stages.data.relating.split import assign, together
from qtui.stages.data.store import RecordWriter
from qtui.terminal import clean_line


def compare(
    table: RowTable,
    config: DataConfig,
    near: duplicates.NearDuplicates,
    folder: Path,
    progress: Progress,
    stopped: Callable[[], bool],
) -> None:
    """Find equal and nearly equal rows; drop what the settings say."""
    records = Records(folder / ROWS)
    try:
        parts = np.frombuffer(table.parts, dtype=np.uint8)
        used = parts < Part.UNUSABLE
        first = duplicates.first_of(table.keys, skip=~used)
        _drop_equal(table, config, records, first)
        progress("compare", 0, len(table.parts), "rows")
        pinned = np.frombuffer(table.pinned, dtype=np.bool_)
        found = near.find(
            lambda number: compared(row_from(decoded(records[number]))),
            # A copy that is kept is a copy; it need not be found a second time.
            skip=(parts >= Part.UNUSABLE) | (first != np.arange(len(first))),
            held=len(parts) - table.read_of[Part.TRAIN],  # they were read first
            stays=pinned if config.on_near_duplicate == "drop" else None,
            progress=lambda done, total: progress("compare", done, total, "rows"),
            stopped=stopped,
        )
        table.company = found.company
        _drop_near(table, config, records, found)
        _drop_copies(table, config, records, first, found)
    finally:
        records.close()


def _place(records: Records, number: int) -> tuple[str, int]:
    row = decoded(records[number])
    return row.source, row.line


def _drop_equal(table: RowTable, config: DataConfig, records: Records, first: Any) -> None:
    for number in np.flatnonzero(first != np.arange(len(first))):
        _duplicate(table, config, records, int(number), int(first[number]), None)


def _drop_near(
    table: RowTable, config: DataConfig, records: Records, found: duplicates.NearGroups
) -> None:
    for number in np.flatnonzero(found.first != np.arange(len(found.first))):
        table.near_duplicates += 1
        similarity = found.similarity(int(number))
        _duplicate(table, config, records, int(number), int(found.first[number]), similarity)


def _drop_copies(
    table: RowTable, config: DataConfig, records: Records, first: Any, found: duplicates.NearGroups
) -> None:
    """What becomes of a row becomes of its copies that were kept: they say the same."""
    repeats = found.first[first]
    copies = (first != np.arange(len(first))) & (repeats != first)
    for number in np.flatnonzero(copies):
        if table.parts[number] >= Part.UNUSABLE:
            continue
        other = int(repeats[number])
        _, verdict, _ = _verdict(table, config, int(number), other, near=True)
        if verdict != "keep":
            similarity = found.similarity(int(first[number]))
            _duplicate(table, config, records, int(number), other, similarity)


def _verdict(
    table: RowTable, config: DataConfig, number: int, first: int, *, near: bool
) -> tuple[str, str, str]:
    """What a row that repeats another is called, what becomes of it, and which setting says so."""
    if table.parts[number] == Part.TRAIN and table.parts[first] in (Part.VALIDATION, Part.TEST):
        return "leak", config.on_leakage, "on_leakage"
    if near:
        return "near-duplicate", config.on_near_duplicate, "on_near_duplicate"
    return "duplicate", config.on_duplicate, "on_duplicate"


def _duplicate(
    table: RowTable,
    config: DataConfig,
    records: Records,
    number: int,
    first: int,
    similarity: float | None,
) -> None:
    """One row that says what an earlier one says; whether it goes depends on where that stands."""
    near = similarity is not None
    kind, verdict, setting = _verdict(table, config, number, first, near=near)
    pinned = bool(table.pinned[number])
    drop = verdict == "drop" and not pinned
    if table.findings.wanted(kind) or verdict == "fail":
        source, line = _place(records, number)
        where, at = _place(records, first)
        what = "says the same as" if similarity is None else f"is {similarity:.0%} the same as"
        held = Part(table.parts[first]).name.lower()
        among = f" of the {held} rows" if kind == "leak" else ""
        message = f"{what} {clean_line(where)}:{at}{among}{'; not used' if drop else ''}"
        if verdict == "fail" and not pinned:
            raise InputError(
                f"the data hold what they must not: {clean_line(source)}:{line} {message}",
                remedy=f"Remove one of the two, or set data.{setting} to keep or drop.",
            )
        level: Level = "note" if kind == "duplicate" and drop else "warning"
        table.findings.add(level, kind, message, source, line, number)
    else:
        table.findings.count("warning", kind, 1)
    if drop:
        table.parts[number] = Part.DUPLICATE


# ---- mixed and split ----------------------------------------------------------------------------


def choose(table: RowTable, config: DataConfig, seed: int) -> list[str]:
    """Leave out the rows that the settings do not want; returns sentences on it."""
    parts = np.frombuffer(table.parts, dtype=np.uint8)
    chosen = mix.choose(
        np.frombuffer(table.entries, dtype=np.int16),
        np.frombuffer(table.keys, dtype=np.uint8).reshape(-1, 16),
        parts == Part.TRAIN,
        weights=config.weights,
        cap=config.max_rows_per_source,
        limit=config.max_samples,
        seed=seed,
    )
    for number in np.flatnonzero((parts == Part.TRAIN) & ~chosen.rows):
        table.parts[int(number)] = Part.LEFT_OUT
    return list(chosen.sentences)


def split(table: RowTable, seed: int, *, validation: float, test: float) -> None:
    """Hold out these shares of the training rows."""
    parts = np.frombuffer(table.parts, dtype=np.uint8)
    numbers = np.flatnonzero(parts == Part.TRAIN)
    if not len(numbers) or (validation == 0 and test == 0):
        return
    keys = np.frombuffer(table.keys, dtype=np.uint8).reshape(-1, 16)[numbers]
    groups = _groups(table, numbers)
    assigned = assign(keys, groups, validation=validation, test=test, seed=seed)
    if validation > 0 and Part.VALIDATION not in assigned:
        message = (
            "all rows belong together, as copies or near duplicates of one another or as pieces "
            "of one document or group: none can be held out"
        )
        table.findings.add("warning", "no-validation", message)
    for number, part in zip(numbers.tolist(), assigned.tolist(), strict=True):
        table.parts[number] = part


def _groups(table: RowTable, numbers: Any) -> Any:
    """For each of the rows `numbers` the group it belongs to: rows of a document, of a value of
    group_by, and rows of a company of near duplicates never stand on two sides of a split."""
    named = np.frombuffer(table.groups, dtype=np.uint64)[numbers]
    _, index = np.unique(named, return_inverse=True)
    return together(np.where(named == 0, -1, index), table.company[numbers])


def augment(
    table: RowTable, config: DataConfig, writer: RecordWriter, folder: Path, seed: int
) -> list[str]:
    """Add variations of training rows behind all others; says so if they are fewer than wanted."""
    share = config.augment_share
    if share == 0:
        return []
    own = config.augment_templates
    drop, keep = frozenset(config.drop_rows), frozenset(config.keep_rows)
    records = Records(folder / ROWS)
    try:
        trained = [number for number, part in enumerate(table.parts) if part == Part.TRAIN]
        varied = np.array([n for n in trained if _may_vary(decoded(records[n]), bool(own))], int)
        wanted = augmenting.wanted(share, len(trained))
        keys = np.frombuffer(bytes(table.keys), dtype=np.uint8).reshape(-1, 16)
        times = augmenting.drawn(
            keys[varied],
            share=share,
            train_rows=len(trained),
            templates=len(own or augmenting.TEMPLATES),
            seed=seed,
        )
        chosen = zip(varied.tolist(), times.tolist(), strict=True)
        made = augmenting.variations(
            (
                (number, row_from(stored), stored.language, count)
                for number, count in chosen
                if count and (stored := decoded(records[number]))
            ),
            templates=own,
            seed=seed,
            known=keys,
        )
        for number, row, done in made:
            name = row.key()[:8].hex()
            if name in drop:
                table.matched.add(name)
                wanted -= 1
                continue
            original = decoded(records[number])
            stored = msgspec.structs.replace(
                original,
                key=name,
                messages=list(row.messages),
                done=[*original.done, done],
                derived=number,
            )
            writer.add(encoded(stored))
            table.parts.append(Part.TRAIN)
            table.keys += row.key()
            table.pinned.append(name in keep)
            if table.pinned[-1]:
                table.matched.add(name)
            table.augmented += 1
    finally:
        records.close()
    if table.augmented >= wanted:
        return []
    what = "conversations without tools" if own else "conversations in English without tools"
    each = len(own or augmenting.TEMPLATES)
    ways = f", each in {each} wording{'s' if each > 1 else ''}" if len(varied) else ""
    return [
        f"augment_share: {table.augmented} of {wanted} wanted variations were made: "
        f"{len(varied)} of {len(trained)} training rows can be varied ({what}){ways}"
    ]


def _may_vary(stored: StoredRow, own_templates: bool) -> bool:
    return augmenting.may_vary(row_from(stored), stored.language, own_templates=own_templates)


def name_unmatched(table: RowTable, config: DataConfig) -> None:
    """Say which keys of `drop_rows` and `keep_rows` are those of no row, and of no variation."""
    for setting, keys in (("drop_rows", config.drop_rows), ("keep_rows", config.keep_rows)):
        missing = [key for key in dict.fromkeys(keys) if key not in table.matched]
        if missing:
            more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
            message = f"data.{setting} names what no row that was read has: "
            message += ", ".join(missing[:10]) + more
            table.findings.add("warning", "unmatched-key", message)

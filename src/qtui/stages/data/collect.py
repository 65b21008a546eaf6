"""All rows of all sources, each with what becomes of it: the first stage of a preparation.

Sources are read row by row, refined on all cores, written down, and only then compared: by a few
bytes for each row, so that two million rows fit in memory as two thousand do. A row that cannot be
used is a finding with its place, and is kept with its reason; the rest goes on. Only when the share
of such rows exceeds `data.max_bad_rows` is the whole refused, with the first of them named.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from qtui.config.models import DataConfig
from qtui.errors import InputError, StoppedError
from qtui.runs.dataset import FINDINGS, ROWS, Level, Part, StoredRow
from qtui.runs.records import Records
from qtui.stages.data import augment, duplicates, mix, row_pool
from qtui.stages.data.collected import Collected, Progress, decoded, row_from
from qtui.stages.data.document_cache import DocumentCache
from qtui.stages.data.documents import Documents
from qtui.stages.data.read import Reading
from qtui.stages.data.refine import Batch, Refined, compared, encoded
from qtui.stages.data.render import NO_MASK
from qtui.stages.data.rows import Findings
from qtui.stages.data.sketches import Bands
from qtui.stages.data.sources import Source, locate
from qtui.stages.data.split import assign, together
from qtui.stages.data.store import RecordWriter
from qtui.terminal import clean_line

_FEW = 20_000
"""Rows up to which `data.max_samples` is exact in what is read, and not only in what is used."""


@dataclass(frozen=True)
class Inputs:
    """Where rows are read: to train on, and files of their own to evaluate on."""

    train: list[Source]
    validation: list[Source]
    test: list[Source]

    def all(self) -> list[Source]:
        """In the order of reading: what is held out comes first, so that it wins."""
        return [*self.test, *self.validation, *self.train]


def inputs(config: DataConfig, findings: Findings) -> Inputs:
    """Find what the run file names. Raises NotFoundError or InputError for what cannot be read."""
    validation = config.validation_path or _builtin_validation(config)
    return Inputs(
        train=locate(config.input_path, config, findings),
        validation=_held(validation, config, findings, "validation"),
        test=_held(config.test_path, config, findings, "test"),
    )


def _held(path: str | None, config: DataConfig, findings: Findings, split: str) -> list[Source]:
    return [] if path is None else locate(path, config, findings, split=split)


def collect(
    config: DataConfig,
    sources: Inputs,
    findings: Findings,
    folder: Path,
    *,
    seed: int,
    cache: DocumentCache,
    tokenizer_file: Path | None = None,
    progress: Progress = lambda what, done, total, unit: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Collected:
    """Read, refine, compare, mix and split all rows into `folder`, which is there and empty.

    The split depends on the seed and on what the rows say, never on their order. `tokenizer_file`
    is the run's tokenizer.json, for `splitter: token`; `cache` has texts of documents that were
    read before. Raises InputError when a source is missing or is something
    else, when no usable row is left, when more than `max_bad_rows` of the rows are unusable, or
    when an `on_…: fail` found something; StoppedError when `stopped()`.
    """
    reads = (
        (Part.TEST, sources.test),
        (Part.VALIDATION, sources.validation),
        (Part.TRAIN, sources.train),
    )
    bands = Bands.for_threshold(config.near_duplicate_threshold)
    with RecordWriter(folder / FINDINGS) as sink, RecordWriter(folder / ROWS) as writer:
        for finding in findings.kept:
            sink.add(msgspec.json.encode(finding) + b"\n")
        findings.sink = sink.add
        count = row_pool.processes(config)
        with (
            Documents(
                sources.all(), config, processes=count, cache=cache, tokenizer_file=tokenizer_file
            ) as documents,
            duplicates.NearDuplicates(folder, bands, config.near_duplicate_threshold) as near,
        ):
            state = _State(config, findings, writer, near, bands, stopped)
            for part, these in reads:
                state.read(Reading(these, config, documents, progress), part, count)
                _refuse(state.bad_of[part], state.read_of[part], findings, config)
                if these and not state.usable_of[part]:
                    raise _nothing(part, findings)
            writer.flush()
            _compare(state, near, folder, progress)
        chosen = _mix(state, seed)
        _split(state, config, seed)
        _augment(state, writer, folder, seed)
        collected = Collected(
            rows_path=folder / ROWS,
            parts=state.parts,
            keys=state.keys,
            findings=findings,
            bad=sum(state.bad_of.values()),
            done=state.done,
            languages=state.languages,
            near_duplicates=state.near_duplicates,
            augmented=state.augmented,
            mixed=chosen,
            sources=state.sources,
            conversations=state.conversations,
        )
    findings.sink = None
    if Part.TRAIN not in state.parts:
        raise InputError(
            "every training row also stands among the held-out rows",
            remedy="Give data.validation_path other conversations than data.input_path.",
        )
    return collected


def _builtin_validation(config: DataConfig) -> str | None:
    """A built-in data set brings its own held-out rows (unless evaluation is switched off)."""
    name = config.input_path
    if isinstance(name, str) and name.startswith("builtin:") and config.validation_split > 0:
        return name
    return None


class _State:
    """What is known of the rows so far: a few bytes for each."""

    def __init__(
        self,
        config: DataConfig,
        findings: Findings,
        writer: RecordWriter,
        near: duplicates.NearDuplicates,
        bands: Bands,
        stopped: Callable[[], bool],
    ) -> None:
        self.config = config
        self.findings = findings
        self.parts = bytearray()
        self.keys = bytearray()
        self.groups = bytearray()
        self.pinned = bytearray()
        self.entries = array("h")
        self.done: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.read_of: Counter[Part] = Counter()
        self.bad_of: Counter[Part] = Counter()
        self.usable_of: Counter[Part] = Counter()
        self.near_duplicates = 0
        self.augmented = 0
        self.near_first: Any = None
        self.sources: list[tuple[str, int]] = []
        self.conversations = False
        self.stopped = stopped
        self._writer = writer
        self._near = near
        self._bands = bands

    def read(self, reading: Reading, part: Part, processes: int) -> None:
        """Read and refine the rows of one part."""
        limit = self.config.max_samples if part is Part.TRAIN else None
        if limit is not None and limit <= _FEW:
            processes = 1  # one batch after another: none is read that is not wanted

        def room() -> int:
            return row_pool.ROWS_A_BATCH if limit is None else limit - self.usable_of[part]

        batches = reading.batches(room)
        for batch, refined in row_pool.refined(batches, self.config, self._bands, processes):
            if self.stopped():
                raise StoppedError("stopped while the data were read")
            self._take(batch, refined, part, reading.entry_of(batch.source))
        for finding in reading.left():
            self.findings.take(finding)

    def _take(self, batch: Batch, refined: Refined, part: Part, entry: int) -> None:
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
        self._near.add(refined.sketches)
        for finding in refined.findings:
            row = base + finding.row if finding.row >= 0 else -1
            self.findings.take(msgspec.structs.replace(finding, row=row))
        self.conversations |= refined.conversations
        self.done.update(refined.done)
        self.languages.update(refined.languages)
        self.read_of[part] += count
        self.bad_of[part] += parts.count(Part.UNUSABLE)
        self.usable_of[part] += parts.count(part)
        if refined.failure:
            raise InputError(
                f"the data hold what they must not: {refined.failure}",
                remedy="Mend the row, or set the data.on_… setting of this kind to keep or drop.",
            )


# ---- rows compared ------------------------------------------------------------------------------


def _compare(
    state: _State, near: duplicates.NearDuplicates, folder: Path, progress: Progress
) -> None:
    """Find equal and nearly equal rows; drop what the settings say."""
    import numpy as np

    records = Records(folder / ROWS)
    try:
        parts = np.frombuffer(state.parts, dtype=np.uint8)
        used = parts < Part.UNUSABLE
        first = duplicates.first_of(state.keys, skip=~used)
        _drop_equal(state, records, first)
        progress("compare", 0, len(state.parts), "rows")
        found = near.find(
            lambda number: compared(row_from(decoded(records[number]))),
            # A copy that is kept is a copy; it need not be found a second time.
            skip=(parts >= Part.UNUSABLE) | (first != np.arange(len(first))),
            progress=lambda done, total: progress("compare", done, total, "rows"),
            stopped=state.stopped,
        )
        state.near_first = found.first
        _drop_near(state, records, found)
    finally:
        records.close()


def _place(records: Records, number: int) -> tuple[str, int]:
    row = decoded(records[number])
    return row.source, row.line


def _drop_equal(state: _State, records: Records, first: Any) -> None:
    import numpy as np

    for number in np.flatnonzero(first != np.arange(len(first))):
        _duplicate(state, records, int(number), int(first[number]), None)


def _drop_near(state: _State, records: Records, found: duplicates.NearGroups) -> None:
    import numpy as np

    for number in np.flatnonzero(found.first != np.arange(len(found.first))):
        state.near_duplicates += 1
        similarity = found.similarity(int(number))
        _duplicate(state, records, int(number), int(found.first[number]), similarity)


def _duplicate(
    state: _State, records: Records, number: int, first: int, similarity: float | None
) -> None:
    """One row that says what an earlier one says; whether it goes depends on where that stands."""
    config = state.config
    part, other = Part(state.parts[number]), Part(state.parts[first])
    leak = part is Part.TRAIN and other in (Part.VALIDATION, Part.TEST)
    if leak:
        kind, verdict, setting = "leak", config.on_leakage, "on_leakage"
    elif similarity is None:
        kind, verdict, setting = "duplicate", config.on_duplicate, "on_duplicate"
    else:
        kind, verdict, setting = "near-duplicate", config.on_near_duplicate, "on_near_duplicate"
    pinned = bool(state.pinned[number])
    drop = verdict == "drop" and not pinned
    if state.findings.wanted(kind) or verdict == "fail":
        source, line = _place(records, number)
        where, at = _place(records, first)
        what = "says the same as" if similarity is None else f"is {similarity:.0%} the same as"
        among = f" of the {other.name.lower()} rows" if leak else ""
        message = f"{what} {clean_line(where)}:{at}{among}{'; not used' if drop else ''}"
        if verdict == "fail" and not pinned:
            raise InputError(
                f"the data hold what they must not: {clean_line(source)}:{line} {message}",
                remedy=f"Remove one of the two, or set data.{setting} to keep or drop.",
            )
        level: Level = "note" if kind == "duplicate" and drop else "warning"
        state.findings.add(level, kind, message, source, line, number)
    else:
        state.findings.count("warning", kind, 1)
    if drop:
        state.parts[number] = Part.DUPLICATE


# ---- mixed and split ----------------------------------------------------------------------------


def _mix(state: _State, seed: int) -> list[str]:
    """Leave out the rows that the settings do not want; returns sentences on it."""
    import numpy as np

    config = state.config
    parts = np.frombuffer(state.parts, dtype=np.uint8)
    chosen = mix.choose(
        np.frombuffer(state.entries, dtype=np.int16),
        np.frombuffer(state.keys, dtype=np.uint8).reshape(-1, 16),
        parts == Part.TRAIN,
        weights=config.weights,
        cap=config.max_rows_per_source,
        limit=config.max_samples,
        seed=seed,
    )
    for number in np.flatnonzero((parts == Part.TRAIN) & ~chosen.rows):
        state.parts[int(number)] = Part.LEFT_OUT
    return list(chosen.sentences)


def _split(state: _State, config: DataConfig, seed: int) -> None:
    """Hold out rows where no file of their own was given for that."""
    import numpy as np

    validation = 0.0 if Part.VALIDATION in state.parts else config.validation_split
    test = 0.0 if Part.TEST in state.parts else config.test_split
    if config.validation_path or _builtin_validation(config):
        validation = 0.0
    parts = np.frombuffer(state.parts, dtype=np.uint8)
    numbers = np.flatnonzero(parts == Part.TRAIN)
    if not len(numbers) or (validation == 0 and test == 0):
        return
    keys = np.frombuffer(state.keys, dtype=np.uint8).reshape(-1, 16)[numbers]
    groups = _groups(state, numbers)
    assigned = assign(keys, groups, validation=validation, test=test, seed=seed)
    if validation > 0 and Part.VALIDATION not in assigned:
        message = "one conversation or document only: none can be held out"
        state.findings.add("warning", "no-validation", message)
    for number, part in zip(numbers.tolist(), assigned.tolist(), strict=True):
        state.parts[number] = part


def _groups(state: _State, numbers: Any) -> Any:
    """For each of the rows `numbers` the group it belongs to: rows of a document, of a value of
    group_by, and near duplicates never stand on two sides of a split."""
    import numpy as np

    named = np.frombuffer(state.groups, dtype=np.uint64)[numbers]
    _, index = np.unique(named, return_inverse=True)
    return together(np.where(named == 0, -1, index), state.near_first[numbers])


def _augment(state: _State, writer: RecordWriter, folder: Path, seed: int) -> None:
    """Add variations of training rows behind all others."""
    share = state.config.augment_share
    if share == 0:
        return
    import numpy as np

    own = state.config.augment_templates
    records = Records(folder / ROWS)
    try:
        trained = [number for number, part in enumerate(state.parts) if part == Part.TRAIN]
        varied = np.array([n for n in trained if _may_vary(decoded(records[n]), bool(own))], int)
        keys = np.frombuffer(bytes(state.keys), dtype=np.uint8).reshape(-1, 16)
        times = augment.drawn(
            keys[varied],
            share=share,
            train_rows=len(trained),
            templates=len(own or augment.TEMPLATES),
            seed=seed,
        )
        chosen = zip(varied.tolist(), times.tolist(), strict=True)
        made = augment.variations(
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
            original = decoded(records[number])
            stored = msgspec.structs.replace(
                original,
                key=row.key()[:8].hex(),
                messages=list(row.messages),
                done=[*original.done, done],
                derived=number,
            )
            writer.add(encoded(stored))
            state.parts.append(Part.TRAIN)
            state.keys += row.key()
            state.augmented += 1
    finally:
        records.close()


def _may_vary(stored: StoredRow, own_templates: bool) -> bool:
    return augment.may_vary(row_from(stored), stored.language, own_templates=own_templates)


# ---- refusals -----------------------------------------------------------------------------------


def refuse_bad(collected: Collected, config: DataConfig) -> None:
    """Raise InputError when more than `max_bad_rows` of all rows cannot be used."""
    _refuse(collected.bad, collected.read, collected.findings, config)


def _refuse(bad: int, read: int, findings: Findings, config: DataConfig) -> None:
    if read == 0 or bad / read <= config.max_bad_rows:
        return
    shown = findings.errors()
    lines = [f"  {finding}" for finding in shown[:5]]
    more = bad - len(lines)
    if more > 0:
        lines.append(f"  and {more} more")
    raise InputError(
        f"{bad} of {read} rows ({bad / read:.1%}) cannot be used; "
        f"data.max_bad_rows allows {config.max_bad_rows:.1%}:\n" + "\n".join(lines),
        remedy=NO_MASK
        if findings.counts["mask"] > bad / 2
        else "Mend or remove these rows, or raise data.max_bad_rows to go on without them.",
    )


def _nothing(part: Part, findings: Findings) -> InputError:
    if part is not Part.TRAIN:
        name = part.name.lower()
        return InputError(
            f"data.{name}_path has no usable row",
            remedy=f"Correct it, or remove it to hold out data.{name}_split of the rows.",
        )
    errors = findings.errors()
    if not errors:
        return InputError(
            "there are no rows in data.input_path",
            remedy="Look at data.input_path and at the rows in it.",
        )
    return InputError(
        "no usable row was found:\n" + "\n".join(f"  {error}" for error in errors[:5]),
        remedy="Look at data.input_path and at the rows in it.",
    )

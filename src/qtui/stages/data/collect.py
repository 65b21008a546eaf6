"""All rows of all sources, each with what becomes of it: the first stage of a preparation.

Sources are read row by row, refined on all cores, written down, and only then compared: by a few
bytes for each row, so that two million rows fit in memory as two thousand do. A row that cannot be
used is a finding with its place, and is kept with its reason; the rest goes on. Only when the share
of such rows exceeds `data.max_bad_rows` is the whole refused, with the first of them named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from qtui.config.models import DataConfig
from qtui.errors import InputError, StoppedError
from qtui.runs.dataset import FINDINGS, ROWS, Part
from qtui.stages.data.collected import Collected, Progress
from qtui.stages.data.documents.document_cache import DocumentCache
from qtui.stages.data.documents.documents import Documents
from qtui.stages.data.encoding.render import NO_MASK
from qtui.stages.data.reading.read import Reading, size_of
from qtui.stages.data.reading.sources import Source, locate
from qtui.stages.data.refining import row_pool
from qtui.stages.data.relating import duplicates, relate
from qtui.stages.data.relating.row_table import RowTable
from qtui.stages.data.relating.sketches import Bands
from qtui.stages.data.relating.wanted import Wanted
from qtui.stages.data.rows import Findings
from qtui.stages.data.store import RecordWriter


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
            table = RowTable(writer, findings)
            total, before = sum(map(size_of, sources.all())), 0
            for part, these in reads:
                # Files that are held out are not split: their rows need no group.
                no_group = {"group_by": None, "split_by": "auto"}
                own = config if part is Part.TRAIN else config.model_copy(update=no_group)
                wanted = Wanted(own, table, part)
                for alike in wanted.together(these):
                    reading = Reading(alike, own, documents, progress, before=before, total=total)
                    _read(reading, table, part, own, near, bands, wanted, stopped)
                    before += sum(map(size_of, alike))
                _refuse(table.bad_of[part], table.read_of[part], findings, config)
                if these and not table.usable_of[part]:
                    raise _nothing(part, table)
            writer.flush()
            relate.compare(table, config, near, folder, progress, stopped)
        said = wanted.said()
        said += relate.choose(table, config, seed)
        relate.split(
            table,
            seed,
            validation=0.0 if sources.validation else config.validation_split,
            test=0.0 if sources.test else config.test_split,
        )
        said += relate.augment(table, config, writer, folder, seed)
        relate.name_unmatched(table, config)
        collected = Collected(
            rows_path=folder / ROWS,
            parts=table.parts,
            keys=table.keys,
            findings=findings,
            bad=sum(table.bad_of.values()),
            done=table.done,
            languages=table.languages,
            near_duplicates=table.near_duplicates,
            augmented=table.augmented,
            mixed=said,
            sources=table.sources,
            conversations=table.conversations,
            pinned=frozenset(n for n, pinned in enumerate(table.pinned) if pinned),
        )
    findings.sink = None
    if Part.TRAIN not in table.parts:
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


def _read(
    reading: Reading,
    table: RowTable,
    part: Part,
    config: DataConfig,
    near: duplicates.NearDuplicates,
    bands: Bands,
    wanted: Wanted,
    stopped: Callable[[], bool],
) -> None:
    """Read and refine rows of one part, as many as are wanted."""
    # One batch after another where none may be read that is not wanted.
    processes = 1 if wanted.exact else row_pool.processes(config)
    wanted.begin()
    for batch, refined in row_pool.refined(reading.batches(wanted.room), config, bands, processes):
        if stopped():
            raise StoppedError("stopped while the data were read")
        near.add(refined.sketches)
        table.take(batch, refined, part, reading.entry_of(batch.source))
        wanted.count()
    for finding in reading.left():
        table.findings.take(finding)


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


_SETTINGS = {
    "thumbs-down": "preference_rows",
    "drop-rows": "drop_rows",
    **{f"pii-{kind}": "on_pii" for kind in DataConfig().pii_kinds},
}
"""Settings that leave rows out, where their names are not those of the findings."""


def _nothing(part: Part, table: RowTable) -> InputError:
    """Why there is no row to go on with."""
    path = f"data.{'input' if part is Part.TRAIN else part.name.lower()}_path"
    remedy = f"Look at {path} and at the rows in it."
    if part is not Part.TRAIN:
        remedy = f"Correct it, or remove it to hold out data.{part.name.lower()}_split of the rows."
    errors = [f"  {error}" for error in table.findings.errors()[:5]]
    read = table.read_of[part]
    if not read and not errors:
        return InputError(f"there are no rows in {path}", remedy=remedy)
    if not read:
        return InputError("\n".join((f"no row of {path} can be read:", *errors)), remedy=remedy)
    taken: Counter[str] = Counter()
    for (of, kind), count in table.left_out_of.items():
        if of is part:
            setting = _SETTINGS.get(kind, f"on_{kind.replace('-', '_')}")
            taken[f"data.{setting}" if setting in DataConfig.model_fields else kind] += count
    lines = [
        f"  {count} {'was' if count == 1 else 'were'} left out by {setting}"
        for setting, count in taken.most_common()
    ]
    settings = [name for name, _ in taken.most_common() if name.startswith("data.")]
    if settings:
        remedy += f" Or change {' and '.join(settings)}."
    head = f"none of the {read} rows of {path} can be used:"
    return InputError("\n".join((head, *lines, *errors)), remedy=remedy)

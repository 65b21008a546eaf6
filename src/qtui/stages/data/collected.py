"""What the first stage of a preparation hands to the second: all rows, and what becomes of each.

It lies in the run's data folder: `rows.jsonl` with every row that was read, and the folder
`collected/` with a byte and a key for each, the findings so far and a summary. The folder appears
whole or not at all, so that what is there can be taken by a later preparation that differs in
nothing of the first stage.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from qtui.runs.dataset import FINDINGS, PARTS, ROWS, Finding, Level, Part, StoredRow
from qtui.runs.events import Unit
from qtui.runs.records import Records
from qtui.stages.data.rows import Findings, Row

FOLDER = "collected"
SCRATCH = ".collecting"
_SUMMARY = "summary.json"
_KEYS = "rows.keys"

Progress = Callable[[str, int, int, Unit], None]
"""(what, done, total (0: unknown), unit)"""


class _Summary(msgspec.Struct):
    key: str
    counts: dict[str, int]
    levels: dict[str, Level]
    by_source: dict[str, int]
    kept: list[Finding]
    bad: int
    augmented: int
    near_duplicates: int
    done: dict[str, int]
    languages: dict[str, int]
    mixed: list[str]
    sources: list[tuple[str, int]]
    conversations: bool
    pinned: list[int]


@dataclass
class Collected:
    """All rows that were read; `parts` has a `Part` for each, `keys` 16 bytes for what each says.

    `rows_path` is where they lie. `bad` counts those that cannot be used, `done` what cleaning did
    and to how many rows, `mixed` says in sentences what mixing did. `sources` are (name, rows), in
    the order of the rows. `conversations`: not all are plain texts. `pinned` are the numbers of
    rows that `data.keep_rows` names. Rows that were `augmented` stand behind all others.
    """

    rows_path: Path
    parts: bytearray
    keys: bytearray
    findings: Findings
    bad: int = 0
    augmented: int = 0
    near_duplicates: int = 0
    done: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    mixed: list[str] = field(default_factory=list)
    sources: list[tuple[str, int]] = field(default_factory=list)
    conversations: bool = True
    pinned: frozenset[int] = frozenset()

    @property
    def read(self) -> int:
        """Rows that were read, used or not."""
        return len(self.parts) - self.augmented

    def rows(self, *parts: Part) -> Iterator[tuple[int, StoredRow]]:
        """(number, row) of all rows that are used, or of those in `parts`, in order."""
        records = Records(self.rows_path)
        try:
            for number, part in enumerate(self.parts):
                if part in parts if parts else part < Part.UNUSABLE:
                    yield number, decoded(records[number])
        finally:
            records.close()


decoded = msgspec.json.Decoder(StoredRow).decode
"""A row from a line of `rows.jsonl`."""


def row_from(stored: StoredRow) -> Row:
    """A stored row as the stages pass it on."""
    return Row(
        messages=tuple(stored.messages),
        source=stored.source,
        line=stored.line,
        tools=tuple(stored.tools) if stored.tools else None,
        text=stored.text,
        rejected=tuple(stored.rejected) if stored.rejected else None,
        label=stored.label,
        page=stored.page,
        chunk=stored.chunk,
        headings=tuple(stored.headings),
        group=stored.group,
    )


def save(collected: Collected, out: Path, key: str) -> None:
    """Put what lies in the scratch folder of `out` in its place, under `key`."""
    scratch = out / SCRATCH
    for name in (ROWS, f"{ROWS}.index"):
        (scratch / name).replace(out / name)
    collected.rows_path = out / ROWS
    found = collected.findings
    summary = _Summary(
        key=key,
        counts=dict(found.counts),
        levels=found.levels,
        by_source=dict(found.by_source),
        kept=found.kept,
        bad=collected.bad,
        augmented=collected.augmented,
        near_duplicates=collected.near_duplicates,
        done=dict(collected.done),
        languages=dict(collected.languages),
        mixed=collected.mixed,
        sources=collected.sources,
        conversations=collected.conversations,
        pinned=sorted(collected.pinned),
    )
    (scratch / PARTS).write_bytes(collected.parts)
    (scratch / _KEYS).write_bytes(collected.keys)
    (scratch / _SUMMARY).write_bytes(msgspec.json.encode(summary))
    shutil.rmtree(out / FOLDER, ignore_errors=True)
    scratch.rename(out / FOLDER)


def saved_findings(out: Path, key: str) -> dict[str, int] | None:
    """Findings by kind of the rows that were collected in `out` under `key`; None where none were
    under it, or not to the end."""
    try:
        summary = msgspec.json.decode((out / FOLDER / _SUMMARY).read_bytes(), type=_Summary)
    except (OSError, msgspec.MsgspecError):
        return None
    return summary.counts if key and summary.key == key and (out / ROWS).is_file() else None


def load(out: Path) -> Collected:
    """What was collected in `out` (see `saved_findings`)."""
    folder = out / FOLDER
    summary = msgspec.json.decode((folder / _SUMMARY).read_bytes(), type=_Summary)
    findings = Findings(
        counts=Counter(summary.counts),
        levels=summary.levels,
        by_source=Counter(summary.by_source),
        kept=summary.kept,
    )
    return Collected(
        rows_path=out / ROWS,
        parts=bytearray((folder / PARTS).read_bytes()),
        keys=bytearray((folder / _KEYS).read_bytes()),
        findings=findings,
        bad=summary.bad,
        augmented=summary.augmented,
        near_duplicates=summary.near_duplicates,
        done=Counter(summary.done),
        languages=Counter(summary.languages),
        mixed=summary.mixed,
        sources=summary.sources,
        conversations=summary.conversations,
        pinned=frozenset(summary.pinned),
    )


def findings_so_far(out: Path) -> Iterator[bytes]:
    """The findings of the first stage, each as a line of JSON."""
    records = Records(out / FOLDER / FINDINGS)
    try:
        for number in range(records.count):
            yield records[number]
    finally:
        records.close()


def link_from(other: Path, out: Path) -> None:
    """Take what was collected in `other` into `out`, without a copy where the disk allows it."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)
    scratch = out / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for name in (ROWS, f"{ROWS}.index"):
        link(other / name, out / name)
    for file in sorted((other / FOLDER).iterdir()):
        link(file, scratch / file.name)
    scratch.rename(out / FOLDER)


def link(source: Path, target: Path) -> None:
    """A second name for a file that is never changed; a copy where the disk has no such thing."""
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(source, part)
    except OSError:
        shutil.copyfile(source, part)
    part.replace(target)

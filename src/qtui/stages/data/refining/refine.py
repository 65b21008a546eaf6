"""What is done to each row by itself: recognised, cleaned, checked, and made ready to be compared.

The rows of a batch come as they were read and go as they are stored. Nothing here knows of other
rows, so that batches can be refined on all cores (`row_pool`); what compares rows comes after
(`collect`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from qtui.config.models import DataConfig
from qtui.runs.dataset import Finding, Level, Part, StoredRow
from qtui.stages.data.reading.json_values import parse_line
from qtui.stages.data.refining.checks import Checker, weight_issue
from qtui.stages.data.refining.clean import Cleaner
from qtui.stages.data.relating.sketches import Bands, sketch
from qtui.stages.data.rows import Message, Record, Row
from qtui.stages.data.shapes import shapes
from qtui.terminal import clean_line

SHOWN_OF_BROKEN = 2000
_NO_KEY = bytes(16)


class Batch(msgspec.Struct, array_like=True):
    """Rows of one source as they were read: lines of JSON Lines, or values; never both."""

    source: str
    lines: list[tuple[int, bytes]] = []
    """(number from 1, the line as it stands in the file)"""
    records: list[tuple[Any, int, int, int, tuple[str, ...]]] = []
    """(value, line, page, chunk, headings), as in `Record`"""
    lost: list[Finding] = []
    """Rows among these that the reader could not read, each as the finding that says why."""

    def __len__(self) -> int:
        return len(self.lines) + len(self.records)


class Refined(msgspec.Struct, array_like=True):
    """What became of a batch: all rows in order, used or not.

    `rows` are `StoredRow`s as JSON, one a line, one after another, with their `lengths` in bytes;
    `parts` has a byte for each: `Part.TRAIN` where it can be used. `keys` are 16 bytes a row,
    `sketches` 8 bytes for each band of each row; `groups` 8 bytes a row, zero for a row that
    belongs to no document or group; `pinned` a byte a row, 1 for a row of `data.keep_rows`.
    `findings` have the number of the row in the batch. `failure` is what an `on_…: fail` found.
    """

    rows: bytes
    lengths: list[int]
    parts: bytes
    keys: bytes
    sketches: bytes
    groups: bytes
    pinned: bytes
    findings: list[Finding]
    done: dict[str, int]
    languages: dict[str, int]
    conversations: bool = False
    """Whether a row that can be used is more than plain text."""
    failure: str = ""
    left_out: dict[str, int] = {}
    """How many rows cannot be used for which kind of finding, but for those that are errors."""
    matched: list[str] = []
    """The keys of `data.drop_rows` and `data.keep_rows` that rows have."""


@dataclass
class FindingList:
    """Collects the findings of one batch or one file, all of them."""

    found: list[Finding] = field(default_factory=list)
    row: int = -1

    def add(self, level: Level, kind: str, message: str, source: str = "", line: int = 0) -> None:
        """Add one; foreign text is made safe."""
        text = clean_line(message, 400)
        self.found.append(Finding(level, kind, text, clean_line(source), line, self.row))


class Refiner:
    """Refines batches by the settings of one `data` section."""

    def __init__(self, config: DataConfig, bands: Bands | None) -> None:
        self._config = config
        self._clean = Cleaner(config)
        self._check = Checker(config)
        self._bands = bands
        self._drop = frozenset(config.drop_rows)
        self._keep = frozenset(config.keep_rows)

    def __call__(self, batch: Batch) -> Refined:
        """Refine one batch; raises nothing for whatever stands in a row."""
        work = _Work(FindingList())
        for record, raw in self._records(batch, work):
            work.begin_row()
            self._row(record, raw, batch.source, work)
        for finding in batch.lost:
            work.begin_row()
            work.findings.found.append(msgspec.structs.replace(finding, row=work.findings.row))
            work.unusable(batch.source, finding.line, None, finding.message)
        sketches = b""
        if self._bands is not None:
            sketches = sketch(work.texts, self._bands, work.kinds).tobytes()
        return Refined(
            rows=b"".join(work.rows),
            lengths=[len(row) for row in work.rows],
            parts=bytes(work.parts),
            keys=b"".join(work.keys),
            sketches=sketches,
            groups=b"".join(work.groups),
            pinned=bytes(work.pinned),
            findings=work.findings.found,
            done=dict(work.done),
            languages=dict(work.languages),
            conversations=work.conversations,
            failure=work.failure,
            left_out=dict(work.left_out),
            matched=work.matched,
        )

    def _records(self, batch: Batch, work: _Work) -> Iterator[tuple[Record, bytes | None]]:
        for value, line, page, chunk, headings in batch.records:
            yield Record(value, line, page, chunk, tuple(headings)), None
        for number, raw in batch.lines:
            before = len(work.findings.found)
            work.findings.row = len(work.rows)
            records = parse_line(raw, number, batch.source, work.findings)
            if not records:
                told = work.findings.found[before:]
                if told:
                    text = raw[:SHOWN_OF_BROKEN].decode("utf-8", "replace")
                    work.unusable(batch.source, number, text, told[0].message)
                continue
            as_it_stands = raw if len(records) == 1 and len(work.findings.found) == before else None
            for record in records:
                yield record, as_it_stands

    def _row(self, record: Record, raw: bytes | None, source: str, work: _Work) -> None:
        shown = record.value if raw is None else msgspec.Raw(raw.strip())
        try:
            row = shapes.row_of(record, source, self._config)
        except shapes.NotWanted as why:
            work.findings.add("note", why.kind, str(why), source, record.line)
            work.unusable(source, record.line, shown, str(why), Part.LEFT_OUT)
            work.left_out[why.kind] += 1
            return
        except shapes.ShapeError as error:
            work.findings.add("error", error.kind, str(error), source, record.line)
            work.unusable(source, record.line, shown, str(error))
            return
        key = row.key()
        name = key[:8].hex()
        cleaned = self._clean(row)
        checked = self._check(cleaned.row)
        pinned = name in self._keep
        part, why_not = Part.TRAIN, ""
        if pinned or name in self._drop:
            work.matched.append(name)
        if name in self._drop:
            # Nothing that is found in a row that is to go matters any more.
            part, why_not = Part.LEFT_OUT, "data.drop_rows says so"
            work.findings.add("note", "drop-rows", "left out, as data.drop_rows says", source,
                              record.line)  # fmt: skip
            work.left_out["drop-rows"] += 1
        else:
            issues = [*checked.issues]
            weight = weight_issue(record.value)
            if weight is not None:
                issues.append(weight)
            for issue in issues:
                work.findings.add(issue.level, issue.kind, issue.message, source, record.line)
                if issue.verdict == "drop" and not pinned and part is Part.TRAIN:
                    part, why_not = Part.DROPPED, f"{issue.kind}: {issue.message}"
                    work.left_out[issue.kind] += 1
                elif issue.verdict == "fail" and not pinned and not work.failure:
                    work.failure = f"{clean_line(source)}:{record.line}: {issue.message}"
        done = (*cleaned.done, *checked.done)
        final = self._with_system(checked.row)
        stored = StoredRow(
            source=source,
            line=record.line,
            key=name,
            raw=shown,
            messages=list(final.messages),
            text=final.text,
            tools=list(final.tools) if final.tools else None,
            rejected=list(final.rejected) if final.rejected else None,
            label=final.label,
            page=record.page,
            chunk=record.chunk,
            headings=list(record.headings),
            group=row.group,
            before=texts_of(row) if done else None,
            done=list(done),
            error=why_not,
            language=checked.language,
        )
        work.add(stored, part)
        work.conversations |= final.text is None and part is Part.TRAIN
        if final is not row and part is Part.TRAIN:
            key = final.key()
        work.keys.append(key if part is Part.TRAIN else _NO_KEY)
        work.texts.append(compared(final) if part is Part.TRAIN else "")
        work.kinds.append(kind_of(final) if part is Part.TRAIN else 0)
        work.groups.append(self._group(row))
        work.pinned.append(pinned)
        work.done.update(each.partition(":")[0] for each in done)
        if checked.language:
            work.languages[checked.language] += 1

    def _with_system(self, row: Row) -> Row:
        system = self._config.system_prompt
        if not system or not row.messages or row.messages[0]["role"] == "system":
            return row
        first: Message = {"role": "system", "content": system}
        return replace(row, messages=(first, *row.messages))

    def _group(self, row: Row) -> bytes:
        by = self._config.split_by
        if by == "group":
            text = f"group {row.group}"
        elif by == "document" or (by == "auto" and row.chunk):
            text = f"document {row.source}"
        else:
            return bytes(8)
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


@dataclass
class _Work:
    """The batch that is being refined."""

    findings: FindingList
    rows: list[bytes] = field(default_factory=list)
    parts: bytearray = field(default_factory=bytearray)
    keys: list[bytes] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    groups: list[bytes] = field(default_factory=list)
    pinned: bytearray = field(default_factory=bytearray)
    done: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    matched: list[str] = field(default_factory=list)
    conversations: bool = False
    failure: str = ""

    def begin_row(self) -> None:
        self.findings.row = len(self.rows)

    def add(self, stored: StoredRow, part: Part) -> None:
        self.rows.append(encoded(stored))
        self.parts.append(part)

    def unusable(
        self, source: str, line: int, raw: Any, error: str, part: Part = Part.UNUSABLE
    ) -> None:
        self.add(StoredRow(source=source, line=line, raw=raw, error=error), part)
        self.keys.append(_NO_KEY)
        self.texts.append("")
        self.kinds.append(0)
        self.groups.append(bytes(8))
        self.pinned.append(0)


def texts_of(row: Row) -> list[str]:
    """The texts of a row that cleaning may change, in order."""
    if row.text is not None:
        return [row.text]
    return [message["content"] for message in (*row.messages, *(row.rejected or ()))]


def compared(row: Row) -> str:
    """What two rows are compared by: everything that is said but the system text (`kind_of`).

    The functions that are called and their arguments count as words, and so does a worse answer.
    """
    if row.text is not None:
        return row.text
    said = []
    for message in (*row.messages, *(row.rejected or ())):
        if message["role"] != "system":
            said.append(message["content"])
            said += [_as_text(call) for call in message.get("tool_calls") or ()]
    return "\n".join(said)


def kind_of(row: Row) -> int:
    """A 64-bit number for what near duplicates have in common exactly; 0 for a bare conversation.

    These are the system text but for white space, the names of the tools and of the functions that
    are called, in order, the thumb, and whether there is a worse answer. A system text is no part
    of what is `compared`: a long one that all rows share would make them all alike.
    """
    system = [" ".join(m["content"].split()) for m in row.messages if m["role"] == "system"]
    messages = (*row.messages, *(row.rejected or ()))
    called = [_name(call) for m in messages for call in m.get("tool_calls") or ()]
    tools = [_name(tool) for tool in row.tools or ()]
    if not (system or called or tools or row.rejected) and row.label is None:
        return 0
    kind = repr((system, called, tools, row.label, row.rejected is not None))
    digest = hashlib.blake2b(kind.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _as_text(call: dict[str, Any]) -> str:
    try:
        return f"{_name(call)} {call['function'].get('arguments')!r}"
    except RecursionError:  # nested as deep as nothing that is meant
        return _name(call)


def _name(function: dict[str, Any]) -> str:
    """The name of a tool, or of the function that is called."""
    inner = function.get("function")
    return str((inner if isinstance(inner, dict) else function).get("name", ""))


_encoder = msgspec.json.Encoder(enc_hook=lambda value: clean_line(str(value), 200))


def encoded(stored: StoredRow) -> bytes:
    """A row as one line of JSON, whatever its record holds."""
    try:
        return _encoder.encode(stored) + b"\n"
    except (OverflowError, RecursionError, ValueError, msgspec.MsgspecError):
        # A number or a depth that no JSON reader would take: the record is shown as text.
        shown = clean_line(str(stored.raw), SHOWN_OF_BROKEN)
        return _encoder.encode(msgspec.structs.replace(stored, raw=shown)) + b"\n"

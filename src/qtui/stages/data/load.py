"""Reads what `data.input_path` names into conversations, and splits off the held-out ones.

Every source is read row by row; a row that cannot be used is a finding with its place, counted,
and the rest goes on. Only when the share of such rows exceeds `data.max_bad_rows` is the whole
refused, with the first of them named.

A new kind of source (documents, tables) is one more `Source.kind` and one function that yields
`Record`s; everything behind it stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from qtui.config.models import DataConfig
from qtui.errors import InputError, StoppedError
from qtui.stages.data import hub, json_records
from qtui.stages.data.render import NO_MASK
from qtui.stages.data.rows import Findings, Record, Row
from qtui.stages.data.shapes import ShapeError, conversation
from qtui.stages.data.sources import Source, locate
from qtui.stages.data.split import hold_out, remove_shared

_PLACEHOLDER = re.compile(r"\{\{\s*\w+\s*\}\}")
_CHECK_EVERY = 1000


@dataclass
class Loaded:
    """What was read. `read` counts usable and unusable rows, `bad` the unusable ones."""

    train: list[Row]
    validation: list[Row]
    findings: Findings
    read: int
    bad: int
    sources: list[Source] = field(default_factory=list)


@dataclass
class _Count:
    read: int = 0
    bad: int = 0


def load(config: DataConfig, *, seed: int, stopped: Callable[[], bool] = lambda: False) -> Loaded:
    """Read, recognise and split all rows.

    The split depends on the seed and on what the rows say, never on their order. Raises InputError
    when a source is missing or is something else, when no usable row is left, or when more than
    `max_bad_rows` of the rows are unusable; StoppedError when `stopped()`.
    """
    findings = Findings()
    count = _Count()
    sources = locate(config.input_path, config, findings)
    rows = _read(sources, config, findings, count, config.max_samples, stopped)
    _refuse(count.bad, count.read, findings, config)
    if not rows:
        raise InputError(
            _no_rows(findings), remedy="Look at data.input_path and at the rows in it."
        )
    held_path = config.validation_path or _builtin_validation(config)
    if held_path is not None:
        held_sources = locate(held_path, config, findings, split="validation")
        held_count = _Count()
        validation = _read(held_sources, config, findings, held_count, None, stopped)
        _refuse(held_count.bad, held_count.read, findings, config)
        if not validation:
            raise InputError(
                "data.validation_path has no usable row",
                remedy="Correct it, or remove it to hold out data.validation_split of the rows.",
            )
        train = remove_shared(rows, validation, findings)
        sources = [*sources, *held_sources]
        count = _Count(count.read + held_count.read, count.bad + held_count.bad)
    else:
        train, validation = hold_out(rows, config.validation_split, seed, findings)
    if not train:
        raise InputError(
            "every training row also stands among the held-out rows",
            remedy="Give data.validation_path other conversations than data.input_path.",
        )
    return Loaded(train, validation, findings, count.read, count.bad, sources)


def _builtin_validation(config: DataConfig) -> str | None:
    """A built-in data set brings its own held-out rows (unless evaluation is switched off)."""
    name = config.input_path
    if isinstance(name, str) and name.startswith("builtin:") and config.validation_split > 0:
        return name
    return None


def _read(
    sources: list[Source],
    config: DataConfig,
    findings: Findings,
    count: _Count,
    limit: int | None,
    stopped: Callable[[], bool],
) -> list[Row]:
    rows: list[Row] = []
    for source in sources:
        errors_before = findings.counts.copy()
        for record in _records(source, config, findings):
            if len(rows) == limit:
                break
            if len(rows) % _CHECK_EVERY == 0 and stopped():
                raise StoppedError("stopped while the data were read")
            row = _row(record, source.name, config, findings)
            if row is None:
                count.bad += 1
            else:
                rows.append(row)
        unread = _unreadable(findings, errors_before)
        count.bad += unread
        if len(rows) == limit:
            break
    count.read += count.bad + len(rows)
    return rows


# Findings of the reader itself that each stand for one row that is lost.
_LOST = ("broken-json", "invalid-utf8", "long-line")


def _unreadable(findings: Findings, before: dict[str, int]) -> int:
    return sum(findings.counts[kind] - before.get(kind, 0) for kind in _LOST)


def _records(source: Source, config: DataConfig, findings: Findings) -> Iterator[Record]:
    if source.kind == "dataset":
        return hub.read(source, config)
    assert source.path is not None
    assert source.kind in ("auto", "json", "jsonl")
    return json_records.read(source.path, source.kind, findings)


def _row(record: Record, name: str, config: DataConfig, findings: Findings) -> Row | None:
    try:
        messages, tools = conversation(record.value, config.row_format)
    except ShapeError as error:
        findings.add("error", error.kind, str(error), name, record.line)
        return None
    _look_at(record.value, messages, findings, name, record.line)
    if config.system_prompt and messages[0]["role"] != "system":
        messages = ({"role": "system", "content": config.system_prompt}, *messages)
    return Row(messages, name, record.line, tools)


def _look_at(
    record: Any, messages: tuple[dict[str, Any], ...], findings: Findings, name: str, line: int
) -> None:
    """Things that are no error but should be known."""
    for message in messages:
        if message["role"] == "assistant" and "{{" in message["content"]:
            placeholder = _PLACEHOLDER.search(message["content"])
            if placeholder:
                text = f"an answer holds the unfilled placeholder {placeholder.group()}"
                findings.add("warning", "placeholder", text, name, line)
                break
    turns = record.get("messages") if isinstance(record, dict) else None
    if isinstance(turns, list) and any(
        isinstance(turn, dict) and turn.get("weight", turn.get("loss_weight", 1)) == 0
        for turn in turns
        if isinstance(turn, dict) and turn.get("role") == "assistant"
    ):
        text = "an answer with weight 0 is trained on like the others"
        findings.add("warning", "weight", text, name, line)


def refuse_bad(loaded: Loaded, config: DataConfig) -> None:
    """Raise InputError when more than `max_bad_rows` of all rows cannot be used."""
    _refuse(loaded.bad, loaded.read, loaded.findings, config)


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


def _no_rows(findings: Findings) -> str:
    errors = findings.errors()
    if not errors:
        return "there are no rows in data.input_path"
    return "no usable row was found:\n" + "\n".join(f"  {error}" for error in errors[:5])

"""The rows that were prepared, as files for the user (`data.output_path`).

The files hold what is learnt from, not tokens, with where each row comes from and what was done to
it; qtui reads them again as they are. A cleaned data set that can be kept, looked at and trained on
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from qtui.config.models import DataConfig
from qtui.errors import InputError
from qtui.runs.dataset import Part, StoredRow
from qtui.stages.data.collected import Collected, row_from
from qtui.stages.data.encoding.render import shared_messages
from qtui.stages.data.reading.sources import Source
from qtui.stages.data.store import write_atomically
from qtui.terminal import clean_line

_PARTS = (Part.TRAIN, Part.VALIDATION, Part.TEST)
_ROWS_A_GROUP = 1000
_TURN = ("role", "content", "reasoning_content", "tool_calls", "name", "tool_call_id")
_CONVERSATIONS = ("messages", "prompt", "chosen", "rejected", "completion")


def targets(config: DataConfig) -> dict[Part, Path]:
    """The files that are written; none without `data.output_path`."""
    if config.output_path is None:
        return {}
    folder = Path(config.output_path).expanduser()
    return {part: folder / f"{part.name.lower()}.{config.output_format}" for part in _PARTS}


def refuse_overwriting(config: DataConfig, sources: list[Source]) -> None:
    """Raise InputError when a copy would take the place of a file that is read."""
    read = {source.path.resolve() for source in sources if source.path is not None}
    for target in targets(config).values():
        if target.resolve() in read:
            raise InputError(
                f"data.output_path would overwrite its own input {clean_line(str(target))}",
                remedy="Give data.output_path another folder.",
            )


def write_copies(config: DataConfig, collected: Collected) -> list[Path]:
    """Write the files, each whole or not at all; returns those written. A part without rows
    leaves none, and takes away the one of an earlier preparation."""
    written = []
    for part, path in targets(config).items():
        if part not in collected.parts:
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        records = partial(_records, collected, part)
        if config.output_format == "jsonl":
            write_atomically(path, (msgspec.json.encode(record) + b"\n" for record in records()))
        else:
            _write_parquet(path, records)
        written.append(path)
    return written


def _records(collected: Collected, part: Part) -> Iterator[dict[str, Any]]:
    return (as_record(row) for _, row in collected.rows(part))


def as_record(row: StoredRow) -> dict[str, Any]:
    """A row in a shape that qtui and TRL read, with its provenance."""
    record: dict[str, Any]
    if row.text is not None:
        record = {"text": row.text}
    elif row.rejected is not None:
        shared = shared_messages(row_from(row))
        record = {
            "prompt": row.messages[:shared],
            "chosen": row.messages[shared:],
            "rejected": row.rejected,
        }
    elif row.label is not None:
        record = {"prompt": row.messages[:-1], "completion": row.messages[-1:], "label": row.label}
    else:
        record = {"messages": row.messages}
    if row.tools:
        record["tools"] = row.tools
    record |= {"source": row.source, "line": row.line}
    for name in ("page", "chunk", "headings", "group", "done"):
        if getattr(row, name):
            record[name] = getattr(row, name)
    return record


def _write_parquet(path: Path, records: Callable[[], Iterator[dict[str, Any]]]) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = _schema(records())
    rest = records()
    part = path.with_name(f".{path.name}.part")
    try:
        with pyarrow.parquet.ParquetWriter(part, schema) as writer:
            while rows := list(islice(rest, _ROWS_A_GROUP)):
                for row in rows:
                    _flatten(row)
                writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _schema(records: Iterator[dict[str, Any]]) -> Any:
    """The columns, and the keys of turns, that are used: an empty one would say that the rows are
    of some other shape, and templates ask whether a turn has a key."""
    import pyarrow

    columns: set[str] = set()
    keys: set[str] = set()
    for record in records:
        columns |= record.keys()
        keys.update(key for name in _CONVERSATIONS for turn in record.get(name, ()) for key in turn)
    text, number = pyarrow.string(), pyarrow.int64()
    # The arguments of calls and the tools differ from row to row: they are JSON text.
    turn = pyarrow.struct([(key, text) for key in _TURN if key in keys])
    known = {
        **dict.fromkeys(_CONVERSATIONS, pyarrow.list_(turn)),
        **{"text": text, "label": pyarrow.bool_(), "tools": text, "source": text},
        **dict.fromkeys(("line", "page", "chunk"), number),
        **{"headings": pyarrow.list_(text), "group": text, "done": pyarrow.list_(text)},
    }
    return pyarrow.schema([(name, kind) for name, kind in known.items() if name in columns])


def _flatten(row: dict[str, Any]) -> None:
    """What has no fixed form in a row, as JSON text."""
    if "tools" in row:
        row["tools"] = msgspec.json.encode(row["tools"]).decode()
    for name in _CONVERSATIONS:
        if name in row:
            row[name] = [
                {**turn, "tool_calls": msgspec.json.encode(turn["tool_calls"]).decode()}
                if "tool_calls" in turn
                else turn
                for turn in row[name]
            ]

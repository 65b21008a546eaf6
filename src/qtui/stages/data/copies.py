"""The conversations that were prepared, as JSONL for the user (`data.output_path`).

The files hold what was read, not tokens, and qtui reads them again as they are: a cleaned data set
that can be kept, looked at and trained on elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from qtui.errors import InputError
from qtui.stages.data.load import Loaded
from qtui.stages.data.rows import Row
from qtui.stages.data.store import write_atomically
from qtui.terminal import clean_line

TRAIN = "train.jsonl"
VALIDATION = "validation.jsonl"


def refuse_overwriting(folder: Path, loaded: Loaded) -> None:
    """Raise InputError when a copy would take the place of a file that was read."""
    read = {source.path.resolve() for source in loaded.sources if source.path is not None}
    for target in (folder / TRAIN, folder / VALIDATION):
        if target.resolve() in read:
            raise InputError(
                f"data.output_path would overwrite its own input {clean_line(str(target))}",
                remedy="Give data.output_path another folder.",
            )


def write_copies(folder: Path, loaded: Loaded) -> None:
    """Write train.jsonl and validation.jsonl into `folder`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in ((TRAIN, loaded.train), (VALIDATION, loaded.validation)):
        write_atomically(folder / name, json_lines(map(_as_record, rows)))


def json_lines(values: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Each value as one line of JSON; all but ASCII is escaped, so no byte of it is a control."""
    for value in values:
        yield json.dumps(value).encode() + b"\n"


def _as_record(row: Row) -> dict[str, Any]:
    record: dict[str, Any] = {"messages": row.messages}
    if row.tools:
        record["tools"] = row.tools
    return {**record, "source": row.source, "line": row.line}

"""`data.columns` and `data.group_by`: where a row's parts stand when its keys are not recognised.

A column may be nested: `answers.text` is the key `text` inside `answers`, `turns.0` the first of a
list. A key that has the whole name, dots included, comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from qtui.stages.data.shapes.pairs import ANSWERS, PROMPTS
from qtui.stages.data.shapes.preferences import BETTER, THUMBS, WORSE
from qtui.stages.data.shapes.refusals import ShapeError, article, keys_of
from qtui.stages.data.shapes.turns import TURNS

_OPTIONAL = ("input", "system", "tools")
# Keys that mean the same as a role, and so must not be read beside the column that was named.
_SAME: dict[str, tuple[str, ...]] = {
    "prompt": PROMPTS,
    "completion": ANSWERS,
    "messages": TURNS,
    "chosen": BETTER,
    "rejected": WORSE,
    "label": THUMBS,
    "system": ("system", "system_prompt"),
}
_MISSING = object()


@lru_cache(64)
def _parsed(columns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((role, column) for role, _, column in (text.partition("=") for text in columns))


def shape_of(columns: Sequence[str]) -> str | None:
    """The shape that the mapped roles make, or None where they do not say it."""
    roles = {role for role, _ in _parsed(tuple(columns))}
    for shape, needed in (
        ("preference", {"chosen", "rejected"}),
        ("kto", {"label"}),
        ("messages", {"messages"}),
        ("alpaca", {"prompt", "completion"}),
        ("text", {"text"}),
    ):
        if roles & needed:
            return shape
    return None


def has_any(record: dict[str, Any], columns: Sequence[str]) -> bool:
    """Whether at least one of the mapped columns is in the record."""
    return any(value_of(record, column) is not _MISSING for _, column in _parsed(tuple(columns)))


def mapped(record: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """Return the record with each mapped column under the name of its role.

    A column that was given a role is not also read under its own name, and no other key is taken
    for that role. Raises ShapeError (missing-column) where the record lacks one; only input,
    system and tools may be absent from some rows.
    """
    pairs = _parsed(tuple(columns))
    taken = {column for _, column in pairs}
    for role, _ in pairs:
        taken.update(_SAME.get(role, (role,)))
    found = {key: value for key, value in record.items() if key not in taken}
    for role, column in pairs:
        value = value_of(record, column)
        if value is not _MISSING:
            found[role] = value
        elif role not in _OPTIONAL:
            raise ShapeError(
                "missing-column",
                f"there is no column {column} (data.columns: {role}={column}; "
                f"keys: {keys_of(record)})",
            )
    return found


def group_of(record: Any, column: str) -> str:
    """The value of `data.group_by` as a text; raises ShapeError where the row has none."""
    value = value_of(record, column)
    if value is _MISSING:
        keys = keys_of(record) if isinstance(record, dict) else "none"
        what = f"there is no column {column} (data.group_by; keys: {keys})"
        raise ShapeError("missing-column", what)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) or (isinstance(value, str) and value.strip()):
        return str(value)
    what = "blank" if isinstance(value, str) else article(value)
    raise ShapeError("missing-column", f"{column} (data.group_by) is {what}")


def value_of(record: Any, column: str) -> Any:
    """The value under a column's name, `_MISSING` where there is none."""
    if isinstance(record, dict) and column in record:
        return record[column]
    for part in column.split("."):
        if isinstance(record, dict) and part in record:
            record = record[part]
        elif isinstance(record, list) and part.isdecimal() and int(part) < len(record):
            record = record[int(part)]
        else:
            return _MISSING
    return record

"""The settings of a conversation as lines to look at and to type: what each is called, what it may
be, and how it is read. Names and meanings are those of the request.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qtui.chat.asks import Settings
from qtui.errors import InputError, NotFoundError
from qtui.terminal import clean_line

LARGEST_SCHEMA = 1 << 20
"""Bytes."""


@dataclass(frozen=True)
class Draft:
    """All that can be set for a conversation."""

    settings: Settings = field(default_factory=Settings)
    system: str = ""
    plain: bool = False
    """Prompts are text that the model goes on from, without its chat template."""
    schema_file: str = ""
    """Where the schema of `settings` was read from."""


@dataclass(frozen=True)
class Field:
    """One number among the settings; an empty text leaves it to the server."""

    name: str
    label: str
    help: str
    least: float
    most: float = math.inf
    whole: bool = False
    open: bool = False
    """Whether `least` itself is not allowed."""

    def read(self, text: str) -> float | int | None:
        """The value that `text` says.

        Raises:
            InputError: it is no number, or out of range.
        """
        text = text.strip()
        if not text:
            return None
        try:
            value: float = int(text) if self.whole else float(text)
        except ValueError as error:
            kind = "a whole number" if self.whole else "a number"
            raise InputError(f"{self.label} is {kind}, not {clean_line(text, 40)!r}") from error
        low = value <= self.least if self.open else value < self.least
        if low or value > self.most or not math.isfinite(value):
            raise InputError(f"{self.label} is {self.range}, not {clean_line(text, 40)}")
        return value

    @property
    def range(self) -> str:
        """The values that are allowed, in words."""
        over = "more than " if self.open else ""
        if math.isinf(self.most):
            return f"{over}{self.least:g}" if self.open else f"{self.least:g} or more"
        return f"{over}{self.least:g} to {self.most:g}"


NUMBERS = (
    Field("temperature", "temperature", "0 takes the likeliest word, more is more varied", 0, 2),
    Field("top_p", "top-p", "only the likeliest words that together have this share", 0, 1,
          open=True),
    Field("top_k", "top-k", "only so many of the likeliest words; 0: all", 0, whole=True),
    Field("min_p", "min-p", "only words with this share of the likeliest one's chance", 0, 1),
    Field("repetition_penalty", "repetition", "more than 1 repeats less", 0, 10, open=True),
    Field("seed", "seed", "the same seed, the same answer", 0, 2**63 - 1, whole=True),
    Field("max_tokens", "max", "longest answer in tokens", 1, whole=True),
)  # fmt: skip


def with_number(draft: Draft, field: Field, text: str) -> Draft:
    """`draft` with the value that `text` says. Raises InputError."""
    value: Any = field.read(text)
    return replace(draft, settings=replace(draft.settings, **{field.name: value}))


def with_default(draft: Draft, name: str) -> Draft:
    """`draft` with the default of the setting `name`."""
    if name in ("system", "plain"):
        return replace(draft, **{name: getattr(Draft(), name)})
    value: Any = getattr(Settings(), name)
    changed = replace(draft, settings=replace(draft.settings, **{name: value}))
    return replace(changed, schema_file="") if name == "json_schema" else changed


def with_schema(draft: Draft, file: str, below: Path) -> Draft:
    """`draft` with the JSON schema in `file`; empty: none. Reads the disk: for a thread.

    Raises:
        InputError: the file is not there, or has no JSON schema in it.
    """
    if not file.strip():
        return with_default(draft, "json_schema")
    path = below / Path(file.strip()).expanduser()
    shown = clean_line(str(path), 200)
    try:
        if path.stat().st_size > LARGEST_SCHEMA:
            raise InputError(f"{shown} is larger than a schema is: {path.stat().st_size:,} bytes")
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {shown}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{shown} is no JSON: {clean_line(str(error), 200)}") from error
    if not isinstance(value, dict):
        raise InputError(f"{shown} is no JSON schema: it is not an object")
    settings = replace(draft.settings, json_schema=value)
    return replace(draft, settings=settings, schema_file=str(path))


def value_of(draft: Draft, name: str) -> str:
    """The value of a number as it is typed; empty where it is left to the server."""
    value = getattr(draft.settings, name)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


_SHORT = {"temperature": "temp", "repetition_penalty": "rep"}


def summary(draft: Draft) -> str:
    """The settings in one line, those that are set: `temp 0.7  top-p 0.9  max 512`."""
    told = [
        f"{_SHORT.get(field.name, field.label)} {value_of(draft, field.name)}"
        for field in NUMBERS
        if getattr(draft.settings, field.name) is not None
    ]
    order = {"max": 1, "seed": 2}
    told.sort(key=lambda each: order.get(each.partition(" ")[0], 0))
    extra: list[tuple[bool, str]] = [
        (bool(draft.settings.stop), f"stop {len(draft.settings.stop)}"),
        (draft.settings.json_schema is not None, "JSON"),
        (bool(draft.system.strip()), "system"),
        (draft.plain, "plain text"),
    ]
    return "  ".join([*told, *(text for there, text in extra if there)])

"""Where a value comes from: which layer, and the place to mend it at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Layer(StrEnum):
    """The five places a setting can come from, the strongest first."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    PRESET = "preset"
    DEFAULT = "default"


@dataclass(frozen=True)
class Place:
    """A run file with line and column (from 1), `--set`, or an environment variable's name."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Setting:
    """One value of one layer, as it was written; `items` are the places of a list's items."""

    key: str
    value: Any
    layer: Layer
    place: Place
    items: tuple[Place, ...] = ()

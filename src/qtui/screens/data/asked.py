"""What the data screen asks its reader for, and what it is told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from qtui.errors import QtuiError
from qtui.runs.dataset import Batch, Finding, Part, StoredRow, StoredTokens
from qtui.screens.data.found import Found
from qtui.screens.data.views import Look
from qtui.widgets.marked_text import Laid


@dataclass(frozen=True)
class Ask:
    """The row `steps` rows of `parts` behind row `base` (of all where `parts` is empty), looked at
    so. Beyond the first or last one it is that one."""

    base: int = 0
    steps: int = 0
    parts: Collection[Part] = ()
    look: Look = field(default_factory=Look)
    width: int = 80
    unicode: bool = True


@dataclass(frozen=True)
class Opened:
    """The data are open: how many rows, the report, and whether there is a first batch."""

    rows: int
    report: dict[str, Any]


@dataclass(frozen=True)
class Page:
    """A row as `ask` wanted it. `findings` are those about it, once they were read."""

    ask: Ask
    number: int
    row: StoredRow
    part: Part
    tokens: StoredTokens | None
    laid: Laid
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class NoRow:
    """There is no row such as was asked for."""

    ask: Ask


@dataclass(frozen=True)
class Gathered:
    """All findings were taken in."""

    found: Found


@dataclass(frozen=True)
class Failed:
    """Something cannot be read: `what`; row `number` where `ask` was for one."""

    error: QtuiError
    what: str = "The data"
    ask: Ask | None = None
    number: int = 0


@dataclass(frozen=True)
class FirstBatch:
    """The first batch, or none, and the tokens of its rows."""

    batch: Batch | None
    tokens: dict[int, StoredTokens | None]


@dataclass(frozen=True)
class Told:
    """The finding with that number."""

    number: int
    finding: Finding


News = Opened | Page | NoRow | Gathered | Failed | FirstBatch | Told

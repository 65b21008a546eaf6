"""How `qtui web` tells the dashboard that it starts that its terminal is a browser tab."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

_VARIABLE = "QTUI_BROWSER"  # columns and rows: 120x40

COLUMNS = (20, 500)
ROWS = (6, 250)
"""The fewest and the most that a tab may have: each costs memory, on both sides."""


def fitted(columns: int, rows: int) -> tuple[int, int]:
    """The size nearest to `columns` and `rows` that a tab may have."""
    return (min(max(columns, COLUMNS[0]), COLUMNS[1]), min(max(rows, ROWS[0]), ROWS[1]))


def environment(columns: int, rows: int, outer: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a dashboard in a tab: of `outer` without what says of its terminal."""
    dropped = ("TMUX", "STY", "ZELLIJ", "COLUMNS", "LINES")
    return {name: value for name, value in outer.items() if name not in dropped} | {
        _VARIABLE: f"{columns}x{rows}",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "TEXTUAL_COLOR_SYSTEM": "truecolor",
        "PYTHONIOENCODING": "utf-8",
    }


def take_size(own: MutableMapping[str, str] = os.environ) -> tuple[int, int] | None:
    """Columns and rows of the tab, None where there is none; no child process will see it."""
    columns, x, rows = own.pop(_VARIABLE, "").partition("x")
    return (int(columns), int(rows)) if x else None

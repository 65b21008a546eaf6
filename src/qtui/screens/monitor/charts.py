"""Which charts the Monitor shows: metrics that belong together in one, as many as have room.

Pure. The loss is the main chart; the others follow in the order in which a person asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from qtui import wording
from qtui.runs.pyramid import Pyramid

_TOGETHER: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("loss", ("loss", "eval_loss")),
    ("grad_norm", ("grad_norm",)),
    ("learning_rate", ("learning_rate",)),
    ("tokens_per_second", ("tokens_per_second",)),
    ("memory", ("memory_allocated", "memory_reserved", "memory_peak")),
    ("memory_host", ("memory_host", "memory_host_peak")),
)
_HEADS = frozenset(members[0] for _, members in _TOGETHER)
_LABELS = {
    "loss": "loss",
    "eval_loss": "eval",
    "learning_rate": "lr",
    "grad_norm": "grad norm",
    "tokens_per_second": "tokens/s",
    "memory_allocated": "GiB allocated",
    "memory_reserved": "reserved",
    "memory_peak": "peak",
    "memory_host": "GiB of the worker",
    "memory_host_peak": "peak",
}
# Counters that only grow say nothing as a curve unless they are asked for.
_COUNTERS = frozenset({"num_tokens", "trained_tokens", "total_flos"})

NARROWEST, LOWEST = 38, 8
"""Columns and rows of the smallest chart beside the main one."""


@dataclass(frozen=True)
class Group:
    """The metrics of one chart, the one on top first."""

    name: str
    metrics: tuple[str, ...]


def groups(names: Iterable[str], pattern: re.Pattern[str] | None = None) -> list[Group]:
    """The charts for the metrics `names`; with a `pattern`, for those alone that it is found in.

    A metric `eval_x` is drawn with `x`. Without a pattern there is always a chart of the loss, but
    not of a server.
    """
    names = list(names)
    trains = "requests" not in names
    chosen = [name for name in names if pattern is None or pattern.search(name)]
    found: list[Group] = []
    for title, members in _TOGETHER:
        present = tuple(name for name in members if name in chosen)
        if present or (title == "loss" and pattern is None and trains):
            found.append(Group(title, present or ("loss",)))
    known = {name for _, members in _TOGETHER for name in members}
    rest = [n for n in chosen if n not in known and (pattern is not None or n not in _COUNTERS)]
    for name in rest:
        plain = name.removeprefix("eval_")
        if plain != name and plain in rest:
            continue
        pair = (name, f"eval_{name}") if f"eval_{name}" in rest else (name,)
        found.append(Group(name, pair))
    return found


def label(metric: str, *, first: bool = True) -> str:
    """What a chart calls a metric; the short names of later curves need the `first` one's."""
    short = _LABELS.get(metric)
    if short is None or (first and metric not in _HEADS):
        return metric.replace("_", " ")
    return short


def shown_as(metric: str) -> Callable[[float | None], str]:
    """How values of a metric's curve read; memory is in GiB."""
    if metric.startswith("memory_"):
        return _memory
    if metric == "tokens_per_second":
        return _whole
    return wording.number


def _memory(value: float | None) -> str:
    return wording.number(None) if value is None else f"{value:.1f}"


def _whole(value: float | None) -> str:
    return wording.number(None) if value is None else f"{value:,.0f}"


def note(metric: str, curve: Pyramid, best: tuple[float, int] | None) -> str:
    """What stands after the label: the latest value, and beside an evaluation loss the `best`
    (value and step)."""
    show = shown_as(metric)
    text = show(curve.latest)
    if best is None:
        return text
    value, step = best
    return f"{text} (best {'' if value == curve.latest else show(value) + ' '}at {step})"


def best_of(steps: Sequence[int], values: Sequence[float | None]) -> tuple[float, int] | None:
    """The least of at least two values, and its step."""
    finite = [(value, step) for step, value in zip(steps, values, strict=True) if value is not None]
    return min(finite) if len(finite) > 1 else None


@dataclass(frozen=True)
class Places:
    """How charts are laid out: the first one over the whole width, or all of one size.

    `rows` are rows of `columns` charts below (or instead of) the main one.
    """

    main: bool
    columns: int
    rows: int

    @property
    def count(self) -> int:
        """How many charts there is room for."""
        return int(self.main) + self.columns * self.rows


def places(width: int, height: int, wanted: int, *, equal: bool) -> Places:
    """Room for at most `wanted` charts in `width` by `height` cells; `equal`: none is the main one.

    The main chart has half of the height or more.
    """
    across = max(width // NARROWEST, 1)
    if equal or wanted <= 1:
        columns = min(across, max(wanted, 1))
        rows = max(min(height // LOWEST, -(-wanted // columns)), 1)
        return Places(False, columns, rows)
    rows = min((height // 2) // LOWEST, -(-(wanted - 1) // across))
    if rows <= 0:
        return Places(True, 1, 0)
    return Places(True, min(-(-(wanted - 1) // rows), across), rows)

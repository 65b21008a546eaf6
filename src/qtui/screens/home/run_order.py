"""Which runs Home lists, and in what order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from qtui.runs.state import Status
from qtui.runs.summary import Summary
from qtui.widgets.run_columns import living

SORTS = ("age", "state", "loss", "name")
"""By age: the newest first; by state: what lives, then what ended badly; by loss: the lowest."""

_AFTER_LIVING = (
    Status.INTERRUPTED,
    Status.FAILED,
    Status.QUEUED,
    Status.STOPPED,
    Status.COMPLETED,
)


def listed(runs: Sequence[Summary], sort: str, wanted: str) -> list[Summary]:
    """Of `runs` (newest first) those that have every word of `wanted` in their name, model or
    state, in the order of `sort`; runs that are alike stay newest first."""
    words = wanted.lower().split()
    chosen = [run for run in runs if all(word in _text(run) for word in words)]
    if sort != "age":
        chosen.sort(key=_KEYS[sort])
    return chosen


def _text(run: Summary) -> str:
    return f"{run.name} {run.model} {run.status.value.replace('_', ' ')} {run.id}".lower()


def _by_state(run: Summary) -> int:
    return 0 if living(run) else 1 + _AFTER_LIVING.index(run.status)


_KEYS: dict[str, Callable[[Summary], Any]] = {
    "state": _by_state,
    "loss": lambda run: math.inf if run.loss is None else run.loss,
    "name": lambda run: run.name,
}

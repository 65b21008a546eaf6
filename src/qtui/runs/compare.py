"""What differs between two runs: settings and versions, nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from qtui.runs.folder import Run


class Difference(msgspec.Struct, frozen=True):
    """One key that differs: `training.learning_rate`, `versions.torch`. Absent is `None`."""

    key: str
    left: Any
    right: Any


def diff(a: Run, b: Run) -> list[Difference]:
    """The differences between the resolved configs and versions of two runs, in key order.

    Raises `CorruptError` or `NotFoundError` when a `run.json` cannot be read.
    """
    left, right = _flat(a), _flat(b)
    keys = [*left, *(key for key in right if key not in left)]
    return [
        Difference(key, left.get(key), right.get(key))
        for key in keys
        if left.get(key) != right.get(key)
    ]


def _flat(run: Run) -> dict[str, Any]:
    spec = run.spec
    flat = {"kind": spec.kind}
    flat |= dict(_leaves(spec.config, ""))
    flat |= dict(_leaves(spec.versions, "versions."))
    return flat


def _leaves(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

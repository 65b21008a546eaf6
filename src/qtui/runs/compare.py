"""What differs between two runs: settings as they are in force, and versions, nothing else.

What a resume changed counts: two runs with one run file differ when one of them went on with half
the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from qtui.runs.folder import Run
from qtui.runs.overrides import in_force


class Difference(msgspec.Struct, frozen=True):
    """One key that differs: `training.learning_rate`, `versions.torch`. Absent is `None`."""

    key: str
    left: Any
    right: Any


def diff(a: Run, b: Run) -> list[Difference]:
    """The differences between the settings in force and the versions of two runs, in key order.

    Raises `CorruptError` or `NotFoundError` when a `run.json` cannot be read, `OSError` for a log.
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
    flat: dict[str, Any] = {"kind": spec.kind}
    flat |= dict(_leaves(spec.config, ""))
    flat |= in_force(run)
    flat |= dict(_leaves(spec.versions, "versions."))
    return flat


def _leaves(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

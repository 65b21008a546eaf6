"""What the runs of a workspace were made of: models and data, and how fast they went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qtui.errors import QtuiError
from qtui.runs import folder
from qtui.runs.folder import Run
from qtui.runs.summary import summarize

NEWEST = 100
"""Runs that are looked at."""


@dataclass(frozen=True)
class Speed:
    """Tokens a second (padding not counted) that the run called `name` measured last."""

    tokens_per_second: float
    name: str


@dataclass(frozen=True)
class Recent:
    """Newest first, each once. `speeds` is by model and method (qlora, lora, full)."""

    models: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    speeds: Mapping[tuple[str, str], Speed] = field(default_factory=dict)


def recent(workspace: Path) -> Recent:
    """What the newest training runs of `workspace` used. Runs that cannot be read are left out."""
    models: dict[str, None] = {}
    data: dict[str, None] = {}
    speeds: dict[tuple[str, str], Speed] = {}
    try:
        runs = folder.all_runs(workspace)[:NEWEST]
    except QtuiError:
        return Recent()
    for run in runs:
        config = _config(run)
        model = _text(config, "model", "model_name")
        if model:
            models[model] = None
        used = _text(config, "data", "input_path")
        if used:
            data[used] = None
        summary = summarize(run)
        kind = (summary.model, summary.method)
        if model and summary.tokens_per_second and kind not in speeds:
            speeds[kind] = Speed(summary.tokens_per_second, summary.name)
    return Recent(tuple(models), tuple(data), speeds)


def _config(run: Run) -> Mapping[str, Any]:
    try:
        spec = run.spec
    except QtuiError:
        return {}
    return spec.config if spec.kind == "train" else {}


def _text(config: Mapping[str, Any], section: str, name: str) -> str:
    values = config.get(section)
    value = values.get(name) if isinstance(values, dict) else None
    return value if isinstance(value, str) else ""

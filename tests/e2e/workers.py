"""Real workers for the end-to-end tests: made, started, awaited by what their log says."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtui.config.load import resolve_dict
from qtui.config.models import FineTuneConfig
from qtui.runs import folder, launch
from qtui.runs.events import AnyEvent
from qtui.runs.folder import Run
from qtui.runs.log import EventReader
from qtui.runs.series import History, load
from tests.stages.training.micro import make_rows

PATIENCE = 240.0
"""Seconds after which a test gives up; never reached unless something hangs."""


def make_run(workspace: Path, base: Path, **sections: dict[str, Any]) -> Run:
    """A run of the micro model on rows written into `workspace`, not yet started."""
    workspace.mkdir(parents=True, exist_ok=True)
    data = workspace / "rows.jsonl"
    if not data.exists():
        make_rows(data, 48)
    settings: dict[str, dict[str, Any]] = {
        "model": {"model_name": str(base), "lora_rank": 4},
        "data": {"input_path": str(data), "validation_split": 0.1},
        "training": {
            "max_steps": 8,
            "batch_size": 4,
            "gradient_accumulation_steps": 1,
            "learning_rate": 1e-2,
            "max_seq_length": 64,
            "eval_steps": 4,
            "save_steps": 2,
            "save_total_limit": 10,
            "device": "cpu",
        },
        "evaluation": {"num_samples": 1, "sample_max_new_tokens": 4},
    }
    for section, values in sections.items():
        settings[section] = settings[section] | values
    config = FineTuneConfig.model_validate(settings)
    return folder.create(workspace, kind="train", config=resolve_dict(config), command=["qtui"])


def until(run: Run, happened: Callable[[AnyEvent], bool]) -> AnyEvent:
    """The first event of `run` for which `happened` is true, waited for."""
    reader = EventReader(run.events)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for event in reader.poll():
            if happened(event):
                return event
        time.sleep(0.01)
    raise AssertionError(f"it did not happen; the log ends with {run.events.read_text()[-600:]}")


def finish(run: Run) -> History:
    """Start or resume `run` and wait for its end."""
    launch.resume(run)
    launch.wait(run, timeout=PATIENCE)
    return load(run)


def losses(run: Run) -> list[tuple[int, float | None]]:
    """Step and loss as a reader sees them: each step once, superseded ones gone."""
    steps, values = load(run).metric("loss")
    return list(zip(steps, values, strict=True))

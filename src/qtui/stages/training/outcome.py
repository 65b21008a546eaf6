"""How a training run ended, and the figures that its last event carries."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qtui.config.models import FineTuneConfig
from qtui.errors import QtuiError
from qtui.runs.events import Scalar
from qtui.runs.folder import Run
from qtui.stages.training import checkpoints
from qtui.stages.training.arguments import Machine
from qtui.stages.training.journal import Journal
from qtui.system.estimate import estimate
from qtui.system.shapes import shape_of


@dataclass(frozen=True)
class Outcome:
    """The fields of the run's `finished` event."""

    status: Literal["completed", "stopped"]
    step: int
    message: str
    summary: dict[str, Scalar]


def stop_message(run: Run) -> str:
    """What a stopped run leaves, and how to go on."""
    last = checkpoints.newest(run.checkpoints)
    if last is None:
        return "stopped as asked; there is no checkpoint: a resumed run begins at step 0"
    return f"stopped as asked; qtui runs resume goes on from step {last[1].step}"


def summarise(
    trainer: Any,
    journal: Journal,
    config: FineTuneConfig,
    base: Path,
    machine: Machine,
    gradient_checkpointing: bool,
    began: float,
) -> dict[str, Scalar]:
    """Losses, tokens, time, and the estimate of memory beside the peak. Memory in bytes."""
    journal.settle()
    history = trainer.state.log_history
    last = {name: line[name] for line in history for name in ("loss", "eval_loss") if name in line}
    memory = journal.memory()
    return {
        "step": trainer.state.global_step,
        "max_steps": trainer.state.max_steps,
        "loss": last.get("loss"),
        "eval_loss": last.get("eval_loss"),
        "best_eval_loss": trainer.state.best_metric,
        "best_step": trainer.state.best_global_step,
        "trained_tokens": journal.trained_tokens,
        "num_tokens": journal.num_tokens,
        "seconds": round(time.monotonic() - began, 1),
        "device": machine.device,
        "gradient_checkpointing": gradient_checkpointing,
        "peak_memory_allocated": memory.get("memory_peak"),
        "peak_memory_host": memory["memory_host_peak"],
        **_estimated(config, base, machine, gradient_checkpointing),
    }


def _estimated(
    config: FineTuneConfig, base: Path, machine: Machine, gradient_checkpointing: bool
) -> dict[str, Scalar]:
    """The estimate; nothing for a model whose shape cannot be told."""
    device = "cuda" if machine.is_cuda else "cpu"
    try:
        expected = estimate(
            config,
            shape_of(str(base)),
            device=device,
            gradient_checkpointing=gradient_checkpointing,
        )
    except QtuiError:
        return {}
    return {
        "estimated_memory": expected.likely,
        "estimated_memory_low": expected.low,
        "estimated_memory_high": expected.high,
    }

"""Puts a `SurvivingTrainer` together without a run file, for tests that look inside a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import torch

from qtui.config.models import FineTuneConfig
from qtui.runs.commands import CommandReader
from qtui.runs.log import EventLog
from qtui.stages.control import Control
from qtui.stages.training import arguments, batching, checkpoints, models, segments
from qtui.stages.training.callbacks import Boundary, Reporter
from qtui.stages.training.journal import Journal
from qtui.stages.training.trainer import SurvivingTrainer


def rows(tokenizer: Any, count: int, *, first: int = 0) -> datasets.Dataset:
    """Tokenised rows of mixed length; only the second half of each is trained."""
    lines = []
    for number in range(first, first + count):
        text = f"say {'abcdefgh'[number % 8] * (1 + number * 7 % 23)} {number}"
        ids = tokenizer(text)["input_ids"]
        half = len(ids) // 2
        lines.append({"input_ids": ids, "labels": [-100] * half + ids[half:]})
    return datasets.Dataset.from_list(lines)


def build(
    base: Path,
    folder: Path,
    config: FineTuneConfig,
    *,
    gradient_checkpointing: bool = False,
    refine: Callable[[Path], None] = lambda folder: None,
) -> SurvivingTrainer:
    """A trainer on the CPU whose checkpoints lie in `folder/checkpoints`."""
    machine = arguments.Machine("cpu", bfloat16=torch.ops.mkldnn._is_mkldnn_bf16_supported())
    tokenizer = models.load_tokenizer(base, config.model)
    segments.register()
    planned = batching.decide(config, base)
    model = models.load_model(base, config.model, machine, attention=planned.attention)
    batches = batching.check(model, planned, config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checkpoints").mkdir(exist_ok=True)
    journal = Journal(EventLog(folder / "events.jsonl"))
    control = Control(CommandReader(folder / "commands.jsonl"))
    boundary = Boundary(journal, control, has_validation=True)
    trainer = SurvivingTrainer(
        journal=journal,
        control=control,
        checkpoint_folder=folder / "checkpoints",
        on_evaluated=lambda step: None,
        refine=refine,
        keep=config.training.save_total_limit,
        model=model,
        args=arguments.sft_config(
            config,
            machine,
            output_dir=folder / "checkpoints" / checkpoints.STAGING,
            gradient_checkpointing=gradient_checkpointing,
            has_validation=True,
            run_name="test",
            batching=batches,
        ),
        batching=batches,
        train_dataset=rows(tokenizer, 40),
        eval_dataset=rows(tokenizer, 8, first=100),
        processing_class=tokenizer,
        peft_config=arguments.lora_config(config.model),
        callbacks=[Reporter(journal), boundary],
    )
    boundary.trainer = trainer
    return trainer


def curve(trainer: SurvivingTrainer) -> list[tuple[int, float, float]]:
    """Step, loss and gradient norm of each line of metrics."""
    return [
        (line["step"], line["loss"], line["grad_norm"])
        for line in trainer.state.log_history
        if "loss" in line
    ]


def evaluations(trainer: SurvivingTrainer) -> list[tuple[int, float]]:
    """Step and eval loss of each evaluation."""
    return [
        (line["step"], line["eval_loss"])
        for line in trainer.state.log_history
        if "eval_loss" in line
    ]

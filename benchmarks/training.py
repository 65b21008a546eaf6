"""Training speed against plain TRL, both sides in this run, in turn.

    python benchmarks/training.py [--rows N] [--steps N] [--rounds N] [--passes N]

Prints one JSON line with two figures:

- `same_settings`: steps a second of qtui's trainer over those of `trl.SFTTrainer`, with the same
  settings on the same rows (the median of the ratios, pair by pair).
- `defaults`: non-padding tokens a second with qtui's defaults over those with TRL's, on rows of
  mixed length (log-normal, median 59 tokens, 99th percentile about 882), with the same model,
  adapter, learning rate and effective batch; and the eval losses that both reach on the same rows.

The model is `builtin:tiny` in NF4 with a LoRA of rank 16 on all linear layers.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from qtui import builtin
from qtui.config.models import FineTuneConfig
from qtui.runs.commands import CommandReader
from qtui.runs.log import EventLog
from qtui.stages.control import Control
from qtui.stages.training import arguments, batching, models, segments
from qtui.stages.training.callbacks import Boundary, Reporter
from qtui.stages.training.checkpoints import STAGING
from qtui.stages.training.journal import Journal
from qtui.stages.training.trainer import SurvivingTrainer

MEDIAN, TAIL = 59, 882
BATCH = 8
WARM_UP = 4
"""Steps of each side that are thrown away before the defaults are compared."""


def make_rows(tokenizer: Any, count: int, seed: int) -> datasets.Dataset:
    """Rows of built-in text, cut to lengths drawn from the log-normal; all tokens trained."""
    generator = torch.Generator().manual_seed(seed)
    lines = (builtin.data_path("camara") / "train.jsonl").read_text().splitlines()
    text = " ".join(turn["content"] for line in lines for turn in json.loads(line)["messages"])
    stream = tokenizer(text)["input_ids"]
    sigma = math.log(TAIL / MEDIAN) / 2.326
    rows = []
    for _ in range(count):
        draw = float(torch.randn((), generator=generator))
        length = min(max(round(MEDIAN * math.exp(sigma * draw)), 8), 1024)
        start = int(torch.randint(len(stream) - length, (), generator=generator))
        ids = stream[start : start + length]
        rows.append({"input_ids": ids, "labels": list(ids)})
    return datasets.Dataset.from_list(rows)


class Clock(TrainerCallback):
    """Time between the end of the second step and the end of the last: no warm-up in it."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0
        self.steps = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 2:
            self.began = time.perf_counter()
        if state.global_step >= 2:
            self.ended, self.steps = time.perf_counter(), state.global_step - 2

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Job:
    """Model, rows and settings that both sides share."""

    def __init__(self, rows: int, steps: int | None) -> None:
        segments.register()
        self.base = builtin.model_path("tiny")
        self.config = FineTuneConfig.model_validate(
            {
                "model": {"lora_rank": 16, "lora_alpha": 32, "lora_dropout": 0.0},
                "training": {
                    "batch_size": BATCH,
                    "gradient_accumulation_steps": 1,
                    "num_epochs": 1,
                    "max_steps": steps,
                    "learning_rate": 1e-3,
                    "warmup_steps": 0.0,
                    "lr_scheduler_type": "linear",
                    "max_seq_length": 1024,
                },
            }
        )
        self.machine = models.machine_for("auto")
        self.tokenizer = models.load_tokenizer(self.base, self.config.model)
        self.rows = make_rows(self.tokenizer, rows, seed=1)
        self.held_out = make_rows(self.tokenizer, 64, seed=2)

    def model(self) -> Any:
        return models.load_model(self.base, self.config.model, self.machine)

    def trl(self, **settings: Any) -> tuple[SFTTrainer, Clock]:
        """Plain TRL; what `settings` leaves open is its own default."""
        clock = Clock()
        trainer = SFTTrainer(
            model=self.model(),
            args=SFTConfig(
                output_dir=tempfile.mkdtemp(),
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=BATCH,
                num_train_epochs=1,
                max_steps=self.config.training.max_steps or -1,
                learning_rate=self.config.training.learning_rate,
                save_strategy="no",
                disable_tqdm=True,
                use_cpu=not self.machine.is_cuda,
                **settings,
            ),
            train_dataset=self.rows,
            eval_dataset=self.held_out,
            processing_class=self.tokenizer,
            peft_config=arguments.lora_config(self.config.model),
            callbacks=[clock],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        return trainer, clock

    def qtui(self, **settings: Any) -> tuple[SurvivingTrainer, Clock]:
        """qtui's trainer as the worker builds it, event log and all."""
        folder = Path(tempfile.mkdtemp())
        (folder / "checkpoints").mkdir()
        training = self.config.training.model_copy(update=settings)
        config = self.config.model_copy(update={"training": training})
        journal = Journal(EventLog(folder / "events.jsonl"))
        control = Control(CommandReader(folder / "commands.jsonl"))
        boundary = Boundary(journal, control, has_validation=False)
        clock = Clock()
        planned = batching.decide(config, self.base)
        model = models.load_model(
            self.base, config.model, self.machine, attention=planned.attention
        )
        batches = batching.check(model, planned, config)
        trainer = SurvivingTrainer(
            batching=batches,
            journal=journal,
            control=control,
            checkpoint_folder=folder / "checkpoints",
            on_evaluated=lambda step: None,
            refine=lambda folder: None,
            keep=1,
            model=model,
            args=arguments.sft_config(
                config,
                self.machine,
                output_dir=folder / "checkpoints" / STAGING,
                gradient_checkpointing=config.training.gradient_checkpointing is True,
                has_validation=False,
                run_name="benchmark",
                batching=batches,
            ),
            train_dataset=self.rows,
            eval_dataset=self.held_out,
            processing_class=self.tokenizer,
            peft_config=arguments.lora_config(self.config.model),
            callbacks=[clock, Reporter(journal), boundary],
        )
        boundary.trainer = trainer
        return trainer, clock


def mean_loss(trainer: Any) -> float:
    """Loss over the tokens of the held-out rows, computed the same way for both sides."""
    total, tokens = 0.0, 0
    trainer.model.eval()
    models.keep_trainable(trainer.model)
    with torch.no_grad(), trainer.compute_loss_context_manager():
        for row in trainer.eval_dataset:
            ids = torch.tensor([row["input_ids"]], device=trainer.model.device)
            logits = trainer.model(input_ids=ids).logits[0, :-1].float()
            total += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
            tokens += ids.shape[1] - 1
    return total / tokens


def same_settings(rows: int, steps: int, rounds: int) -> dict[str, Any]:
    """Steps a second, in turn: TRL, qtui, TRL, qtui, …"""
    job = Job(rows, steps)
    theirs, ours = [], []
    for _ in range(rounds):
        trainer, clock = job.trl(
            lr_scheduler_type="linear",
            logging_steps=1,
            logging_nan_inf_filter=False,
            gradient_checkpointing=False,
            shuffle_dataset=False,
            eval_strategy="no",
        )
        trainer.train()
        theirs.append(clock.steps / clock.seconds)
        trainer, clock = job.qtui(
            padding_free=False,
            train_sampling_strategy="random",
            gradient_checkpointing=False,
            save_steps=10**9,
        )
        trainer.train()
        ours.append(clock.steps / clock.seconds)
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "qtui_steps_per_second": round(statistics.median(ours), 3),
        "trl_steps_per_second": round(statistics.median(theirs), 3),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "goal": 0.98,
    }


def defaults(rows: int, rounds: int) -> dict[str, Any]:
    """One pass over the same rows with each side's own way of batching and keeping activations.

    Tokens a second are the medians of `rounds` passes, in turn; `ratio` is the median of the
    ratios, pair by pair.
    """
    for _, side in _sides(Job(WARM_UP * BATCH, None)):
        side()[0].train()  # discarded: neither side is to pay for what the first one touches
    job = Job(rows, None)
    per_step = sum(len(ids) for ids in job.rows["input_ids"]) / math.ceil(rows / BATCH)
    speeds: dict[str, list[float]] = {"trl": [], "qtui": []}
    figures: dict[str, Any] = {}
    for _ in range(rounds):
        for name, side in _sides(job):
            trainer, clock = side()
            trainer.train()
            speeds[name].append(clock.steps * per_step / clock.seconds)
            figures[f"{name}_eval_loss"] = round(mean_loss(trainer), 4)
    for name, found in speeds.items():
        figures[f"{name}_tokens_per_second"] = round(statistics.median(found))
    ratios = [ours / theirs for ours, theirs in zip(speeds["qtui"], speeds["trl"], strict=True)]
    return {
        **figures,
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "goal": 4,
    }


def _sides(job: Job) -> list[tuple[str, Callable[[], tuple[Any, Clock]]]]:
    """Both sides with their defaults; `auto` keeps activations, as it does where they fit."""
    ours = partial(job.qtui, gradient_checkpointing=False, save_steps=10**9)
    return [("trl", job.trl), ("qtui", ours)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=480)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of the same settings")
    parser.add_argument("--passes", type=int, default=1, help="pairs of the defaults")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    print(
        json.dumps(
            {
                "benchmark": "training",
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
                "device": models.machine_for("auto").device,
                "same_settings": same_settings(options.rows, options.steps, options.rounds),
                "defaults": defaults(options.rows, options.passes),
            }
        )
    )


if __name__ == "__main__":
    main()

"""The rows that a model is to learn from, checked and said, before any weight of it is loaded.

They are prepared in the run's folder, or taken over from a run of the workspace that has prepared
the same. What depends on the model and on the settings of training is added to the report here: how
rows become batches, what of these is padding, how long an epoch takes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec

from qtui.config.models import FineTuneConfig
from qtui.config.user import read_user_config
from qtui.errors import InputError
from qtui.runs import pace
from qtui.runs.dataset import PARTS, REPORT, Batch, BatchRow, Part
from qtui.runs.events import Phase
from qtui.runs.folder import Run, all_runs
from qtui.stages.control import Control
from qtui.stages.data.encoding import packing
from qtui.stages.data.prepare import Prepared, prepare
from qtui.stages.data.store import write_atomically
from qtui.stages.training import batching
from qtui.stages.training.first_batch import first_batch, write_first_batch
from qtui.stages.training.journal import Journal
from qtui.stages.training.trainer import row_lengths

_EARLIER_RUNS = 50
"""How many runs are asked whether they have prepared the same data."""


def prepared_rows(
    run: Run,
    config: FineTuneConfig,
    path: Path,
    tokenizer: Any,
    journal: Journal,
    control: Control,
) -> Prepared:
    """What the model in `path` will see; raises what `prepare` does."""
    journal.phase(Phase.LOADING_DATASET)
    workspace = run.path.parent.parent
    tokenizer_file = path / "tokenizer.json"
    earlier = [one.data for one in all_runs(workspace) if one.path != run.path]
    prepared = prepare(
        config,
        tokenizer,
        run.data,
        tokenizer_file=tokenizer_file if tokenizer_file.is_file() else None,
        others=earlier[:_EARLIER_RUNS],
        progress=journal.progress,
        stopped=control.stopped,
    )
    control.check()
    if prepared.taken_from is not None:
        what = "everything" if prepared.taken == "all" else "the rows, not the tokens"
        journal.say(
            f"the data were prepared before: {what} taken from {prepared.taken_from.parent.name}"
        )
    if prepared.train is not None and not prepared.report.preference_rows:
        prepared = _looked_ahead(prepared, run, config, path, tokenizer)
    for sentence in prepared.report.sentences():
        journal.say(sentence)
    return prepared


def require_rows(config: FineTuneConfig, prepared: Prepared) -> None:
    """Refuse rows that are prepared but not for this, and settings that need held-out rows."""
    pairs = prepared.report.preference_rows
    if pairs:
        raise InputError(
            f"{pairs} rows are preference pairs, which supervised fine-tuning does not learn from",
            remedy="set data.preference_rows: chosen to learn from the better answers",
        )
    if prepared.validation is not None and len(prepared.validation) > 0:
        return
    training = config.training
    for name, wanted in (
        ("early_stopping_patience", training.early_stopping_patience is not None),
        ("load_best_model_at_end", training.load_best_model_at_end),
    ):
        if wanted:
            raise InputError(
                f"training.{name} needs an eval loss, but no row is held out",
                remedy="raise data.validation_split, give data.validation_path, or leave "
                f"training.{name} out",
            )


def _looked_ahead(
    prepared: Prepared, run: Run, config: FineTuneConfig, path: Path, tokenizer: Any
) -> Prepared:
    """With the first batch written down, and what batches and time are made of in the report."""
    training = config.training
    planned = batching.decide(config, path)
    batch = first_batch(prepared.train, training, planned, tokenizer.pad_token_id)
    write_first_batch(_renumbered(batch, run.data), run.data)
    method = config.model.method
    speed = pace.last_speed(run.path.parent.parent, config.model.model_name, method)
    price = read_user_config()[0].price_per_hour
    epoch = pace.estimate(prepared.report.tokens, speed, price)
    report = msgspec.structs.replace(
        prepared.report,
        packing_efficiency=packing.efficiency(
            row_lengths(prepared.train),
            packing=training.packing,
            padding_free=planned.padding_free,
            grouped=planned.sampling(training.train_sampling_strategy) == "group_by_length",
            batch_size=training.batch_size,
            accumulation=training.gradient_accumulation_steps,
            max_length=training.max_seq_length,
            seed=training.seed,
        ),
        epoch_seconds=epoch.seconds if epoch else None,
        epoch_cost=epoch.cost if epoch else None,
    )
    write_atomically(run.data / REPORT, msgspec.json.format(msgspec.json.encode(report)))
    return dataclasses.replace(prepared, report=report)


def _renumbered(batch: Batch, folder: Path) -> Batch:
    """With the numbers that rows have in `rows.jsonl`, for whoever looks them up there."""
    parts = (folder / PARTS).read_bytes()
    numbers: list[int] = []
    at = -1
    last = max((segment.row for rows in batch.rows for segment in rows), default=-1)
    while len(numbers) <= last:
        at = parts.index(Part.TRAIN, at + 1)
        numbers.append(at)
    rows = [[BatchRow(numbers[s.row], s.start, s.end) for s in laid] for laid in batch.rows]
    return msgspec.structs.replace(batch, rows=rows)

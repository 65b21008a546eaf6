"""The first batch that the trainer will feed the model, known before any weight is loaded.

Which rows it holds follows from the seed, the lengths and the settings; the rest is done by the
trainer's own sampler and collator. A test holds what is said here against what a real training step
receives. It is what the data screen shows: rows laid end to end or padded, ids, labels, positions.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from qtui.config.models import TrainingConfig
from qtui.runs.dataset import BATCH, Batch, BatchRow
from qtui.stages.data.encoding.packing import packed
from qtui.stages.data.store import write_atomically
from qtui.stages.training.batching import Batching
from qtui.stages.training.trainer import LengthGroupedEpochs, row_lengths


def first_batch(
    rows: Any, training: TrainingConfig, batching: Batching, pad_token_id: int
) -> Batch:
    """The first batch of the first epoch; its rows have their numbers in `rows`.

    Args:
        rows: the training rows as a `datasets.Dataset` with input_ids and labels, cut to length.
        batching: how rows become batches, decided for the model.
        pad_token_id: the tokenizer's.
    """
    lengths = row_lengths(rows)
    widths, members = lengths, _Members()
    if training.packing:
        members = _Members(packed(lengths, training.max_seq_length))
        widths = [sum(lengths[row] for row in members[at]) for at in range(len(members))]
    chosen = _order(widths, training, batching)[: training.batch_size]
    sequences = [members[at] if training.packing else [at] for at in chosen]
    collate = DataCollatorForLanguageModeling(pad_token_id, padding_free=batching.padding_free)
    batch = collate([_example(rows, sequence, training.packing) for sequence in sequences])
    laid = [_segments(sequence, lengths) for sequence in sequences]
    if batching.padding_free:
        laid = [_segments([row for sequence in sequences for row in sequence], lengths)]
    unpacked: Literal["padding_free", "padded"] = (
        "padding_free" if batching.padding_free else "padded"
    )
    return Batch(
        kind="packed" if training.packing else unpacked,
        rows=laid,
        length=int(batch["input_ids"].shape[1]),
        input_ids=batch["input_ids"].tolist(),
        labels=batch["labels"].tolist(),
        position_ids=batch["position_ids"].tolist() if "position_ids" in batch else None,
    )


class _Members:
    """The rows of each packed sequence, in four bytes a row."""

    def __init__(self, sequences: Iterable[list[int]] = ()) -> None:
        self._rows = array("I")
        self._ends = array("I", [0])
        for sequence in sequences:
            self._rows.extend(sequence)
            self._ends.append(len(self._rows))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, at: int) -> list[int]:
        return self._rows[self._ends[at] : self._ends[at + 1]].tolist()


def write_first_batch(batch: Batch, folder: Path) -> None:
    """Write it into the run's data folder."""
    write_atomically(folder / BATCH, msgspec.json.encode(batch))


def _order(widths: list[int], training: TrainingConfig, batching: Batching) -> list[int]:
    """The order of the sequences in the first epoch, as the trainer's sampler has it."""
    strategy = batching.sampling(training.train_sampling_strategy)
    if strategy == "group_by_length":
        effective = training.batch_size * training.gradient_accumulation_steps
        return list(LengthGroupedEpochs(effective, widths, training.seed))
    if strategy == "random":
        # accelerate's sampler begins each epoch with a generator of seed + epoch.
        lots = torch.randperm(len(widths), generator=torch.Generator().manual_seed(training.seed))
        return [int(at) for at in lots[: training.batch_size]]
    return list(range(min(len(widths), training.batch_size)))


def _example(rows: Any, sequence: list[int], is_packed: bool) -> dict[str, list[int]]:
    parts = [rows[row] for row in sequence]
    example = {name: [x for part in parts for x in part[name]] for name in ("input_ids", "labels")}
    if is_packed:
        example["seq_lengths"] = [len(part["input_ids"]) for part in parts]
    return example


def _segments(sequence: list[int], lengths: list[int]) -> list[BatchRow]:
    laid: list[BatchRow] = []
    end = 0
    for row in sequence:
        laid.append(BatchRow(row, end, end + lengths[row]))
        end += lengths[row]
    return laid

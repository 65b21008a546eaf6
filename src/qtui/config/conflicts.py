"""Which settings do not go together.

One place for all rules that look at more than one setting, so that a bad combination is refused
before anything is loaded. Each rule names the settings it looks at: the loader reports it at the
line of the one that was set, and leaves it out while one of them has an error of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtui.config.models import DataConfig, FineTuneConfig, ModelConfig, TrainingConfig

EVALUATION = ("data.validation_split", "data.validation_path")


@dataclass(frozen=True)
class Conflict:
    """Settings that contradict each other: `keys`, the one to look at first, and a `sentence`."""

    keys: tuple[str, ...]
    sentence: str


def conflicts(config: FineTuneConfig) -> list[Conflict]:
    """Return every combination in `config` that cannot be run."""
    return [
        *_of_model(config.model),
        *_of_data(config.data),
        *_of_batches(config.training),
        *_of_evaluation(config.data, config.training),
    ]


def _of_model(model: ModelConfig) -> list[Conflict]:
    found = []
    if model.full_finetuning and model.use_qlora:
        found.append(
            Conflict(
                ("model.full_finetuning", "model.use_qlora"),
                "trains every weight, which 4-bit weights cannot do; set use_qlora: false as well",
            )
        )
    if model.full_finetuning and model.dtype == "float16":
        found.append(
            Conflict(
                ("model.dtype", "model.full_finetuning"),
                "float16 weights cannot be trained themselves; write auto, bfloat16 or float32",
            )
        )
    if model.use_qlora:
        found += [
            Conflict(
                (f"model.{name}", "model.use_qlora"),
                "float16 needs a gradient scaler, which cannot work on the bfloat16 adapter of a "
                "4-bit model; write auto",
            )
            for name in ("dtype", "bnb_4bit_compute_dtype")
            if getattr(model, name) == "float16"
        ]
    if model.init_lora_weights == "orthogonal" and model.lora_rank % 2:
        found.append(
            Conflict(
                ("model.init_lora_weights", "model.lora_rank"),
                f"orthogonal needs an even lora_rank (it is {model.lora_rank})",
            )
        )
    if model.full_finetuning:
        # The rank is left alone: it has a default, and says nothing about what is wanted.
        found += [
            Conflict(
                (f"model.{name}", "model.full_finetuning"),
                "is a choice about an adapter, and full_finetuning trains none; "
                "remove one of the two",
            )
            for name, wanted in (
                ("use_rslora", model.use_rslora),
                ("use_dora", model.use_dora),
                ("init_lora_weights", model.init_lora_weights != "default"),
            )
            if wanted
        ]
    if isinstance(model.target_modules, list):
        if not model.target_modules:
            sentence = "is empty; name at least one layer, or write all-linear"
            found.append(Conflict(("model.target_modules",), sentence))
        if "lm_head" in model.target_modules:
            sentence = "the head (lm_head) cannot carry an adapter; remove it from the list"
            found.append(Conflict(("model.target_modules",), sentence))
    return found


def _of_data(data: DataConfig) -> list[Conflict]:
    found = []
    entries = len(data.input_path) if isinstance(data.input_path, list) else 1
    if data.weights and len(data.weights) != entries:
        sentence = (
            f"has {len(data.weights)} numbers for {entries} entries of input_path; give one each"
        )
        found.append(Conflict(("data.weights", "data.input_path"), sentence))
    if data.chunk_overlap >= data.chunk_size:
        sentence = f"must be less than chunk_size ({data.chunk_size})"
        found.append(Conflict(("data.chunk_overlap", "data.chunk_size"), sentence))
    if data.split_by == "group" and data.group_by is None:
        sentence = "group needs group_by, the column that says which rows belong together"
        found.append(Conflict(("data.split_by", "data.group_by"), sentence))
    if data.group_by is not None and data.split_by != "group":
        sentence = "is read with split_by: group only; set that as well, or remove it"
        found.append(Conflict(("data.group_by", "data.split_by"), sentence))
    if data.on_language != "keep" and not data.languages:
        sentence = "needs languages, the ones that rows should be in"
        found.append(Conflict(("data.on_language", "data.languages"), sentence))
    missing = [text for text in data.augment_templates if "{instruction}" not in text]
    if missing:
        sentence = "every one needs {instruction} in it, where the row's own instruction goes"
        found.append(Conflict(("data.augment_templates",), sentence))
    both = sorted(set(data.drop_rows) & set(data.keep_rows))
    if both:
        sentence = f"{both[0]} also stands in drop_rows; remove it from one of the two"
        found.append(Conflict(("data.keep_rows", "data.drop_rows"), sentence))
    return found


def _of_batches(training: TrainingConfig) -> list[Conflict]:
    found = []
    if training.packing and training.padding_free is False:
        sentence = "packed rows are never padded; remove one of the two"
        found.append(Conflict(("training.padding_free", "training.packing"), sentence))
    if training.padding_free is True and training.neftune_noise_alpha is not None:
        sentence = "scales its noise by the length of a row, which rows laid end to end have lost; "
        keys = ("training.neftune_noise_alpha", "training.padding_free")
        found.append(Conflict(keys, sentence + "remove one of the two"))
    return found


def _of_evaluation(data: DataConfig, training: TrainingConfig) -> list[Conflict]:
    found = []
    if isinstance(data.input_path, list) and not data.input_path:
        found.append(Conflict(("data.input_path",), "is an empty list; name at least one file"))
    if data.validation_path is None and data.validation_split == 0:
        way_out = "set data.validation_split above 0 or give data.validation_path"
        if training.early_stopping_patience is not None:
            keys = ("training.early_stopping_patience", *EVALUATION)
            found.append(Conflict(keys, f"needs an eval loss; {way_out}"))
        if training.load_best_model_at_end:
            keys = ("training.load_best_model_at_end", *EVALUATION)
            found.append(Conflict(keys, f"needs an eval loss; {way_out}"))
    return found

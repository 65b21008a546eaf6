"""What somebody meant who wrote a name that is no setting.

Looks for the name in the other sections, among the names that other tools use for the same thing,
and among names that look alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from qtui.config.fields import by_key, sections

_SECRET = ("token", "api_key", "apikey", "password", "secret")

# Names for the same thing in TRL, transformers, PEFT and hand-written scripts.
_OTHER_NAMES = {
    "base_model": "model.model_name",
    "model_name_or_path": "model.model_name",
    "pretrained_model_name_or_path": "model.model_name",
    "load_in_4bit": "model.use_qlora",
    "torch_dtype": "model.dtype",
    "bf16": "model.dtype",
    "fp16": "model.dtype",
    "r": "model.lora_rank",
    "lora_r": "model.lora_rank",
    "rank": "model.lora_rank",
    "alpha": "model.lora_alpha",
    "dropout": "model.lora_dropout",
    "lora_target_modules": "model.target_modules",
    "dataset": "data.input_path",
    "dataset_name": "data.input_path",
    "dataset_path": "data.input_path",
    "data_path": "data.input_path",
    "train_file": "data.input_path",
    "validation_file": "data.validation_path",
    "eval_dataset": "data.validation_path",
    "val_set_size": "data.validation_split",
    "test_size": "data.validation_split",
    "epochs": "training.num_epochs",
    "num_train_epochs": "training.num_epochs",
    "steps": "training.max_steps",
    "per_device_train_batch_size": "training.batch_size",
    "micro_batch_size": "training.batch_size",
    "per_device_eval_batch_size": "training.eval_batch_size",
    "accumulation": "training.gradient_accumulation_steps",
    "lr": "training.learning_rate",
    "scheduler": "training.lr_scheduler_type",
    "lr_scheduler": "training.lr_scheduler_type",
    "warmup_ratio": "training.warmup_steps",
    "optimizer": "training.optim",
    "max_length": "training.max_seq_length",
    "sequence_len": "training.max_seq_length",
    "cutoff_len": "training.max_seq_length",
    "sample_packing": "training.packing",
    "group_by_length": "training.train_sampling_strategy",
    "activation_checkpointing": "training.gradient_checkpointing",
    "early_stopping": "training.early_stopping_patience",
    "max_new_tokens": "evaluation.sample_max_new_tokens",
}


def unknown_setting(key: str) -> str:
    """Return the sentence for a dotted `key` (or a bare name) that is no setting."""
    section, _, name = key.rpartition(".")
    lowered = name.lower().replace("-", "_")
    if any(lowered == word or lowered.endswith("_" + word) for word in _SECRET):
        return (
            "unknown setting; keys never stand in a run file: they come from the environment "
            "(HF_TOKEN, WANDB_API_KEY) or from the tool's own login"
        )
    for meant in (lowered, _OTHER_NAMES.get(lowered, "")):
        elsewhere = [known for known in by_key() if meant in (known, known.partition(".")[2])]
        if elsewhere:
            return f"unknown setting; did you mean {_short(elsewhere[0], section)}?"
    in_section = {known.partition(".")[2]: known for known in by_key() if known.startswith(section)}
    anywhere = {known.partition(".")[2]: known for known in by_key()}
    for known in (in_section, anywhere):
        close = closest(lowered, known)
        if close:
            return f"unknown setting; did you mean {_short(known[close], section)}?"
    close = closest(key, by_key(), cutoff=0.75)
    return f"unknown setting; did you mean {close}?" if close else "unknown setting"


def unknown_section(name: str) -> str:
    """Return the sentence for a top-level name that is no section and no setting."""
    close = closest(name.lower(), [*sections(), "preset"])
    hint = f"did you mean {close}?" if close else f"the sections are {', '.join(sections())}"
    return f"unknown section; {hint}"


def closest(word: str, known: Iterable[str], cutoff: float = 0.7) -> str | None:
    """Return the one of `known` most like `word`, or None if none is."""
    # Long foreign text would make the comparison slow and never finds anything.
    found = get_close_matches(word[:100], list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def _short(key: str, section: str) -> str:
    """Leave out the section where it is the one the user is in already."""
    return key.removeprefix(f"{section}.") if section else key

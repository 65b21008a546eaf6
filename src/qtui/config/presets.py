"""Presets: a name for a situation, and the settings that suit it.

The weakest layer above the defaults: a run file, the environment and `--set` all win over it.
Plain data without pydantic, so that `--help` can list the names at once. Models are open ones that
need no account (Apache-2.0) of the size that the memory allows; batch times accumulation is 16
or more throughout, which is what the learning rates are meant for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

DEFAULT = "quickstart"


@dataclass(frozen=True)
class Preset:
    """`sentence` says in one sentence for whom it is; `settings` is key → value."""

    name: str
    sentence: str
    settings: Mapping[str, Any]


_ALL = (
    Preset(
        "quickstart",
        "For a first look: the built-in model on the built-in data, minutes on a CPU, no network.",
        {
            "model.model_name": "builtin:tiny",
            "model.lora_rank": 32,
            "model.lora_dropout": 0.0,
            "data.input_path": "builtin:camara",
            "training.max_steps": 130,
            "training.batch_size": 16,
            "training.gradient_accumulation_steps": 1,
            "training.learning_rate": 1.5e-3,
            "training.lr_scheduler_type": "linear",
            "training.warmup_steps": 0.05,
            "training.max_seq_length": 256,
            "training.eval_steps": 65,
            "training.save_steps": 65,
        },
    ),
    Preset(
        "qlora-small-gpu",
        "For a GPU with 6 to 8 GB: a 4B model in 4 bits, one row at a time.",
        {
            "model.model_name": "Qwen/Qwen3-4B",
            "model.lora_rank": 16,
            "model.lora_alpha": 32.0,
            "training.batch_size": 1,
            "training.gradient_accumulation_steps": 16,
            "training.max_seq_length": 1024,
            "training.gradient_checkpointing": True,
            "training.eval_batch_size": 1,
        },
    ),
    Preset(
        "qlora-24gb",
        "For a GPU with 24 GB (RTX 3090, 4090, A10, L4): an 8B model in 4 bits.",
        {
            "model.model_name": "Qwen/Qwen3-8B",
            "training.batch_size": 4,
            "training.gradient_accumulation_steps": 4,
            "training.max_seq_length": 2048,
        },
    ),
    Preset(
        "qlora-80gb",
        "For a GPU with 80 GB (A100, H100): a 32B model in 4 bits, long rows.",
        {
            "model.model_name": "Qwen/Qwen3-32B",
            "training.batch_size": 8,
            "training.gradient_accumulation_steps": 2,
            "training.learning_rate": 1e-4,
            "training.max_seq_length": 4096,
        },
    ),
    Preset(
        "lora",
        "For a model that fits in 16 bits: LoRA without quantisation, faster and exact.",
        {
            "model.model_name": "Qwen/Qwen3-1.7B",
            "model.use_qlora": False,
            "training.batch_size": 4,
            "training.gradient_accumulation_steps": 4,
        },
    ),
    Preset(
        "full",
        "For small models and much data: every weight is trained, no adapter.",
        {
            "model.model_name": "Qwen/Qwen3-0.6B",
            "model.use_qlora": False,
            "model.full_finetuning": True,
            "training.num_epochs": 2.0,
            "training.batch_size": 4,
            "training.gradient_accumulation_steps": 8,
            "training.learning_rate": 2e-5,
            "training.weight_decay": 0.01,
            "training.gradient_checkpointing": True,
        },
    ),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ALL})
"""Every preset by name, the one to begin with first."""

"""From the run file to the arguments of TRL, PEFT and bitsandbytes.

Each setting of `model` and `training` that ends in one of those libraries does so here and only
here, so that one test can prove that no setting is read by nothing. The functions are pure: the
same config and the same machine give the same arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig
from transformers import BitsAndBytesConfig, EarlyStoppingCallback
from trl import SFTConfig

from qtui.config.models import FineTuneConfig, ModelConfig, TrainingConfig
from qtui.stages.training.trackers import PROJECT

if TYPE_CHECKING:
    from qtui.stages.training.batching import Batching

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}

TENTH = 0.1
"""Cadence of evaluations and checkpoints when none is asked for: a tenth of all steps."""


@dataclass(frozen=True)
class Machine:
    """What the arguments depend on beside the run file."""

    device: str
    """`cpu` or `cuda:0`: by the time torch is loaded, only the chosen GPU is visible."""
    bfloat16: bool
    """Whether the device multiplies bfloat16 in hardware."""

    @property
    def is_cuda(self) -> bool:
        return self.device != "cpu"


def weight_dtype(model: ModelConfig, machine: Machine) -> torch.dtype:
    """Type of the weights that are not quantised.

    auto: full fine-tuning keeps float32 master weights (a bfloat16 weight would swallow small
    updates); adapters need no more than bfloat16 below them.
    """
    if model.dtype != "auto":
        return _DTYPES[model.dtype]
    if model.full_finetuning or not machine.bfloat16:
        return torch.float32
    return torch.bfloat16


def compute_dtype(model: ModelConfig, machine: Machine) -> torch.dtype:
    """Type in which matrices are multiplied, quantised ones included."""
    if model.use_qlora and model.bnb_4bit_compute_dtype != "auto":
        return _DTYPES[model.bnb_4bit_compute_dtype]
    if model.dtype != "auto":
        return _DTYPES[model.dtype]
    return torch.bfloat16 if machine.bfloat16 else torch.float32


def quantization_config(model: ModelConfig, machine: Machine) -> BitsAndBytesConfig | None:
    """How bitsandbytes holds the base model; none when it is not quantised."""
    if not model.use_qlora:
        return None
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=model.bnb_4bit_quant_type,
        bnb_4bit_use_double_quant=model.bnb_4bit_use_double_quant,
        bnb_4bit_compute_dtype=compute_dtype(model, machine),
    )


def load_arguments(
    model: ModelConfig, machine: Machine, attention: str | None = None
) -> dict[str, Any]:
    """Arguments of `AutoModelForCausalLM.from_pretrained` beside the path.

    Args:
        attention: the kernel that was decided on; none takes that of the run file.
    """
    arguments: dict[str, Any] = {
        "dtype": weight_dtype(model, machine),
        "device_map": {"": machine.device},
        "quantization_config": quantization_config(model, machine),
        "trust_remote_code": model.trust_remote_code,
        "use_safetensors": True,
    }
    kernel = attention or model.attn_implementation
    if kernel is not None:
        arguments["attn_implementation"] = kernel
    return arguments


def lora_config(model: ModelConfig) -> LoraConfig | None:
    """The adapter; none for full fine-tuning."""
    if model.full_finetuning:
        return None
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=model.lora_rank,
        lora_alpha=model.lora_alpha,
        lora_dropout=model.lora_dropout,
        target_modules=model.target_modules,
        use_rslora=model.use_rslora,
        use_dora=model.use_dora,
        init_lora_weights=(
            True if model.init_lora_weights == "default" else model.init_lora_weights
        ),
    )


def sft_config(
    config: FineTuneConfig,
    machine: Machine,
    *,
    output_dir: Path,
    gradient_checkpointing: bool,
    has_validation: bool,
    run_name: str,
    batching: Batching,
) -> SFTConfig:
    """Arguments of TRL's SFT trainer.

    Args:
        output_dir: where the trainer stages its checkpoints before they are made complete.
        gradient_checkpointing: the decision, when the run file leaves it to us.
        has_validation: whether there are rows to evaluate on.
        run_name: what wandb, tensorboard and trackio call the run.
        batching: how rows become batches, decided for this model.
    """
    training = config.training
    compute = compute_dtype(config.model, machine)
    return SFTConfig(
        output_dir=str(output_dir),
        num_train_epochs=training.num_epochs,
        max_steps=training.max_steps if training.max_steps is not None else -1,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=training.eval_batch_size or training.batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.lr_scheduler_type,
        warmup_steps=training.warmup_steps,
        optim=_optimizer(training.optim, machine),
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        max_length=training.max_seq_length,
        packing=training.packing,
        train_sampling_strategy=batching.sampling(training.train_sampling_strategy),
        loss_type=training.loss_type,
        activation_checkpointing=gradient_checkpointing,
        neftune_noise_alpha=training.neftune_noise_alpha,
        seed=training.seed,
        dataloader_num_workers=training.dataloader_num_workers,
        logging_steps=training.logging_steps,
        logging_first_step=True,
        eval_strategy="steps" if has_validation else "no",
        eval_steps=training.eval_steps or TENTH,
        save_strategy="steps",
        save_steps=training.save_steps or TENTH,
        metric_for_best_model="eval_loss" if has_validation else None,
        greater_is_better=False if has_validation else None,
        report_to=list(training.report_to),
        run_name=run_name,
        project=PROJECT,
        bf16=compute is torch.bfloat16,
        fp16=compute is torch.float16,
        use_cpu=not machine.is_cuda,
        # Rows come tokenised, with labels: the trainer need not look at the text again.
        shuffle_dataset=False,
        # A NaN is reported as what it is, not as the average of the losses before it.
        logging_nan_inf_filter=False,
        prediction_loss_only=True,
        disable_tqdm=True,
        dataloader_pin_memory=machine.is_cuda,
        remove_unused_columns=True,
    )


def early_stopping(training: TrainingConfig) -> EarlyStoppingCallback:
    """The callback that ends a run whose eval loss does not get better."""
    return EarlyStoppingCallback(
        early_stopping_patience=training.early_stopping_patience,
        early_stopping_threshold=training.early_stopping_threshold,
    )


def _optimizer(name: str, machine: Machine) -> str:
    if name != "auto":
        return name
    return "paged_adamw_8bit" if machine.is_cuda else "adamw_torch_fused"

"""Loads the base model and its tokenizer, ready to be trained without surprises.

Promises: only safetensors are read; the weights are held exactly as the run file asks or the
run ends with a reason; on CPUs with AVX512-BF16 an evaluation in mid-training cannot repack the
4-bit weights (see `keep_trainable`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from qtui.config.models import ModelConfig
from qtui.errors import ImpossibleError, InputError
from qtui.stages.training.arguments import Machine, load_arguments
from qtui.stages.training.random_state import untouched


def machine_for(device: str, setting: str = "training.device") -> Machine:
    """What torch finds: `device` is auto, cpu, cuda or cuda:N, N already made the only visible GPU.

    Args:
        setting: what the error calls the setting that `device` is the value of.

    Raises:
        ImpossibleError: a GPU is asked for and torch sees none.
    """
    if device != "cpu" and torch.cuda.is_available():
        hardware = torch.cuda.is_bf16_supported(including_emulation=False)
        return Machine(device="cuda:0", bfloat16=hardware)
    if device.startswith("cuda"):
        raise ImpossibleError(
            f"{setting} is {device}, but this torch ({torch.__version__}) sees no GPU",
            remedy=f"qtui doctor says what is missing; {setting}: cpu does without one",
        )
    return Machine(device="cpu", bfloat16=torch.ops.mkldnn._is_mkldnn_bf16_supported())


def load_tokenizer(path: Path, model: ModelConfig) -> Any:
    """The model's own tokenizer, with a padding token.

    Raises:
        InputError: the folder has no tokenizer that transformers can read.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=model.trust_remote_code)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{model.model_name} has no tokenizer that can be read: {error}",
            remedy="the folder needs tokenizer.json and tokenizer_config.json",
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_config(path: Path, model: ModelConfig) -> Any:
    """The model's own config, without its weights.

    Raises:
        InputError: transformers does not know the architecture.
    """
    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=model.trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{model.model_name} has no config.json that can be read: {error}",
            remedy="check model.model_name; it has to be a causal model that transformers knows",
        ) from error


def load_model(
    path: Path, model: ModelConfig, machine: Machine, *, attention: str | None = None
) -> Any:
    """The base model on `machine`, quantised as the run file asks.

    Args:
        attention: the kernel to attend with; none takes that of the run file.

    Raises:
        InputError: transformers does not know the architecture, or the weights do not fit it.
        ImpossibleError: what is asked for does not work on this machine.
    """
    loaded = from_folder(path, model, load_arguments(model, machine, attention))
    if model.use_qlora:
        keep_trainable(loaded)
    loaded.config.use_cache = False
    return loaded


def from_folder(path: Path, model: ModelConfig, arguments: dict[str, Any]) -> Any:
    """`AutoModelForCausalLM.from_pretrained` with `arguments`, its errors made sentences.

    Raises:
        InputError: transformers does not know the architecture, or the weights do not fit it.
        ImpossibleError: what is asked for does not work on this machine.
    """
    try:
        return AutoModelForCausalLM.from_pretrained(path, **arguments)
    except ImportError as error:
        raise ImpossibleError(
            f"{model.model_name} cannot be loaded as asked: {error}",
            remedy="install what is named, or change model.attn_implementation",
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{model.model_name} cannot be loaded: {error}",
            remedy="check model.model_name; only safetensors weights of causal models are read",
        ) from error


def keep_trainable(model: torch.nn.Module) -> int:
    """Switch off the in-place repacking of 4-bit weights on the CPU; returns the layers found.

    In eval mode bitsandbytes 0.50 repacks a `Linear4bit` for a faster kernel that has no
    backward; training then goes on through it with wrong gradients, and no curve shows it.
    """
    found = 0
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False
            found += 1
    if not found:
        raise ImpossibleError(
            "model.use_qlora is on, but not one layer of the model is held in 4 bits",
            remedy="this architecture cannot be quantised: set model.use_qlora: false",
        )
    return found


def max_positions(path: Path, model: ModelConfig) -> int | None:
    """Longest sequence in tokens that the model knows; none when its config does not say."""
    config = AutoConfig.from_pretrained(path, trust_remote_code=model.trust_remote_code)
    value = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(value) if value else None


@contextmanager
def evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Eval mode without gradients; mode and random state are as before afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), untouched():
            yield
    finally:
        model.train(was_training)

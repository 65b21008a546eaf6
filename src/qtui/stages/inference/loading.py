"""Loads the base model and its tokenizer to answer with, not to train.

Promises: the files are looked at as before a training (safetensors only, no code that nobody
agreed to); the weights are held as asked; nothing in the model needs a gradient. On CPUs with
AVX512-BF16 the 4-bit weights are repacked for the fast kernel, which training must not do (it has
no backward): twice the tokens a second on the built-in model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import torch
from bitsandbytes.functional import has_avx512bf16
from transformers import BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from qtui.config.models import ModelConfig
from qtui.config.serve import ServeConfig, ServedModel
from qtui.errors import ImpossibleError
from qtui.stages.training import hub, weights
from qtui.stages.training.arguments import Machine, load_arguments
from qtui.stages.training.models import from_folder, load_tokenizer, machine_for
from qtui.stages.training.recovery import is_out_of_memory
from qtui.terminal import clean_line

_REPACKED = 32
"""The fast 4-bit kernel of the CPU wants this many outputs, or a multiple, in each layer; of
inputs it wants whole blocks of the quantisation."""


@dataclass(frozen=True)
class Loaded:
    """A base model that is ready to answer."""

    path: Path
    model: Any
    tokenizer: Any
    machine: Machine


def as_trained(served: ServedModel) -> ModelConfig:
    """`served` in the words of a run file, which the functions of training know."""
    return ModelConfig(
        model_name=served.model_name,
        revision=served.revision,
        trust_remote_code=served.trust_remote_code,
        attn_implementation=served.attn_implementation,
        dtype=served.dtype,
        use_qlora=served.quantization == "nf4",
    )


def find(
    served: ServedModel,
    say: Callable[[str], None],
    stopped: Callable[[], bool],
    progress: Callable[[int, int], None],
) -> Path:
    """The base's folder, downloaded if need be, its files looked at."""
    path = hub.fetch(
        served.model_name,
        revision=served.revision,
        trust_remote_code=served.trust_remote_code,
        progress=progress,
        log=say,
        stopped=stopped,
    )
    weights.check(path, trust_remote_code=served.trust_remote_code)
    if served.trust_remote_code:
        say("trust_remote_code is on: Python code that came with the model runs")
    return path


def machine_of(config: ServeConfig) -> Machine:
    """What is computed on. Raises ImpossibleError where it is a GPU that torch does not see."""
    return machine_for(config.device, "device")


def load(path: Path, config: ServeConfig, machine: Machine) -> Loaded:
    """The model in `path`, on `machine`.

    Raises:
        InputError: transformers cannot load it.
        ImpossibleError: what is asked for does not work on this machine, or its memory ran out.
    """
    try:
        return _load(path, config, machine)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ImpossibleError(
            f"memory ran out while {clean_line(config.model.model_name)} was loaded",
            remedy="stop what else uses it, take a smaller model, or one held in 4 bits",
        ) from error


def _load(path: Path, config: ServeConfig, machine: Machine) -> Loaded:
    transformers_logging.disable_progress_bar()
    model_config = as_trained(config.model)
    tokenizer = load_tokenizer(path, model_config)
    arguments = load_arguments(model_config, machine)
    if config.model.quantization == "int8":
        arguments["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
        # It says at every layer of every token that it casts.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    model = from_folder(path, model_config, arguments)
    model.eval()
    model.requires_grad_(False)
    model.config.use_cache = True
    if config.model.quantization != "none":
        _quantised(model, config.model)
    return Loaded(path, model, tokenizer, machine)


def _quantised(model: torch.nn.Module, served: ServedModel) -> None:
    """See to it that layers are held as asked, and that those which cannot be repacked are not."""
    kind = bnb.nn.Linear4bit if served.quantization == "nf4" else bnb.nn.Linear8bitLt
    layers = [module for module in model.modules() if isinstance(module, kind)]
    if not layers:
        raise ImpossibleError(
            f"quantization is {served.quantization}, but not one layer of {served.model_name} "
            "is held so",
            remedy="this architecture cannot be quantised: serve it with quantization none",
        )
    if served.quantization == "nf4":
        for layer in layers:
            block = layer.weight.quant_state.blocksize
            fits = layer.out_features % _REPACKED == 0 and layer.in_features % block == 0
            layer.support_avx512bf16_for_cpu = fits and has_avx512bf16()

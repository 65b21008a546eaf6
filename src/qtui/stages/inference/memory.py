"""Whether there is memory for a model, its adapters and its answers, before anything is loaded.

What is needed is counted from the model's config: its weights as they will be held, the adapters
that are named, and the keys and values of one answer of `ANSWER` tokens. Where that does not fit,
loading is refused with what can be done. Where it fits, but not for as many answers at once as the
server takes, that is said: a request that finds no memory is then refused, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from qtui.config.serve import ServeConfig
from qtui.errors import ImpossibleError, QtuiError
from qtui.runs import folder, serving, state
from qtui.stages.inference.adapter_files import WEIGHTS
from qtui.stages.inference.model_ids import Names
from qtui.stages.training.arguments import Machine
from qtui.system.estimate import BITS_DOUBLE_QUANT, quantised_bytes
from qtui.system.host import memory
from qtui.system.model_shape import ModelShape
from qtui.system.shapes import shape_of
from qtui.system.sizes import GB, gigabytes
from qtui.terminal import clean_line

ANSWER = 2048
"""Tokens, prompt and answer, that one place is taken to need."""

_INT8_BITS = 8.02
"""A weight in 8 bits; each row of weights has a scale of 32."""

_WORKING = {True: int(0.5 * GB), False: int(0.2 * GB)}
"""What computing takes beside: kernels and their workspaces on a GPU (its context is there by
the time free memory is asked for), buffers on a CPU."""


@dataclass(frozen=True)
class Need:
    """Bytes that serving takes."""

    weights: int
    """With the adapters that were named."""
    answer: int
    """Keys and values of one answer of `tokens` tokens."""
    tokens: int
    working: int

    @property
    def least(self) -> int:
        """For one answer at a time."""
        return self.weights + self.answer + self.working

    def places(self, free: int) -> int:
        """Answers of that length for which `free` bytes are enough."""
        return (free - self.weights - self.working) // max(self.answer, 1)


def need(config: ServeConfig, shape: ModelShape, machine: Machine, adapters: int = 0) -> Need:
    """What a model of `shape` takes, held as `config` says, with `adapters` bytes of adapters."""
    dtype = config.model.dtype
    half = dtype in ("bfloat16", "float16") or (dtype == "auto" and machine.bfloat16)
    element = 2 if half else 4
    held = {
        "nf4": quantised_bytes(shape, BITS_DOUBLE_QUANT, element),
        "int8": quantised_bytes(shape, _INT8_BITS, element),
        "none": shape.parameters() * element,
    }
    known = (config.max_context, shape.max_position_embeddings, ANSWER)
    tokens = min(size for size in known if size)
    return Need(
        weights=held[config.model.quantization] + adapters,
        answer=2 * shape.num_layers * shape.kv_size * element * tokens,
        tokens=tokens,
        working=_WORKING[machine.is_cuda],
    )


def free(machine: Machine) -> int:
    """Bytes that can be had now."""
    return int(torch.cuda.mem_get_info()[0]) if machine.is_cuda else memory().available


def require(
    config: ServeConfig, path: Path, machine: Machine, workspace: Path, say: Callable[[str], None]
) -> None:
    """Raise ImpossibleError when the model in `path` does not fit into what is free.

    A model of a kind whose memory cannot be counted is let through, and that is said.
    """
    try:
        files = [each.folder / WEIGHTS for each in Names(workspace, config, path).named()]
        adapters = sum(file.stat().st_size for file in files if file.is_file())
        wanted = need(config, shape_of(str(path)), machine, adapters)
    except QtuiError as error:
        say(f"no estimate of its memory can be made: {error}")
        return
    left = free(machine)
    where = "on the GPU" if machine.is_cuda else "in memory"
    if wanted.least > left:
        raise ImpossibleError(
            f"{clean_line(config.model.model_name)} needs {gigabytes(wanted.least)} "
            f"({gigabytes(wanted.weights)} of weights, the rest to answer with), "
            f"{gigabytes(left)} free {where}",
            remedy=_ways_out(config, machine, workspace),
        )
    places = wanted.places(left)
    kept = (
        f"each answer of {wanted.tokens:,} tokens takes {gigabytes(wanted.answer)}"
        if wanted.answer >= GB / 20
        else f"answers of {wanted.tokens:,} tokens take little"
    )
    sentence = (
        f"{gigabytes(wanted.weights)} of weights, {gigabytes(left)} free {where}; {kept} more"
    )
    if places < config.max_concurrent:
        sentence += (
            f", so {places} of {config.max_concurrent} fit at once: beyond, a request may be "
            "refused for want of memory"
        )
    say(sentence)


def _ways_out(config: ServeConfig, machine: Machine, workspace: Path) -> str:
    ways = []
    if machine.is_cuda:
        ways.append("use the CPU (--device cpu)")
    ways += [f"stop the run {name} that holds memory" for name in _holders(machine, workspace)]
    if config.model.quantization != "nf4":
        ways.append("hold it in 4 bits (--quantization nf4)")
    return ", or ".join(ways) if ways else "take a smaller model, or a machine with more memory"


def _holders(machine: Machine, workspace: Path) -> list[str]:
    """Names of living runs of the workspace that may hold the device's memory, at most three."""
    found = []
    for run in folder.all_runs(workspace):
        with suppress(QtuiError):
            config = run.spec.config
            section = config if run.spec.kind == folder.SERVE else config.get("training", {})
            if machine.is_cuda and section.get("device") == "cpu":
                continue
            if _holds(run):
                found.append(clean_line(run.name, 80))
    return found[:3]


def _holds(run: folder.Run) -> bool:
    if run.spec.kind == folder.SERVE:
        # One that does not listen yet may be this very process.
        return serving.address(run) is not None
    return run.spec.kind == "train" and state.worker_lives(run)

"""How much room a run will take on disk, itemised, and where.

Counts what qtui, PEFT and the trainer write: checkpoints (one more than are kept, since a new
one is complete before the oldest goes), the result, a copy for `output_dir`, and the model's
download where it is not on this machine yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from qtui.config.models import FineTuneConfig
from qtui.system.adapter_size import adapter_of
from qtui.system.estimate import adapter_element, full_tensors, weight_element
from qtui.system.hub_cache import cached_config
from qtui.system.model_shape import ModelShape
from qtui.system.optimisers import resolve, state_bytes

_TOKENIZER = 20_000_000
_TRAINER_STATE = 2_000_000
"""Random state, scheduler and the trainer's own log in a checkpoint."""


class DiskItem(msgspec.Struct, frozen=True):
    """Bytes that will be written and the place they go to."""

    name: str
    size: int
    where: Literal["workspace", "output_dir", "hub cache"]
    detail: str = ""


class DiskNeed(msgspec.Struct, frozen=True):
    """What a run writes; `in_workspace` is what the run folder's disk must have free."""

    items: tuple[DiskItem, ...]

    @property
    def in_workspace(self) -> int:
        return sum(item.size for item in self.items if item.where == "workspace")

    @property
    def checkpoint(self) -> int:
        """Bytes of one checkpoint."""
        return next(item.size for item in self.items if item.name == "checkpoint being written")


def disk_needed(config: FineTuneConfig, shape: ModelShape, *, device: str = "cuda") -> DiskNeed:
    """The bytes that training `config` on a model of `shape` writes, by place."""
    full = config.model.method == "full"
    element = weight_element(config.model)
    if full:
        tensors, own = full_tensors(shape), element
        result = shape.parameters() * element
    else:
        adapter = adapter_of(config.model, shape)
        tensors, own = list(adapter.tensors), adapter_element(config)
        result = adapter.parameters * own
    state = state_bytes(resolve(config.training.optim, device), tensors, own)
    tokenizer = min(_TOKENIZER, 100 * shape.vocab_size)
    checkpoint = result + state + tokenizer + _TRAINER_STATE
    kept = config.training.save_total_limit
    items = [
        DiskItem("checkpoints kept", kept * checkpoint, "workspace", f"{kept} of them"),
        DiskItem("checkpoint being written", checkpoint, "workspace", "weights and optimiser"),
        DiskItem("model" if full else "adapter", result + tokenizer, "workspace", "the result"),
    ]
    if config.training.output_dir is not None:
        items.append(DiskItem("copy in output_dir", result + tokenizer, "output_dir"))
    download = _download(config, shape)
    if download:
        items.append(DiskItem("model download", download, "hub cache", "16-bit safetensors"))
    return DiskNeed(tuple(items))


def _download(config: FineTuneConfig, shape: ModelShape) -> int:
    name = config.model.model_name
    if name.startswith("builtin:") or Path(name).expanduser().is_dir():
        return 0
    cached = cached_config(name, config.model.revision)
    if cached is not None and any(cached.parent.glob("*.safetensors")):
        return 0
    return 2 * shape.parameters()

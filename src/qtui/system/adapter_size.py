"""Which layers get an adapter, and how many numbers it has: PEFT's own rule, counted exactly."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import msgspec

from qtui.config.models import ModelConfig
from qtui.errors import InputError
from qtui.system.model_shape import LinearLayer, ModelShape
from qtui.terminal import clean_line


class Adapter(msgspec.Struct, frozen=True):
    """The adapter's trained matrices, each (rows, columns), and the adapted layers by block."""

    tensors: tuple[tuple[int, int], ...]
    blocks: tuple[tuple[LinearLayer, ...], ...]

    @property
    def parameters(self) -> int:
        """Numbers that are trained."""
        return sum(rows * columns for rows, columns in self.tensors)


def adapter_of(model: ModelConfig, shape: ModelShape) -> Adapter:
    """The adapter that `model` asks for on a model of `shape`.

    A target names every module whose path is it or ends in it after a dot, as in PEFT. Raises
    InputError for a target that names no layer of an architecture that is known exactly.
    """
    targets: Sequence[str] | None = None
    if isinstance(model.target_modules, list):
        targets = model.target_modules
    blocks: list[list[LinearLayer]] = [[] for _ in range(shape.num_layers)]
    tensors: list[tuple[int, int]] = []
    unused = set(targets or ())
    for path, layer in shape.layers():
        if targets is not None:
            hits = {name for name in targets if path == name or path.endswith("." + name)}
            unused -= hits
            if not hits:
                continue
        blocks[int(path.split(".")[2])].append(layer)
        tensors.append((model.lora_rank, layer.in_features))
        tensors.append((layer.out_features, model.lora_rank))
        if model.use_dora:
            tensors.append((layer.out_features, 1))
    if "embed_tokens" in unused:
        unused.discard("embed_tokens")
        tensors.append((model.lora_rank, shape.vocab_size))
        tensors.append((shape.hidden_size, model.lora_rank))
    if unused and shape.exact and not shape.num_experts:
        _refuse(sorted(unused), shape)
    return Adapter(tuple(tensors), tuple(tuple(block) for block in blocks))


def _refuse(unused: list[str], shape: ModelShape) -> None:
    known = [layer.name.rsplit(".", 1)[-1] for layer in shape.linear_layers()]
    close = difflib.get_close_matches(unused[0], known, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    names = ", ".join(clean_line(name, 60) for name in unused)
    raise InputError(
        f"model.target_modules: {names} names no layer of {shape.name}",
        remedy=f"Its layers are {', '.join(known)}; all-linear takes them all.{meant}",
    )

"""What an adapter's folder must be like before anything in it reaches the model.

Promises: weights come from one whole safetensors file, a pickle is refused by name; what the
adapter was trained on is held against the base that is served, by hashes where the adapter has
them; and of `adapter_config.json` nothing is used that could run code or change the base: which
modules are adapted, and with what rank, is read from the weights themselves.

Only JSON and the header of the safetensors file are read here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from qtui.errors import InputError, NotFoundError
from qtui.stages.inference.prompts import template_in
from qtui.stages.training import checkpoints, weights
from qtui.stages.training.adapter import ADAPTER_CONFIG, PROVENANCE
from qtui.stages.training.remote_code import read_json
from qtui.terminal import clean_line

WEIGHTS = "adapter_model.safetensors"
PICKLE = "adapter_model.bin"

_PREFIX = "base_model.model."
_PART = re.compile(r"^(.+)\.lora_(A|B|magnitude_vector|embedding_A|embedding_B)(\.weight)?$")
_HARMLESS_PATTERN = re.compile(r"^[\w.\\^$|()-]{1,200}$")
"""Names of modules, at most with alternatives: no such pattern takes long to match."""

_UNUSED = {
    "auto_mapping", "base_model_name_or_path", "revision", "inference_mode", "peft_type",
    "peft_version", "task_type", "init_lora_weights", "lora_dropout", "target_modules",
    "exclude_modules", "layers_to_transform", "layers_pattern", "r", "rank_pattern", "loftq_config",
    "eva_config", "corda_config", "lora_ga_config", "megatron_core", "qalora_group_size",
    "ensure_weight_tying",
}  # fmt: skip
"""Fields that matter only for training, or that the weights themselves answer."""

_USED = {"lora_alpha", "alpha_pattern", "use_rslora", "use_dora", "fan_in_fan_out",
         "modules_to_save", "lora_bias"}  # fmt: skip


@dataclass(frozen=True)
class Base:
    """The model that is served, as far as adapters are held against it."""

    name: str
    path: Path
    identity: Callable[[], dict[str, Any]]
    """`weights.identity` of it; may read some megabytes, so it is asked for when it is needed."""


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter that may be loaded."""

    folder: Path
    settings: dict[str, Any]
    """Arguments of `LoraConfig` beside the task: see the module."""
    modules: dict[str, int]
    """Adapted modules, by path in the base, and their ranks."""
    shapes: dict[str, tuple[int, ...]]
    """Of each tensor, by its key in the file."""
    stamp: tuple[int, int]
    """Size and time of the weights: another one means another adapter."""
    template: str | None = None
    """Its own chat template. Kept, for a run in training clears old checkpoints away while they are
    still being asked."""

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def mixes(self) -> bool:
        """Whether PEFT can apply it to some rows of a batch and not to others."""
        return not (self.settings["use_dora"] or self.settings["modules_to_save"])


def check(folder: Path, base: Base) -> AdapterFiles:
    """The adapter in `folder`, if it is one and belongs to `base`.

    Raises:
        NotFoundError: there is no such folder, or a file is missing.
        InputError: anything else; names the file, the reason and the way out.
    """
    shown = clean_line(str(folder))
    if not folder.is_dir():
        raise NotFoundError(f"there is no adapter folder {shown}")
    names = {entry.name for entry in folder.iterdir()}
    if ADAPTER_CONFIG not in names:
        if checkpoints.MANIFEST not in names and folder.name.startswith("step-"):
            raise InputError(f"{shown} is no complete checkpoint: it has no manifest")
        raise NotFoundError(
            f"{shown} is no adapter: it has no {ADAPTER_CONFIG}",
            remedy="name the folder that a training wrote, such as runs/RUN/adapter",
        )
    if WEIGHTS not in names:
        if PICKLE in names:
            raise InputError(
                f"{shown} has its weights only as a pickle ({PICKLE}): loading a pickle can run "
                "any code, so qtui does not",
                remedy="convert an adapter that you trust: load it with PEFT elsewhere and save "
                "it again, which writes safetensors",
            )
        raise NotFoundError(f"{shown} is no adapter: it has no {WEIGHTS}")
    if checkpoints.MANIFEST in names and checkpoints.read(folder) is None:
        raise InputError(
            f"{shown} is a checkpoint that is damaged: its files are not those of its manifest",
            remedy="take another checkpoint of the run: qtui runs show lists them",
        )
    header = weights.header(folder / WEIGHTS)
    config = read_json(folder / ADAPTER_CONFIG)
    _right_base(folder, config, base)
    settings = _settings(config, shown)
    modules, shapes = _adapted(header, settings["modules_to_save"] or (), shown)
    stat = (folder / WEIGHTS).stat()
    return AdapterFiles(
        folder=folder,
        settings=settings,
        modules=modules,
        shapes=shapes,
        stamp=(stat.st_size, stat.st_mtime_ns),
        template=template_in(folder),
    )


def _right_base(folder: Path, config: dict[str, Any], base: Base) -> None:
    """Refuse an adapter of another model."""
    shown = clean_line(str(folder))
    own = folder / PROVENANCE
    said = read_json(own) if own.is_file() else {}
    trained = said.get("base")
    if isinstance(trained, dict) and isinstance(trained.get("weights_sha256"), str):
        served = base.identity()
        if trained["weights_sha256"] != served["weights_sha256"]:
            other = clean_line(str(said.get("base_model") or "another model"), 120)
            raise InputError(
                f"{shown} is an adapter of {other} (weights {_short(trained)}), but "
                f"{clean_line(base.name)} (weights {_short(served)}) is served here",
                remedy="start a server with the model that it was trained on",
            )
        return
    name = config.get("base_model_name_or_path")
    if isinstance(name, str) and name and not _same_model(name, base):
        raise InputError(
            f"{shown} says that it is an adapter of {clean_line(name, 120)}, but "
            f"{clean_line(base.name)} is served here",
            remedy="start a server with the model that it was trained on; if it is the same under "
            f"another name, write that name into its {ADAPTER_CONFIG} (base_model_name_or_path)",
        )


def _short(identity: dict[str, Any]) -> str:
    return clean_line(str(identity["weights_sha256"]), 12)


def _same_model(name: str, base: Base) -> bool:
    """Whether `name` may mean the base: it is called so, lies there, or has the same last part."""
    if name == base.name or Path(name) == base.path:
        return True
    last = PurePosixPath(name.replace("\\", "/")).name.casefold()
    return last == PurePosixPath(base.name).name.casefold()


def _adapted(
    header: dict[str, Any], saved: Sequence[str], shown: str
) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    """Adapted modules with their ranks, and all shapes, by the weights' header.

    Args:
        saved: names of the modules that the adapter brings whole.
    """
    ranks: dict[str, int] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    parts: dict[str, set[str]] = {}
    for key, tensor in header.items():
        shape = tuple(int(size) for size in tensor.get("shape", ()))
        shapes[key] = shape
        inside = key.removeprefix(_PREFIX)
        part = _PART.match(inside)
        whole = any(name in (f".{inside}".rsplit(".", 1)[0] + ".") for name in _dotted(saved))
        if inside == key or (part is None and not whole):
            # PEFT would write it over the base's own weights, for everybody.
            raise InputError(
                f"{shown} has a tensor that is no part of an adapter: {clean_line(key, 120)}",
                remedy="take the adapter alone, as PEFT's save_pretrained writes it",
            )
        if part is None:
            continue
        module, kind = part.group(1), part.group(2).removeprefix("embedding_")
        parts.setdefault(module, set()).add(kind)
        if kind == "A" and shape:
            ranks[module] = shape[0]
    for module, kinds in parts.items():
        if not kinds >= {"A", "B"} or module not in ranks:
            raise InputError(
                f"{shown} is not whole: lora_A or lora_B of {clean_line(module, 120)} is missing",
                remedy="copy or download the adapter again",
            )
    if not ranks:
        raise InputError(
            f"{shown} holds no LoRA weights",
            remedy="qtui serves LoRA adapters, DoRA and rsLoRA among them",
        )
    return ranks, shapes


def _dotted(names: Sequence[str]) -> list[str]:
    return [f".{name}." for name in names]


def _settings(config: dict[str, Any], shown: str) -> dict[str, Any]:
    """Arguments of `LoraConfig`, from the fields that are known to do nothing else."""
    kind = config.get("peft_type")
    if kind != "LORA":
        raise _not_served(shown, f"peft_type {clean_line(str(kind), 40)}")
    for name, value in config.items():
        if name == "bias" and value not in (None, "none"):
            # Its biases would take the place of the base's, for everybody.
            raise _not_served(shown, f"bias {clean_line(str(value), 40)}")
        if name not in _UNUSED | _USED | {"bias"} and value not in (None, False, {}, []):
            raise _not_served(shown, clean_line(str(name), 60))
    alpha = config.get("lora_alpha", 8)
    saved = config.get("modules_to_save") or None
    pattern = config.get("alpha_pattern") or {}
    if not _number(alpha) or not isinstance(pattern, dict) or not (saved is None or _names(saved)):
        raise InputError(f"{ADAPTER_CONFIG} of {shown} has values of the wrong kind")
    for key, value in pattern.items():
        if not _HARMLESS_PATTERN.match(str(key)) or not _number(value):
            raise _not_served(shown, f"alpha_pattern {clean_line(str(key), 60)}")
    return {
        "lora_alpha": alpha,
        "alpha_pattern": dict(pattern),
        "use_rslora": bool(config.get("use_rslora", False)),
        "use_dora": bool(config.get("use_dora", False)),
        "fan_in_fan_out": bool(config.get("fan_in_fan_out", False)),
        "lora_bias": bool(config.get("lora_bias", False)),
        "modules_to_save": saved,
    }


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(name, str) and re.fullmatch(r"[\w.]{1,200}", name) for name in value
    )


def _not_served(shown: str, what: str) -> InputError:
    return InputError(
        f"{shown} asks for {what} in its {ADAPTER_CONFIG}, which is not served",
        remedy="qtui serves LoRA adapters (DoRA and rsLoRA among them) that leave the base as it "
        "is; others can be merged into a model of their own with PEFT",
    )

"""Reads a model's dimensions from its `config.json`.

Known architectures give exact counts: Llama, Mistral, Qwen 2, 2.5 and 3, Gemma 1, 2 and 3,
Phi-3 and Phi-4, Mixtral and Qwen 3 MoE. Any other decoder is read by the names most of them
use and marked as not exact, so that an estimate widens its band. A file that lacks a dimension
or holds nonsense is refused with the name of the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from qtui.errors import InputError, NotFoundError
from qtui.system.model_shape import ModelShape
from qtui.terminal import clean_line

_MAX_BYTES = 8 * 1024 * 1024
_LARGEST = 2**40

KNOWN = frozenset(
    {
        *("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "gemma3_text"),
        *("phi3", "mixtral", "qwen3_moe"),
    }
)

# Gemma 3's published text_config leaves out whatever equals its class's default.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "gemma": {"tie_word_embeddings": True},
    "gemma2": {"tie_word_embeddings": True},
    "gemma3": {
        "tie_word_embeddings": True,
        "vocab_size": 262_208,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
    },
}
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "hidden_size": ("hidden_size", "n_embd", "d_model", "dim"),
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "num_attention_heads": ("num_attention_heads", "n_head", "num_heads", "n_heads"),
    "num_key_value_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv"),
    "intermediate_size": ("intermediate_size", "n_inner", "ffn_dim", "d_ff"),
    "num_experts": ("num_local_experts", "num_experts", "n_routed_experts"),
}


class _Fields:
    """A config's values by name, with aliases, defaults and checks."""

    def __init__(self, values: Mapping[str, Any], defaults: Mapping[str, Any], source: str) -> None:
        self._values = values
        self._defaults = defaults
        self._source = source

    def get(self, name: str) -> Any:
        for alias in _ALIASES.get(name, (name,)):
            if self._values.get(alias) is not None:
                return self._values[alias]
        return self._defaults.get(name)

    def number(self, name: str, default: int | None = None) -> int:
        value = self.get(name)
        if value is None:
            value = default
        if value is None:
            raise InputError(
                f"{self._source} has no {name}, so the model's size cannot be told",
                remedy="Check that it is the configuration of a decoder-only language model.",
            )
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not 0 < value < _LARGEST:
            raise InputError(
                f"{self._source}: {name} is {clean_line(repr(value), 40)}, not a positive number"
            )
        return int(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.get(name)
        return default if value is None else bool(value)


def read_config(path: Path, *, name: str = "") -> ModelShape:
    """The shape told by the `config.json` at `path`.

    Raises NotFoundError when it is not there, InputError when it cannot be read as one.
    """
    shown = clean_line(str(path))
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(
            f"{shown} does not exist",
            remedy="A model folder needs the config.json that save_pretrained writes.",
        ) from None
    except OSError as error:
        raise InputError(f"{shown} cannot be read: {error.strerror}") from None
    if len(text) > _MAX_BYTES:
        raise InputError(f"{shown} is larger than 8 MB, which no model configuration is")
    try:
        config = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{shown} is not JSON: {clean_line(str(error), 200)}") from None
    if not isinstance(config, dict):
        raise InputError(f"{shown} is not a model configuration: it holds no object")
    return shape_from_config(config, name=name or path.parent.name, source=shown)


def shape_from_config(config: Mapping[str, Any], *, name: str, source: str) -> ModelShape:
    """The shape told by `config`, the content of a `config.json`; see `read_config`."""
    text = config.get("text_config")
    values = {**config, **text} if isinstance(text, dict) else dict(config)
    model_type = str(config.get("model_type") or values.get("model_type") or "")
    family = "gemma3" if model_type == "gemma3_text" else model_type
    fields = _Fields(values, _DEFAULTS.get(family, {}), source)
    hidden = fields.number("hidden_size")
    layers = fields.number("num_hidden_layers")
    heads = fields.number("num_attention_heads")
    attention_bias = fields.flag("attention_bias")
    experts = fields.number("num_experts", 0) if fields.get("num_experts") else 0
    intermediate = fields.number("intermediate_size", 4 * hidden)
    head_dim = fields.number("head_dim", max(hidden // heads, 1))
    return ModelShape(
        name=clean_line(name),
        family=clean_line(family, 40) or "unknown",
        hidden_size=hidden,
        num_layers=layers,
        intermediate_size=intermediate,
        num_heads=heads,
        num_kv_heads=fields.number("num_key_value_heads", heads),
        head_dim=head_dim,
        vocab_size=fields.number("vocab_size"),
        tied_embeddings=fields.flag("tie_word_embeddings"),
        qkv_bias=family == "qwen2" or attention_bias,
        output_bias=attention_bias,
        mlp_bias=fields.flag("mlp_bias"),
        qk_norm=family in ("qwen3", "qwen3_moe", "gemma3"),
        norms_per_layer=4 if family in ("gemma2", "gemma3") else 2,
        gated_mlp=model_type in KNOWN or _is_gated(fields),
        fused_projections=family == "phi3",
        attention_softcap=family == "gemma2" and fields.flag("attn_logit_softcapping", True),
        num_experts=experts,
        experts_per_token=fields.number("num_experts_per_tok", 1) if experts else 0,
        moe_intermediate_size=(
            fields.number("moe_intermediate_size", intermediate) if experts else 0
        ),
        moe_layers=layers if experts else 0,
        other_parameters=_vision_parameters(config, hidden),
        max_position_embeddings=fields.number("max_position_embeddings", 1)
        if fields.get("max_position_embeddings")
        else None,
        exact=model_type in KNOWN and "vision_config" not in config,
        source=source,
    )


def _is_gated(fields: _Fields) -> bool:
    """Whether an unknown architecture's MLP has a gate: those that use SiLU almost always do."""
    activation = fields.get("hidden_act") or fields.get("hidden_activation") or ""
    return "silu" in str(activation) or "swish" in str(activation) or "glu" in str(activation)


def _vision_parameters(config: Mapping[str, Any], hidden: int) -> int:
    """Parameters of a vision tower with plain transformer blocks and its projection (near)."""
    vision = config.get("vision_config")
    if not isinstance(vision, dict):
        return 0
    fields = _Fields(vision, {"hidden_size": 1152, "num_hidden_layers": 27}, "vision_config")
    width = fields.number("hidden_size")
    inner = fields.number("intermediate_size", 4 * width)
    return fields.number("num_hidden_layers") * (4 * width**2 + 2 * width * inner) + width * hidden

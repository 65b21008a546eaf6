"""Folders that look like models, made byte by byte: no torch, any size, any damage."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any


def safetensors(tensors: dict[str, int], fill: int = 0) -> bytes:
    """A safetensors file with flat float32 tensors of the given lengths."""
    header, end = {}, 0
    for name, length in tensors.items():
        header[name] = {"dtype": "F32", "shape": [length], "data_offsets": [end, end + 4 * length]}
        end += 4 * length
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes([fill]) * end


def write_model(
    folder: Path,
    *,
    floats: int = 64,
    parts: int = 1,
    fill: int = 0,
    config: dict[str, Any] | None = None,
) -> Path:
    """A model in transformers' layout: config, tokenizer and weights in `parts` files."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]} | (config or {})
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", "model": {}}))
    (folder / "tokenizer_config.json").write_text("{}")
    if parts == 1:
        (folder / "model.safetensors").write_bytes(safetensors({"weight": floats}, fill))
        return folder
    weight_map = {}
    for part in range(1, parts + 1):
        name = f"model-{part:05}-of-{parts:05}.safetensors"
        (folder / name).write_bytes(safetensors({f"weight.{part}": floats}, fill + part))
        weight_map[f"weight.{part}"] = name
    index = json.dumps({"metadata": {}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(index)
    return folder

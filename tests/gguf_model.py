"""Writes the built-in model as a .gguf file, so that llama.cpp is tested on a real one.

The names and layouts are those of llama.cpp's own converter (`convert_hf_to_gguf.py`, class
LlamaModel): the rows of the query and key projections are put in the order of rotary pairs that
lie side by side, where transformers has halves. The tokenizer is written as `gpt2` (byte-level
BPE) with the pre-tokenizer `starcoder`, which splits digits one by one and then as GPT-2 does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qtui.builtin import model_path
from tests.tools import missing

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def need_llama_cpp() -> None:
    """Skip the running test without llama-cpp-python, or fail it under QTUI_CI=1."""
    from importlib.util import find_spec

    if find_spec("llama_cpp") is None:
        missing("llama-cpp-python is not installed (pip install '.[llama]': builds for minutes)")


def write(
    path: Path,
    *,
    kind: str = "F32",
    template: str | None = "own",
    architecture: str = "llama",
    context: int | None = None,
    extra: dict[str, str] | None = None,
) -> Path:
    """Write the built-in model to `path` with matrices of the type `kind` (F32, F16, Q8_0).

    `template` is a chat template, `own` for the model's, or none; `architecture` is what the
    file says it is; `extra` are further texts of the metadata.
    """
    import gguf
    import numpy as np

    folder = model_path()
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_context_length(context or config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    _tokenizer(writer, folder, config, gguf)
    if template is not None:
        own = (folder / "chat_template.jinja").read_text()
        writer.add_chat_template(own if template == "own" else template)
    for key, value in (extra or {}).items():
        writer.add_string(key, value)
    heads = config["num_attention_heads"]
    for name, values in _weights(folder / "model.safetensors").items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            rows, columns = values.shape
            values = values.reshape(heads, 2, rows // heads // 2, columns)
            values = values.swapaxes(1, 2).reshape(rows, columns)
        _tensor(writer, _renamed(name), np.ascontiguousarray(values), kind, gguf)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _weights(path: Path) -> dict[str, Any]:
    """The tensors as float32, without torch: numpy has no bfloat16, but its bytes suffice."""
    import numpy as np

    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    found = {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            assert entry["dtype"] == "BF16"
            begin, end = (start + offset for offset in entry["data_offsets"])
            halves = np.frombuffer(data[begin:end], dtype="<u2").astype("<u4")
            found[name] = (halves << 16).view("<f4").reshape(entry["shape"])
    return found


def _tokenizer(writer: Any, folder: Path, config: dict[str, Any], gguf: Any) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    special = {added["content"] for added in tokenizer["added_tokens"] if added["special"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("starcoder")
    writer.add_token_list(vocabulary)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if one in special else gguf.TokenType.NORMAL for one in vocabulary]
    )
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)


def _renamed(name: str) -> str:
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def _tensor(writer: Any, name: str, values: Any, kind: str, gguf: Any) -> None:
    # Vectors stay F32, as in every file of llama.cpp's converter.
    if values.ndim < 2 or kind == "F32":
        writer.add_tensor(name, values)
        return
    wanted = gguf.GGMLQuantizationType[kind]
    writer.add_tensor(name, gguf.quantize(values, wanted), raw_dtype=wanted)

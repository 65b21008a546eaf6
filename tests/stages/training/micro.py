"""A model and tokenizer small enough that a training step takes milliseconds.

Random weights in a real architecture: what is tested here is the machinery, not the learning.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


SIZE: dict[str, Any] = {
    "vocab_size": 288,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": None,
}
"""What the configs of most architectures call the sizes of a model this small."""


def make_model(folder: Path, *, seed: int = 0, config: Any = None) -> Path:
    """Write a model of about 0.2 million parameters with a byte-level tokenizer to `folder`.

    Of the architecture that `config` (built from `SIZE`) describes; none makes a Llama.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    vocabulary = {token: index for index, token in enumerate(special + alphabet)}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=special[2:],
        model_max_length=512,
    )
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(seed)
    config = config or LlamaConfig(**SIZE, tie_word_embeddings=True)
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_rows(path: Path, count: int = 64, *, first: int = 0) -> Path:
    """Write conversations of mixed length to `path` as JSONL."""
    with path.open("w") as stream:
        for number in range(first, first + count):
            word = "abcdefgh"[number % 8] * (1 + number * 7 % 23)
            row = {
                "messages": [
                    {"role": "user", "content": f"say {word} {number}"},
                    {"role": "assistant", "content": f"{word} {number}"},
                ]
            }
            stream.write(json.dumps(row) + "\n")
    return path

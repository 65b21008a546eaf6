"""The tokenizer: byte-level BPE with every digit on its own, and the chat template.

Digits one by one make copying and arithmetic on numbers a matter of position; bytes underneath
mean that any text at all can be encoded and decoded without loss.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SIZE = 2048
MAX_LENGTH = 1024
PAD, BEGIN, END = "<|pad|>", "<|begin|>", "<|end|>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL = (PAD, BEGIN, END, SYSTEM, USER, ASSISTANT)

# Every turn is its marker, the text and <|end|>. Content may be a string, a list of parts, or
# missing (a bare tool call); a role that has no marker of its own is a user's turn that names it.
TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- set content = message['content'] if message['content'] is defined else '' -%}
{%- if content is none -%}{%- set content = '' -%}
{%- elif content is not string -%}
{%- set content = content | map(attribute='text', default='') | join('') -%}
{%- endif -%}
{%- if message['role'] == 'assistant' -%}
{{- '<|assistant|>' -}}{%- generation -%}{{- content + '<|end|>' -}}{%- endgeneration -%}
{%- elif message['role'] == 'system' -%}
{{- '<|system|>' + content + '<|end|>' -}}
{%- elif message['role'] == 'user' -%}
{{- '<|user|>' + content + '<|end|>' -}}
{%- else -%}
{{- '<|user|>' + message['role'] + ': ' + content + '<|end|>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


def train(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Learn the merges from `texts`; deterministic for the same texts in the same order."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_LENGTH,
        padding_side="right",
    )


def save(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write tokenizer, settings and template, under names that older readers know as well."""
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    for name in ("backend", "is_local", "local_files_only", "extra_special_tokens"):
        settings.pop(name, None)
    settings["additional_special_tokens"] = [SYSTEM, USER, ASSISTANT]
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    file.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")

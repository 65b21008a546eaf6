"""A tokenizer small enough to make in a test, with the real parts: byte-level BPE, special tokens.

`trim_offsets` is on, as in Llama 3 and others: offsets then leave out leading spaces, which is
where masks made from characters go wrong.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

SPECIAL = re.compile(r"<[|｜][^|｜>\n]{1,40}[|｜]>|</?s>|<(?:bos|eos|start_of_turn|end_of_turn)>")
TEMPLATES = Path(__file__).parents[3].parent / "shared" / "data" / "chat_templates" / "jinja"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED = (
    "{{ bos_token }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}"
    "{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@lru_cache(maxsize=32)
def _trained(specials: tuple[str, ...]) -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=400 + len(specials),
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = "the answer to the question is a system text, assistant user model and so on\n\n"
    tokenizer.train_from_iterator([words] * 20, trainer)
    return str(tokenizer.to_str())


def tokenizer(template: str | None, *, eos: str = "<|im_end|>", bos: str = "<s>") -> Any:
    """A fast tokenizer whose special tokens are those that the template writes."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    found = dict.fromkeys(
        [bos, eos, "<|im_start|>", "<|im_end|>", *SPECIAL.findall(template or "")]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(tuple(found))), bos_token=bos, eos_token=eos
    )
    made.chat_template = template
    return made

"""The tokenizer inside a .gguf file, called as transformers' tokenizers are.

So prompts, chat templates and the text of answers are made by the very code that the transformers
engine has. What a special token is, is what the file says: llama.cpp reads the same attributes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import llama_cpp

from qtui.stages.inference.gguf_header import Header


class GgufTokenizer:
    """The tokenizer of a loaded model; from any thread, until the model is freed."""

    def __init__(self, vocabulary: Any, header: Header) -> None:
        self.vocabulary = vocabulary
        self._template = header.text("tokenizer.chat_template")
        self.bos_token_id = _known(llama_cpp.llama_vocab_bos(vocabulary))
        self.eos_token_id = _known(llama_cpp.llama_vocab_eos(vocabulary))
        self.bos_token, self.eos_token = (
            None if token is None else self.piece(token).decode("utf-8", "replace")
            for token in (self.bos_token_id, self.eos_token_id)
        )
        self.special_tokens_map = {
            name: text
            for name, text in (("bos_token", self.bos_token), ("eos_token", self.eos_token))
            if text
        }

    def __len__(self) -> int:
        return int(llama_cpp.llama_vocab_n_tokens(self.vocabulary))

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        """`text` as `input_ids`, special tokens recognised.

        `add_special_tokens`: with the beginning-of-text token, if the model wants one and `text`
        does not begin with it already.
        """
        data = text.encode("utf-8", "replace")
        add = add_special_tokens and not (self.bos_token and text.startswith(self.bos_token))
        room = len(data) + 8
        while True:
            found = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(
                self.vocabulary, data, len(data), found, room, add, True
            )
            if count >= 0:
                return {"input_ids": list(found[:count])}
            room = -count

    def piece(self, token: int, *, special: bool = True) -> bytes:
        """The bytes that `token` stands for; a special one stands for none unless `special`."""
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = llama_cpp.llama_token_to_piece(self.vocabulary, token, buffer, room, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            room = -count

    def decode(
        self,
        ids: Sequence[int],
        *,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool = False,
    ) -> str:
        """The text of `ids`, broken characters replaced. Spaces are never cleaned up."""
        special = not skip_special_tokens
        data = b"".join(self.piece(token, special=special) for token in ids)
        return data.decode("utf-8", "replace")

    def get_chat_template(self) -> str:
        """The chat template that the file brings. Raises ValueError when it brings none."""
        if self._template is None:
            raise ValueError("the file has no tokenizer.chat_template")
        return self._template

    @cached_property
    def all_special_ids(self) -> list[int]:
        """Tokens that are no text: control tokens, and those that were added as whole words."""
        wanted = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
        return [
            token
            for token in range(len(self))
            if llama_cpp.llama_vocab_get_attr(self.vocabulary, token) & wanted
        ]

    @property
    def added_tokens_decoder(self) -> dict[int, str]:
        """The special tokens as they are written."""
        return {
            token: self.piece(token).decode("utf-8", "replace") for token in self.all_special_ids
        }

    @cached_property
    def ends(self) -> frozenset[int]:
        """The tokens that end an answer: of text, of a turn, of a message."""
        return frozenset(
            token
            for token in range(len(self))
            if llama_cpp.llama_vocab_is_eog(self.vocabulary, token)
        )


def _known(token: int) -> int | None:
    return None if token < 0 else int(token)

"""From tokens to text as it comes: whole characters only, and nothing behind a stop string.

Promises: the pieces of one answer, one after another, are what decoding all of its tokens at once
gives, up to the stop string that ended it; no piece ever has to be taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers.decoders import DecodeStream

_BROKEN = "\ufffd"
"""What the bytes of a character that is not whole yet are decoded to."""


class Characters:
    """Decodes token by token; what has no whole character yet is held back."""

    def __init__(self, tokenizer: Any, *, skip_special_tokens: bool) -> None:
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self._ids: list[int] = []
        self._given = 0
        core = getattr(tokenizer, "backend_tokenizer", None)
        self._core: Any = core
        self._stream = (
            DecodeStream(skip_special_tokens=skip_special_tokens) if core is not None else None
        )
        self._from = self._upto = 0

    def add(self, token: int) -> str:
        """The characters that `token` completes; often an empty text."""
        self._ids.append(token)
        text = self._fast(token) if self._stream is not None else self._slow()
        self._given += len(text)
        return text

    def rest(self) -> str:
        """What was held back, its broken bytes as replacement characters."""
        return self.whole(self._ids)[self._given :]

    def whole(self, ids: Sequence[int]) -> str:
        """All of `ids` decoded at once."""
        if not ids:
            return ""
        text: str = self._tokenizer.decode(
            ids, skip_special_tokens=self._skip, clean_up_tokenization_spaces=False
        )
        return text

    def _fast(self, token: int) -> str:
        assert self._stream is not None
        return self._stream.step(self._core, token) or ""

    def _slow(self) -> str:
        """By comparing: a window of tokens, decoded with and without the newest.

        A tokenizer may decode the first token of a text unlike later ones, so the window begins
        with tokens whose text was given already.
        """
        before = self.whole(self._ids[self._from : self._upto])
        after = self.whole(self._ids[self._from :])
        if len(after) <= len(before) or after.endswith(_BROKEN):
            return ""
        self._from, self._upto = self._upto, len(self._ids)
        return after[len(before) :]


class TextStream:
    """The text of one answer, with its stop strings."""

    def __init__(self, tokenizer: Any, *, stop: Sequence[str], skip_special_tokens: bool) -> None:
        self._characters = Characters(tokenizer, skip_special_tokens=skip_special_tokens)
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self._met = False

    @property
    def stopped(self) -> bool:
        """Whether a stop string was met; there is no more text then."""
        return self._met

    def add(self, token: int) -> str:
        """The text that can be given now that `token` has come."""
        return self._given(self._characters.add(token))

    def end(self) -> str:
        """What is left when no token follows."""
        if self._met:
            return ""
        text = self._given(self._characters.rest())
        if not self._met:
            text += self._held
            self._held = ""
        return text

    def _given(self, more: str) -> str:
        if not self._stop:
            return more
        if self._met or not more:
            return ""
        text = self._held + more
        # The one that is whole first, wherever tokens end; of two, the longer.
        found = [(at + len(stop), at) for stop in self._stop if (at := text.find(stop)) >= 0]
        if found:
            self._met = True
            self._held = ""
            return text[: min(found)[1]]
        hold = max(_overlap(text, stop) for stop in self._stop)
        self._held = text[len(text) - hold :]
        return text[: len(text) - hold]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` with which `stop` begins."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[len(text) - length :]):
            return length
    return 0

"""Where each token of a text begins and ends, found by spelling the tokens out.

A tokenizer that also says which characters its tokens stand for takes half as long again, and most
of that goes into Python tuples. Almost always it is not needed: where the spellings of the tokens,
one behind the other, are the text byte for byte, their lengths are the borders. That is looked at
for each text; where it does not hold (a tokenizer that changes the text), `borders` says so and the
tokenizer itself is asked.
"""

from __future__ import annotations

import re
from array import array
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Borders = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
    """First character of each token of a text, and the one behind it."""

_TRIED = 64
_UNKNOWN = b"\xff"  # stands in no UTF-8, so no text is ever spelled with it
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Spelling:
    """How the tokens of one tokenizer are spelled; see `spelling_of`."""

    def __init__(self, tokenizer: Any) -> None:
        backend = tokenizer.backend_tokenizer
        self._bytewise = backend.token_to_id("Ġ") is not None
        self._spelled = _Spelled(backend, tokenizer.added_tokens_decoder, self._bytewise)
        self._seen = 0
        self._missed = 0

    @property
    def helps(self) -> bool:
        """False once most texts turned out to be spelled in another way."""
        return self._seen < _TRIED or self._missed * 2 < self._seen

    def borders(self, text: str, ids: array[int]) -> Borders | None:
        """Where the tokens stand in `text`; None: they spell another text.

        A token that is part of a character stands for the whole of it.
        """
        self._seen += 1
        raw = text.encode("utf-8", "surrogatepass")
        spelled = self._spelled
        if b"".join(map(spelled.__getitem__, ids)) != raw:
            self._missed += 1
            return None
        ends = spelled.lengths[np.frombuffer(ids, dtype=np.int32)].cumsum()
        starts = np.zeros_like(ends)
        starts[1:] = ends[:-1]
        if len(raw) == len(text):
            return starts, ends
        begun = np.cumsum((np.frombuffer(raw, dtype=np.uint8) & 0xC0) != 0x80)
        return begun[starts] - 1, begun[ends - 1]


class _Spelled(dict[int, bytes]):
    """The bytes that each token id stands for, found when they are first asked for."""

    def __init__(self, backend: Any, added: dict[int, Any], bytewise: bool) -> None:
        super().__init__()
        self._backend = backend
        self._added = added
        self._bytewise = bytewise
        self.lengths: npt.NDArray[np.int64] = np.zeros(1024, dtype=np.int64)
        """In bytes, of the tokens that were asked for."""

    def __missing__(self, number: int) -> bytes:
        if number in self._added:
            found = str(self._added[number]).encode()
        else:
            token = self._backend.id_to_token(number) or ""
            found = _by_bytes(token) if self._bytewise else _by_characters(token)
        self[number] = found = found or _UNKNOWN
        if number >= len(self.lengths):
            self.lengths = np.resize(self.lengths, 2 * number)
        self.lengths[number] = len(found)
        return found


def _by_bytes(token: str) -> bytes:
    table = _byte_table()
    try:
        return bytes(table[character] for character in token)
    except KeyError:
        return _UNKNOWN


def _by_characters(token: str) -> bytes:
    byte = _BYTE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode()


@lru_cache(maxsize=1)
def _byte_table() -> dict[str, int]:
    """The byte that each character stands for in the tokens of byte-level BPE (GPT-2's table)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in set(plain)]
    return {
        **{chr(byte): byte for byte in plain},
        **{chr(256 + place): byte for place, byte in enumerate(rest)},
    }


@lru_cache(maxsize=4)
def spelling_of(tokenizer: Any) -> Spelling:
    """How the tokens of this fast tokenizer are spelled; made once."""
    return Spelling(tokenizer)

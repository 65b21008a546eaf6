"""Turns rendered conversations into token ids and labels, exactly as the model will see them.

The text is tokenised as a whole (never in pieces: that gives other tokens), without adding
anything: the template has written the beginning-of-text token, and adding another is the classic
double-BOS bug. A token is trained when it overlaps an answer and holds nothing else but white
space. Rows of which no trained token is left within `max_seq_length` are reported, not lost.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from qtui.errors import InputError
from qtui.stages.data.encoding.render import Rendered

if TYPE_CHECKING:
    from qtui.stages.data.encoding.spelling import Borders

IGNORED = -100
_PARALLELISM = "TOKENIZERS_PARALLELISM"


@dataclass(frozen=True, slots=True)
class Tokens:
    """One row for the trainer. `length` is before cutting, `trained` the labels that are used.

    `all_ids` are the ids before cutting and `ends` the character of the text behind each of them,
    both as u32 little endian (see `runs.dataset.StoredTokens`); `ends` is empty for a tokenizer
    that does not know.
    """

    input_ids: Sequence[int]
    labels: Sequence[int]
    length: int
    trained: int
    all_ids: bytes = b""
    ends: bytes = b""


@dataclass(frozen=True)
class PlainTokenizer:
    """What tokenising needs of a tokenizer, without transformers.

    `backend_tokenizer` is the tokenizers library's; the rest as in transformers.
    """

    backend_tokenizer: Any
    bos_token_id: int | None
    split_special_tokens: bool
    added_tokens_decoder: Mapping[int, Any]
    is_fast: bool = True

    @classmethod
    def of(cls, text: str, bos_token_id: int | None, split_special_tokens: bool) -> PlainTokenizer:
        """From the text of a tokenizer.json."""
        from tokenizers import Tokenizer

        backend = Tokenizer.from_str(text)
        added = {n: token.content for n, token in backend.get_added_tokens_decoder().items()}
        return cls(backend, bos_token_id, split_special_tokens, added)

    def __hash__(self) -> int:
        return id(self)


def plain(tokenizer: Any) -> PlainTokenizer | None:
    """A tokenizer of transformers as a plain one; None where it is more than that."""
    if not _is_plain(tokenizer):
        return None
    return PlainTokenizer(
        tokenizer.backend_tokenizer,
        tokenizer.bos_token_id,
        tokenizer.split_special_tokens,
        tokenizer.added_tokens_decoder,
    )


def tokenise(
    tokenizer: Any, rendered: Sequence[Rendered], *, max_seq_length: int, mask: bool
) -> list[Tokens]:
    """Return ids and labels for each text, cut to `max_seq_length`; `mask=False` trains on all.

    A row with `trained == 0` has nothing to learn from. Raises InputError for a tokenizer that
    cannot say which characters a token stands for.
    """
    if mask and not tokenizer.is_fast:
        raise InputError(
            "the model's tokenizer does not say which characters a token stands for, "
            "so the answers cannot be told apart",
            remedy="Set training.assistant_only_loss: false.",
        )
    if not rendered:
        return []
    texts = [one.text for one in rendered]
    bos = tokenizer.bos_token_id
    return [
        _row(one, ids, borders, bos, max_seq_length, mask)
        for one, (ids, borders) in zip(rendered, _encoded(tokenizer, texts), strict=True)
    ]


def _row(
    rendered: Rendered,
    whole: array[int],
    borders: Borders | None,
    bos: int | None,
    max_seq_length: int,
    mask: bool,
) -> Tokens:
    import numpy as np

    labels = _labels(rendered, whole, borders) if mask and borders else whole[:]
    ends = b"" if borders is None else borders[1].astype("<u4").tobytes()
    if bos is not None and whole[:2] == array("i", [bos, bos]):
        whole, labels, ends = whole[1:], labels[1:], ends[4:]
    length = len(whole)
    labels = labels[:max_seq_length]
    # The first label is never used: the model predicts each token from those before it.
    trained = int(np.count_nonzero(np.frombuffer(labels, dtype=np.int32)[1:] != IGNORED))
    all_ids = np.frombuffer(whole, dtype=np.int32).astype("<u4").tobytes()
    return Tokens(whole[:max_seq_length], labels, length, trained, all_ids, ends)


def _labels(rendered: Rendered, ids: array[int], borders: Borders) -> array[int]:
    import numpy as np

    starts, ends = borders
    labels = array("i", [IGNORED]) * len(ids)
    learnt = np.zeros(len(ids), dtype=np.bool_)
    for start, end in rendered.spans:
        touched = (ends > start) & (starts < end)
        whole = touched & (starts >= start) & (ends <= end)
        learnt |= whole
        for at in np.flatnonzero(touched ^ whole).tolist():
            first, last = int(starts[at]), int(ends[at])
            outside = rendered.text[first:start] + rendered.text[end:last]
            learnt[at] |= outside.isspace()
    shown = np.frombuffer(labels, dtype=np.int32)
    np.copyto(shown, np.frombuffer(ids, dtype=np.int32), where=learnt)
    return labels


# ---- the tokenizer ------------------------------------------------------------------------------


def _encoded(tokenizer: Any, texts: list[str]) -> Iterator[tuple[array[int], Borders | None]]:
    """The ids of each text, and where each token begins and ends in it, as far as known.

    The ids are those of `tokenizer(texts, add_special_tokens=False)`, without its overhead.
    """
    from qtui.stages.data.encoding.spelling import spelling_of

    if not _is_plain(tokenizer):
        yield from _called(tokenizer, texts)
        return
    backend = tokenizer.backend_tokenizer
    if backend.truncation is not None:
        backend.no_truncation()
    if backend.padding is not None:
        backend.no_padding()
    if backend.encode_special_tokens != tokenizer.split_special_tokens:
        backend.encode_special_tokens = tokenizer.split_special_tokens
    spelling = spelling_of(tokenizer)
    spelt = spelling.helps
    encode = backend.encode_batch_fast if spelt else backend.encode_batch
    with _all_cores():
        encodings = encode(texts, add_special_tokens=False)
    for text, encoding in zip(texts, encodings, strict=True):
        ids = array("i", encoding.ids)
        borders = spelling.borders(text, ids) if spelt else None
        if borders is None:
            with_offsets = backend.encode(text, add_special_tokens=False) if spelt else encoding
            borders = _columns(with_offsets.offsets)
        yield ids, borders


def _is_plain(tokenizer: Any) -> bool:
    """Whether `tokenizer(…)` is no more than a call of the tokenizers library."""
    if isinstance(tokenizer, PlainTokenizer):
        return True
    from transformers import PreTrainedTokenizerFast

    return (
        isinstance(tokenizer, PreTrainedTokenizerFast)
        and type(tokenizer)._encode_plus is PreTrainedTokenizerFast._encode_plus
        and type(tokenizer).__call__ is PreTrainedTokenizerFast.__call__
    )


def _called(tokenizer: Any, texts: list[str]) -> Iterator[tuple[array[int], Borders | None]]:
    with _all_cores():
        encoded = tokenizer(
            texts,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=tokenizer.is_fast,
            verbose=False,
        )
    offsets = encoded["offset_mapping"] if tokenizer.is_fast else [None] * len(texts)
    for ids, pairs in zip(encoded["input_ids"], offsets, strict=True):
        yield array("i", ids), None if pairs is None else _columns(pairs)


def _columns(offsets: Sequence[tuple[int, int]]) -> Borders:
    import numpy as np

    flat = np.fromiter(chain.from_iterable(offsets), dtype=np.int64, count=2 * len(offsets))
    return flat[::2], flat[1::2]


@contextmanager
def _all_cores() -> Iterator[None]:
    """Let the tokenizers library use its threads here; it reads this variable at every call.

    Elsewhere in a worker it is off, because its threads do not survive a fork.
    """
    before = os.environ.get(_PARALLELISM)
    os.environ[_PARALLELISM] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_PARALLELISM]
        else:
            os.environ[_PARALLELISM] = before

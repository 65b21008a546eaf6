"""Turns rendered conversations into token ids and labels, exactly as the model will see them.

The text is tokenised as a whole (never in pieces: that gives other tokens), without adding
anything: the template has written the beginning-of-text token, and adding another is the classic
double-BOS bug. A token is trained when it overlaps an answer and holds nothing else but white
space. Rows of which no trained token is left within `max_seq_length` are reported, not lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qtui.errors import InputError
from qtui.stages.data.render import Rendered

IGNORED = -100
_PARALLELISM = "TOKENIZERS_PARALLELISM"


@dataclass(frozen=True, slots=True)
class Tokens:
    """One row for the trainer. `length` is before cutting, `trained` the labels that are used."""

    input_ids: list[int]
    labels: list[int]
    length: int
    trained: int


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
    texts = [one.text for one in rendered]
    with _all_cores():
        encoded = tokenizer(
            texts,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=mask,
            verbose=False,
        )
    bos = tokenizer.bos_token_id
    found = []
    for index, one in enumerate(rendered):
        ids = encoded["input_ids"][index]
        offsets = encoded["offset_mapping"][index] if mask else None
        labels = list(ids) if offsets is None else _labels(one, ids, offsets)
        if bos is not None and ids[:2] == [bos, bos]:
            ids, labels = ids[1:], labels[1:]
        length = len(ids)
        ids, labels = ids[:max_seq_length], labels[:max_seq_length]
        # The first label is never used: the model predicts each token from those before it.
        trained = len(labels) - labels.count(IGNORED)
        if labels and labels[0] != IGNORED:
            trained -= 1
        found.append(Tokens(ids, labels, length, trained))
    return found


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


def _labels(rendered: Rendered, ids: list[int], offsets: Sequence[tuple[int, int]]) -> list[int]:
    labels = [IGNORED] * len(ids)
    text = rendered.text
    position = 0
    count = len(ids)
    for start, end in rendered.spans:
        while position < count and offsets[position][1] <= start:
            position += 1
        while position < count and offsets[position][0] < end:
            first, last = offsets[position]
            outside = text[first:start] if first < start else ""
            outside += text[end:last] if last > end else ""
            if not outside or outside.isspace():
                labels[position] = ids[position]
            position += 1
    return labels

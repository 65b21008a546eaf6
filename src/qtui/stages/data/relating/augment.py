"""Variations of training rows: the instruction said differently, the answer as it was.

A model that has seen an instruction in several wordings depends less on the wording. Which rows are
varied, and how, follows from the seed and from what the rows say (`ranks.py`), never from their
order; and no variation says what another row says already.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from qtui.stages.data.relating.ranks import Bytes, contents, ranked
from qtui.stages.data.rows import Row

if TYPE_CHECKING:
    import numpy.typing as npt

    Times = npt.NDArray[np.uint8]

PLACE = "{instruction}"
LANGUAGE = "en"
"""Language of the built-in templates; they are put around instructions in it only."""
TEMPLATES = (
    "{instruction}\n\nAnswer as well as you can.",
    "{instruction}\n\nGive the best answer you can.",
    "{instruction}\n\nPlease answer.",
    "{instruction}\n\nThank you for your help.",
    "{instruction}\n\nWhat is your answer?",
    "Please help me with this.\n\n{instruction}",
    "Could you help me with the following?\n\n{instruction}",
    "Here is a task for you.\n\n{instruction}",
    "I have a request.\n\n{instruction}",
    "Read this and answer it.\n\n{instruction}",
    "I would like your help with something:\n\n{instruction}",
    "Take your time with this one.\n\n{instruction}",
    "Please do what is asked below.\n\n{instruction}",
    "Task: {instruction}",
    "Request: {instruction}",
    "My question to you:\n{instruction}",
    "This is what I need:\n\n{instruction}\n\nCan you do it?",
    "Hello! {instruction}",
    "Instruction:\n{instruction}\n\nYour answer:",
    "Somebody asked me this, and I pass it on to you:\n\n{instruction}",
)
"""How an instruction is said differently where the run file has no templates of its own."""


def wanted(share: float, train_rows: int) -> int:
    """The most variations that are at most `share` of the training rows that result."""
    exact = Fraction(share)
    return int(exact * train_rows / (1 - exact))


def drawn(keys: Bytes, *, share: float, train_rows: int, templates: int, seed: int) -> Times:
    """How many variations are to be made of each row that may be varied.

    `keys` (n × 16 bytes) are those of the rows that may be varied, `train_rows` how many training
    rows there are in all, `templates` how many templates. The variations are at most `share` of the
    training rows that result, and copies of a row are varied once.
    """
    times = np.zeros(len(keys), dtype=np.uint8)
    content, first = np.unique(contents(keys), return_index=True)
    number = wanted(share, train_rows)
    if not number or not len(first):
        return times
    each, more = divmod(number, len(first))
    if each >= templates:
        each, more = templates, 0
    times[first] = each
    lots = np.argsort(ranked(content, seed, "augment"))
    times[first[lots[:more]]] += 1
    return times


def variations(
    rows: Iterable[tuple[int, Row, str, int]],
    *,
    templates: Sequence[str],
    seed: int,
    known: Bytes,
) -> Iterator[tuple[int, Row, str]]:
    """Yield (number of the row, variation of it, what was done), each variation once.

    `rows` are (number, row, language, how many; see `drawn`). `templates` are the run file's, and
    empty for the built-in ones, which are put around rows in English only. `known` are the keys of
    all rows there are: no variation says what one of them says. Nothing but the first message of
    the user changes. Rows with tools and plain texts are not varied.
    """
    own = tuple(templates)
    seen = np.sort(_short(known))
    made: set[int] = set()
    for number, row, language, times in rows:
        if not times or not may_vary(row, language, own_templates=bool(own)):
            continue
        texts = own or TEMPLATES
        lot = row.key() + seed.to_bytes(16, "little", signed=True)
        chance = random.Random(lot)  # noqa: S311
        for place in chance.sample(range(len(texts)), min(times, len(texts))):
            varied = _said_as(row, texts[place])
            key = int(_short(np.frombuffer(varied.key(), dtype=np.uint8))[0])
            at = int(np.searchsorted(seen, np.uint64(key)))
            if key in made or (at < len(seen) and int(seen[at]) == key):
                continue
            made.add(key)
            yield number, varied, f"augmented: template {place + 1}"


def may_vary(row: Row, language: str, *, own_templates: bool) -> bool:
    """Whether variations can be made of the row."""
    return (
        row.text is None
        and not row.tools
        and (own_templates or language == LANGUAGE)
        and any(message["role"] == "user" for message in row.messages)
        and not any(m["role"] == "tool" or m.get("tool_calls") for m in row.messages)
    )


def _said_as(row: Row, template: str) -> Row:
    messages = list(row.messages)
    at = next(at for at, message in enumerate(messages) if message["role"] == "user")
    text = template.replace(PLACE, messages[at]["content"])
    messages[at] = {**messages[at], "content": text}
    return replace(row, messages=tuple(messages))


def _short(keys: Bytes) -> npt.NDArray[np.uint64]:
    """The first eight bytes of each key: enough to tell the rows of one data set apart."""
    whole = np.ascontiguousarray(keys, dtype=np.uint8).reshape(-1, 16)
    return whole.view("<u8")[:, 0].astype(np.uint64)

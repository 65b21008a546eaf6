"""What a person thinks of answers, kept, and the data sets that come of it.

A judgement is one line in `judgements.jsonl`, never changed afterwards; the last word on an answer
(and on a pair of answers) is the one that counts. From the log two files are made anew each time,
whole or not at all, that the `data` section of a run file takes as they are:

    sft.jsonl          {"messages": […], "provenance": {…}}                    good and edited
    preferences.jsonl  {"prompt": […], "chosen": […], "rejected": […], "provenance": {…}}

Any number of dashboards may judge at once: one of them at a time appends and writes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from qtui.chat import judgement as one
from qtui.chat.alone import alone
from qtui.chat.asks import sampling
from qtui.chat.judgement import Judged as Judged
from qtui.chat.judgement import Judgement as Judgement
from qtui.chat.judgement import Verdict as Verdict
from qtui.runs import durable

LOG = "judgements.jsonl"
COLUMN = "provenance"
"""Where the rows say where they come from; a column that nothing is learnt from."""


@dataclass(frozen=True)
class Counts:
    """What has come together in a folder."""

    good: int = 0
    bad: int = 0
    edited: int = 0
    pairs: int = 0
    """Rows of preferences.jsonl."""
    sft_rows: int = 0


def sft_path(folder: Path) -> Path:
    """The answers that are to be learnt; there once anything was judged."""
    return folder / "sft.jsonl"


def preferences_path(folder: Path) -> Path:
    """The pairs of a better and a worse answer; there once anything was judged."""
    return folder / "preferences.jsonl"


def judge(folder: Path, judgement: Judgement) -> None:
    """Keep `judgement`, and make both data sets anew. May wait for the disk or for another qtui.

    Raises:
        InputError: nothing can be learnt from it.
        QtuiError: it cannot be written.
    """
    one.check(judgement)
    judgement = replace(judgement, time=judgement.time or time.time())
    with alone(folder / ".judgements.lock", "the judgements"):
        _append(folder / LOG, judgement)
        answers, pairs = one.last_words(_read(folder))
        _write(sft_path(folder), _sft_rows(answers))
        _write(preferences_path(folder), _preference_rows(answers, pairs))


def withdraw(folder: Path, answer_id: str, over_id: str | None = None) -> None:
    """Take back what was said of an answer or, with `over_id`, of the two answers."""
    over = None if over_id is None else Judged(over_id)
    judge(folder, Judgement("withdrawn", Judged(answer_id), over=over))


def counts(folder: Path) -> Counts:
    """How many judgements count, and how many rows they make."""
    answers, pairs = one.last_words(_read(folder))
    verdicts = [each.verdict for each in answers]
    return Counts(
        verdicts.count("good"),
        verdicts.count("bad"),
        verdicts.count("edited"),
        sum(1 for _ in _preference_rows(answers, pairs)),
        sum(1 for _ in _sft_rows(answers)),
    )


def verdicts(folder: Path) -> Mapping[str, Judgement]:
    """What counts of each answer: its id to `good`, `bad` or `edited`, else to the `better` that
    prefers it."""
    answers, pairs = one.last_words(_read(folder))
    return {each.answer.id: each for each in (*pairs, *answers)}


def _append(path: Path, judgement: Judgement) -> None:
    # json, not msgspec: only its escapes keep a lone surrogate, which models do write.
    line = json.dumps(msgspec.to_builtins(judgement)).encode() + b"\n"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise durable.write_error(path, len(line), error) from error
    try:
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            line = b"\n" + line  # the power went in the middle of the line before
        durable.append(fd, line, path)
        os.fsync(fd)
    finally:
        os.close(fd)


def _read(folder: Path) -> list[Judgement]:
    """All judgements, oldest first; lines that are none are passed over."""
    found: list[Judgement] = []
    try:
        with open(folder / LOG, "rb") as file:
            for line in file:
                try:
                    found.append(msgspec.convert(json.loads(line), Judgement))
                except (ValueError, RecursionError):
                    continue
    except FileNotFoundError:
        return []
    return found


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    # What no UTF-8 can hold (half of a surrogate pair) cannot be learnt either.
    durable.write_once(path, "".join(lines).encode("utf-8", "replace"), mode=0o600)


def _sft_rows(answers: list[Judgement]) -> Iterator[dict[str, Any]]:
    seen: set[tuple[str, str]] = set()
    for each in answers:
        text = one.wanted_text(each)
        if text is None or (one.same_prompt(each), text) in seen:
            continue
        seen.add((one.same_prompt(each), text))
        messages = [*_plain(each), {"role": "assistant", "content": text}]
        yield {"messages": messages, COLUMN: _provenance(each)}


def _preference_rows(answers: list[Judgement], pairs: list[Judgement]) -> Iterator[dict[str, Any]]:
    seen: set[tuple[str, str, str]] = set()
    for each, better, worse in one.pairs_of(answers, pairs):
        key = (one.same_prompt(each), better, worse)
        if key in seen or better.strip() == worse.strip() or not worse.strip():
            continue
        seen.add(key)
        yield {
            "prompt": _plain(each),
            "chosen": [{"role": "assistant", "content": better}],
            "rejected": [{"role": "assistant", "content": worse}],
            COLUMN: _provenance(each),
        }


def _plain(judgement: Judgement) -> list[dict[str, Any]]:
    return [dict(message) for message in judgement.messages]


def _provenance(judgement: Judgement) -> dict[str, Any]:
    """Always the same keys with values of the same types, for readers that make a table of it."""
    answer = judgement.answer
    _, _, step = answer.model.partition("@")
    return {
        "source": "qtui chat",
        "verdict": judgement.verdict,
        "run": judgement.run,
        "step": int(step) if step.isdecimal() else None,
        "model": answer.model,
        "settings": json.dumps(sampling(answer.settings)),
        "finish_reason": answer.finish_reason,
        "conversation": judgement.conversation,
        "exchange": judgement.exchange,
        "answer": answer.id,
        "judged": judgement.time,
    }

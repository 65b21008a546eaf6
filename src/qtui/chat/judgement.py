"""One judgement of an answer: what a person thought, with all that a row of training data needs.

It holds the texts as they were when they were judged, so that it means the same whatever becomes
of the conversation. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from qtui.chat.asks import Messages, Settings
from qtui.chat.conversation import Answer, Conversation, Exchange, exchange, messages_for, usable
from qtui.errors import InputError, NotFoundError
from qtui.terminal import clean_line

Verdict = Literal["good", "bad", "edited", "better", "withdrawn"]
"""`better` is said of two answers, the others of one; `withdrawn` takes back what was said."""


@dataclass(frozen=True)
class Judged:
    """An answer as it was when it was judged."""

    id: str
    text: str = ""
    model: str = ""
    settings: Settings = field(default_factory=Settings)
    finish_reason: str = ""
    created: float = 0.0


@dataclass(frozen=True)
class Judgement:
    """What was thought of `answer` to `messages`."""

    verdict: Verdict
    answer: Judged
    messages: Messages = ()
    """What the model was asked: from the system prompt to the user's last turn."""
    text: str = ""
    """What the answer should have been, when edited."""
    over: Judged | None = None
    """The worse answer, when better. In a comparison of several turns each side has its own
    earlier answers; `messages` are those of the better one."""
    conversation: str = ""
    exchange: str = ""
    run: str = ""
    """Id of the run whose adapter answered, where there is one."""
    time: float = 0.0
    """When it was judged, Unix time in seconds; filled in by `judgements.judge`."""


def of(
    conversation: Conversation,
    exchange_id: str,
    side: int,
    verdict: Verdict,
    *,
    answer_id: str | None = None,
    over_id: str | None = None,
    text: str | None = None,
    run: str = "",
) -> Judgement:
    """The judgement of an answer of a conversation, ready for `judgements.judge`.

    `answer_id`: none means the side's newest answer. `over_id`: the worse answer when better; none
    means the other side's newest. `text`: what it should have been when edited; none means what
    the answer was edited to.

    Raises:
        InputError: there is no answer to judge, or nothing to learn from it.
        NotFoundError: there is no such exchange or answer.
    """
    found = exchange(conversation, exchange_id)
    answer = _answer(found, side, answer_id)
    over = None
    if verdict == "better":
        over = _other(found, side, over_id)
    if verdict == "good" and answer.edited is not None:
        verdict = "edited"  # what is good is what the user made of it
    if verdict == "edited" and text is None:
        text = answer.edited
    judgement = Judgement(
        verdict,
        _judged(answer),
        messages_for(conversation, exchange_id, side),
        text if verdict == "edited" and text is not None else "",
        None if over is None else _judged(over),
        conversation.id,
        exchange_id,
        run,
    )
    check(judgement)
    return judgement


def _answer(found: Exchange, side: int, answer_id: str | None) -> Answer:
    if answer_id is not None:
        return _by_id(found, answer_id)
    answer = usable(found, side)
    if answer is None:
        raise InputError("there is no answer to judge yet", remedy="wait for it, or ask again")
    return answer


def _other(found: Exchange, side: int, over_id: str | None) -> Answer:
    if over_id is not None:
        return _by_id(found, over_id)
    others = (usable(found, each) for each in range(len(found.answers)) if each != side)
    other = next((each for each in others if each is not None), None)
    if other is None:
        raise InputError(
            "there is no other answer to be better than", remedy="compare two models, or ask again"
        )
    return other


def _by_id(found: Exchange, answer_id: str) -> Answer:
    for side in found.answers:
        for each in side:
            if each.id == answer_id:
                return each
    raise NotFoundError(f"there is no answer {clean_line(answer_id, 40)!r} in this exchange")


def _judged(answer: Answer) -> Judged:
    if answer.raw_prompt:
        raise InputError(
            "this answer has the model's special tokens in it: nothing should learn to write them",
            remedy="ask again without the raw view, then judge",
        )
    return Judged(
        answer.id, answer.text, answer.model, answer.settings, answer.finish_reason, answer.created
    )


def check(judgement: Judgement) -> None:
    """Raise InputError for a judgement that nothing can be learnt from."""
    if judgement.verdict == "withdrawn":
        return
    if not any(message.get("role") == "user" for message in judgement.messages):
        raise InputError("an answer without a question cannot be judged")
    if any(m.get("role") == "user" and not str(m["content"]).strip() for m in judgement.messages):
        raise InputError("an empty prompt teaches nothing: the answer cannot be judged")
    wanted = wanted_text(judgement)
    if wanted is not None and not wanted.strip():
        raise InputError(
            "an empty answer cannot be learnt from", remedy="judge it bad, or write a better one"
        )
    if judgement.verdict == "better":
        over = judgement.over
        if over is None or over.id == judgement.answer.id:
            raise InputError("better than which other answer?")


def wanted_text(judgement: Judgement) -> str | None:
    """What is to be learnt: the answer, or what it was edited to; none of a bad one."""
    if judgement.verdict == "edited":
        return judgement.text
    return judgement.answer.text if judgement.verdict in ("good", "better") else None


def last_words(judgements: list[Judgement]) -> tuple[list[Judgement], list[Judgement]]:
    """The judgements that count, of answers and of pairs, in the order in which they were made.

    The last word on an answer wins, and the last on two answers, whichever of them it prefers;
    what was withdrawn is gone. What is said of a pair leaves what is said of its answers alone.
    """
    answers: dict[str, Judgement] = {}
    pairs: dict[frozenset[str], Judgement] = {}
    for each in judgements:
        if each.over is not None:
            key = frozenset((each.answer.id, each.over.id))
            pairs.pop(key, None)
            if each.verdict == "better":
                pairs[key] = each
        else:
            answers.pop(each.answer.id, None)
            if each.verdict in ("good", "bad", "edited"):
                answers[each.answer.id] = each
    return list(answers.values()), list(pairs.values())


def pairs_of(
    answers: list[Judgement], pairs: list[Judgement]
) -> Iterator[tuple[Judgement, str, str]]:
    """Whose prompt it is, the better text and the worse one, for each pair that can be learnt from.

    What was edited is better than what it was; of two that were compared, the one that was said to
    be; and a good or edited answer is better than a bad one to the same prompt.
    """
    wanted: dict[str, Judgement] = {}
    for each in answers:
        if each.verdict != "bad":
            wanted[same_prompt(each)] = each  # the newest one stays
    for each in answers:
        if each.verdict == "edited":
            yield each, each.text, each.answer.text
        elif each.verdict == "bad" and (better := wanted.get(same_prompt(each))) is not None:
            yield better, wanted_text(better) or "", each.answer.text
    for each in pairs:
        if each.over is not None:
            yield each, each.answer.text, each.over.text


def same_prompt(judgement: Judgement) -> str:
    """Equal for judgements of answers to the same messages."""
    return repr([(each.get("role"), each.get("content")) for each in judgement.messages])

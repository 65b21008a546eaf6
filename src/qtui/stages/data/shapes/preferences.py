"""Rows with a better and a worse answer, and answers with a thumb up or down (KTO).

A pair may be flat (a prompt and two texts), conversational (two lists of messages that begin with
the same turns), or a conversation with two last turns beside it. Whatever its form, what comes out
are two conversations that part where the assistant speaks.
"""

from __future__ import annotations

from typing import Any

from qtui.stages.data.rows import Message
from qtui.stages.data.shapes import pairs
from qtui.stages.data.shapes.refusals import ShapeError, keys_of, text_of
from qtui.stages.data.shapes.turns import (
    TURNS,
    answered,
    first_of,
    message_of,
    system_of,
    turns_of,
    with_system,
)

BETTER = ("chosen", "chosen_messages")
WORSE = ("rejected", "rejected_messages", "rejected_response")
THUMBS = ("label", "kto_tag")
_UP = ("true", "1", "yes")
_DOWN = ("false", "0", "no")


def is_preference(record: dict[str, Any]) -> bool:
    """Whether the row holds a worse answer and anything that may be the better one.

    Columns that are there and null in all of a pair are another file's, merged into one table.
    """
    if record.keys().isdisjoint(WORSE):
        return False
    if _has(record, WORSE):
        whole = _has(record, TURNS) or pairs.is_pair(record)
        return whole or any(key in record for key in BETTER)
    return _has(record, BETTER)


def _has(record: dict[str, Any], keys: tuple[str, ...]) -> bool:
    return any(record.get(key) is not None for key in keys)


def is_thumb(record: dict[str, Any]) -> bool:
    """Whether the row holds a judgement true or false; a table holds it as a text."""
    value = record.get("label", record.get("kto_tag"))
    return isinstance(value, bool) or (
        isinstance(value, str) and value.strip().lower() in ("true", "false")
    )


def thumb(record: dict[str, Any]) -> bool:
    """The judgement: true, 1, yes or their contrary. Raises ShapeError for anything else."""
    key = first_of(record, THUMBS)
    if key is None:
        raise ShapeError("missing-key", f"no label of true or false (keys: {keys_of(record)})")
    said = str(record[key]).strip().lower()
    if said in _UP:
        return True
    if said in _DOWN:
        return False
    raise ShapeError("wrong-type", f"{key} is {record[key]!r}, neither true nor false")


def preference(record: dict[str, Any]) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """Return the conversation with the better answer, and the worse one's messages.

    The second are those that follow the last message that both conversations share; they begin
    with the assistant, as do the first ones' from there. Raises ShapeError where one of the
    answers is missing or blank, where both are equal, or where they answer different questions.
    """
    worse_key = first_of(record, WORSE)
    if worse_key is None:
        raise ShapeError("missing-key", f"no worse answer (keys: {keys_of(record)})")
    better_key = first_of(record, BETTER)
    context = _context(record)
    if better_key is not None:
        better = _side(record[better_key], better_key, context)
        worse = _side(record[worse_key], worse_key, context)
    else:  # the row is a whole conversation, and its last answer has a worse one beside it
        better, before = _whole(record)
        worse = _side(record[worse_key], worse_key, before)
    return _parted(answered(better), answered(worse))


def _context(record: dict[str, Any]) -> list[Message]:
    """The turns before both answers, where they do not stand in the answers themselves."""
    key = next((key for key in TURNS if isinstance(record.get(key), list)), None)
    if key is not None:
        return with_system(system_of(record), turns_of(record[key], key))
    key = pairs.prompt_key(record)
    if key is not None and record[key] is not None:
        return pairs.asked(record, key)
    return system_of(record)


def _whole(record: dict[str, Any]) -> tuple[list[Message], list[Message]]:
    key = next((key for key in TURNS if isinstance(record.get(key), list)), None)
    if key is not None:
        messages = list(answered(with_system(system_of(record), turns_of(record[key], key))))
        return messages, messages[:-1]
    prompt, answer = pairs.prompt_key(record), pairs.answer_key(record)
    if prompt is None or answer is None:
        raise ShapeError("missing-key", f"no better answer (keys: {keys_of(record)})")
    asked = pairs.asked(record, prompt)
    return asked + pairs.answer(record[answer], answer), asked


def _side(value: Any, key: str, context: list[Message]) -> list[Message]:
    """One of the two conversations in full."""
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        answer = text_of(value, key)
        if not any(message["role"] != "system" for message in context):
            raise ShapeError("missing-key", f"{key} is an answer without a question")
        return [*context, {"role": "assistant", "content": answer}]
    if not value:
        raise ShapeError("blank-text", f"{key} is empty")
    messages = [message_of(turn) for turn in value]
    if messages[0]["role"] in ("assistant", "tool"):
        return [*context, *messages]
    # The list begins with the question itself: it must be the one that stands beside it.
    asked = [message for message in context if message["role"] != "system"]
    own = [message for message in messages if message["role"] != "system"]
    if [*map(_said, own[: len(asked)])] != [*map(_said, asked)]:
        raise ShapeError("different-prompts", f"{key} begins with another question than the prompt")
    return with_system([m for m in context if m["role"] == "system"][:1], messages)


def _said(message: Message) -> tuple[str, str]:
    return message["role"], " ".join(message["content"].split())


def _parted(
    better: tuple[Message, ...], worse: tuple[Message, ...]
) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    shared = 0
    for one, other in zip(better, worse, strict=False):
        if one != other:
            break
        shared += 1
    rest, other_rest = better[shared:], worse[shared:]
    if not rest or not other_rest:
        what = "equal" if rest == other_rest else "one the beginning of the other"
        raise ShapeError("equal-answers", f"the better and the worse answer are {what}")
    if rest[0]["role"] != "assistant" or other_rest[0]["role"] != "assistant":
        what = "the better and the worse answer belong to different questions"
        raise ShapeError("different-prompts", what)
    return better, other_rest

"""A question and an answer under two keys: Alpaca and its relatives.

instruction/output, prompt/completion, query/response, question/answer in any mixture, with an
`input` that belongs to the question, a system prompt and a history. Either may also be a list of
messages, the conversational form.
"""

from __future__ import annotations

from typing import Any

from qtui.stages.data.rows import Message
from qtui.stages.data.shapes.refusals import ShapeError, article, text_of
from qtui.stages.data.shapes.turns import first_of, message_of, system_of, with_system

PROMPTS = ("instruction", "prompt", "query", "question")
ANSWERS = ("output", "response", "completion", "answer", "answers")


def prompt_key(record: dict[str, Any]) -> str | None:
    """The key of the question, or None."""
    return first_of(record, PROMPTS) or ("input" if "input" in record else None)


def answer_key(record: dict[str, Any]) -> str | None:
    """The key of the answer, or None."""
    return first_of(record, ANSWERS)


def is_pair(record: dict[str, Any]) -> bool:
    """Whether a question and an answer are told apart by their keys alone.

    Where both are null beside a text, they are columns of other rows of the same table.
    """
    prompt, answer = first_of(record, PROMPTS), first_of(record, ANSWERS)
    if prompt is None:
        prompt, answer = ("input" if "input" in record else None), first_of(record, ("output",))
    if prompt is None or answer is None:
        return False
    empty = record[prompt] is None and record[answer] is None
    return not (empty and record.get("text") is not None)


def asked(record: dict[str, Any], key: str) -> list[Message]:
    """Everything before the answer; the question stands under `key`."""
    messages: list[Message] = []
    history = record.get("history") or ()
    if not isinstance(history, list | tuple):
        raise ShapeError("wrong-type", f"history is {article(history)}, not a list")
    for turn in history:
        if not isinstance(turn, list | tuple) or len(turn) != 2:
            raise ShapeError("wrong-type", "history is not a list of [question, answer]")
        messages.append({"role": "user", "content": text_of(turn[0], "history")})
        messages.append({"role": "assistant", "content": text_of(turn[1], "history")})
    prompt = record[key]
    if isinstance(prompt, list):
        messages += [message_of(turn) for turn in prompt]
    else:
        question = text_of(prompt, key)
        extra = record.get("input") if key != "input" else None
        if extra is not None and text_of(extra, "input", blank=True).strip():
            question = f"{question}\n{extra}"
        messages.append({"role": "user", "content": question})
    return with_system(system_of(record), messages)


def answer(value: Any, key: str) -> list[Message]:
    """The answer as messages."""
    if isinstance(value, list):
        return [message_of(turn) for turn in value]
    return [{"role": "assistant", "content": text_of(value, key)}]

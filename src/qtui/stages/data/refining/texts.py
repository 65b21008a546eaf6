"""The texts of a row, in one order, and a row with other ones: what cleaning and checking share.

Texts are what somebody wrote: the content and the reasoning of every message, of the worse answer
too, and a plain text. Roles, names, ids, tools and the arguments of tool calls are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from qtui.stages.data.rows import Message, Row

_KEYS = ("content", "reasoning_content")


def texts(row: Row) -> Iterator[str]:
    """Every text of a row: the messages', the plain one, the worse answer's."""
    for message in row.messages:
        yield from _of_message(message)
    if row.text is not None:
        yield row.text
    for message in row.rejected or ():
        yield from _of_message(message)


def with_texts(row: Row, change: Callable[[str], str]) -> Row:
    """The row with every text changed; the same object when no text is another one."""
    messages = _changed(row.messages, change)
    text = None if row.text is None else change(row.text)
    rejected = None if row.rejected is None else _changed(row.rejected, change)
    if messages is row.messages and text == row.text and rejected is row.rejected:
        return row
    return replace(row, messages=messages, text=text, rejected=rejected)


def _of_message(message: Message) -> Iterator[str]:
    for key in _KEYS:
        text = message.get(key)
        if text:
            yield text


def _changed(messages: tuple[Message, ...], change: Callable[[str], str]) -> tuple[Message, ...]:
    made: list[Message] | None = None
    for index, message in enumerate(messages):
        for key in _KEYS:
            text = message.get(key)
            if not text:
                continue
            new = change(text)
            if new != text:
                made = made or list(messages)
                made[index] = {**made[index], key: new}
    return messages if made is None else tuple(made)

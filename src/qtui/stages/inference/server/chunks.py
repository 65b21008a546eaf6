"""The bytes of an answer, whole or streamed, in the shapes of `response_models`.

Written by hand: of a streamed chunk only the text differs from token to token, and what is spent
here is spent for each of them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from qtui.stages.inference.engine import Ended

DONE = b"data: [DONE]\n\n"
WAITING = b": waiting\n\n"
"""A comment, by which proxies see that the connection lives."""


@dataclass(frozen=True)
class Shape:
    """How one kind of answer is written down."""

    whole: str
    """`object` of a whole answer."""
    chunk: str
    """`object` of an event."""
    text_before: str
    """What stands before and after the text in an event's choice."""
    text_after: str
    opening: str
    """The first event's choice."""
    closing: str
    """The last one's, before its reason."""


CHAT = Shape(
    whole="chat.completion",
    chunk="chat.completion.chunk",
    text_before='{"index":0,"delta":{"content":',
    text_after='},"logprobs":null,"finish_reason":null}',
    opening='{"index":0,"delta":{"role":"assistant","content":""},'
    '"logprobs":null,"finish_reason":null}',
    closing='{"index":0,"delta":{},"logprobs":null,"finish_reason":',
)
TEXT = Shape(
    whole="text_completion",
    chunk="text_completion",
    text_before='{"index":0,"text":',
    text_after=',"logprobs":null,"finish_reason":null}',
    opening='{"index":0,"text":"","logprobs":null,"finish_reason":null}',
    closing='{"index":0,"text":"","logprobs":null,"finish_reason":',
)


class Writer:
    """Writes one answer down."""

    def __init__(self, shape: Shape, answer_id: str, model: str, *, usage: bool) -> None:
        self._shape, self._usage = shape, usage
        self._id, self._model, self._created = answer_id, model, int(time.time())
        self._head = (
            f'data: {{"id":{quoted(answer_id)},"object":"{shape.chunk}",'
            f'"created":{self._created},"model":{quoted(model)},'
        )
        self._tail = ',"usage":null}\n\n' if usage else "}\n\n"
        self._before = self._head + '"choices":[' + shape.text_before
        self._after = shape.text_after + "]" + self._tail

    def first(self, prompt: str | None) -> bytes:
        """The event that opens a stream."""
        extra = "" if prompt is None else f'"prompt":{quoted(prompt)},'
        return f'{self._head}{extra}"choices":[{self._shape.opening}]{self._tail}'.encode()

    def piece(self, text: str) -> bytes:
        """The event of one more piece."""
        return (self._before + quoted(text) + self._after).encode()

    def last(self, ended: Ended) -> bytes:
        """The events that close a stream."""
        choice = f'{self._shape.closing}"{ended.reason}"}}'
        events = f'{self._head}"choices":[{choice}]{self._tail}'
        if self._usage:
            events += f'{self._head}"choices":[],"usage":{json.dumps(usage(ended))}}}\n\n'
        return events.encode() + DONE

    def whole(self, text: str, ended: Ended, prompt: str | None) -> bytes:
        """The answer in one."""
        choice: dict[str, Any] = {"index": 0}
        if self._shape is CHAT:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            choice["text"] = text
        answer: dict[str, Any] = {
            "id": self._id,
            "object": self._shape.whole,
            "created": self._created,
            "model": self._model,
            "choices": [choice | {"logprobs": None, "finish_reason": ended.reason}],
            "usage": usage(ended),
        }
        if prompt is not None:
            answer["prompt"] = prompt
        return json.dumps(answer).encode()


def usage(ended: Ended) -> dict[str, int]:
    """Numbers of tokens under OpenAI's names."""
    return {
        "prompt_tokens": ended.prompt_tokens,
        "completion_tokens": ended.completion_tokens,
        "total_tokens": ended.prompt_tokens + ended.completion_tokens,
    }


def failure(body: bytes) -> bytes:
    """The event that ends a stream by an error, of the error's JSON."""
    return b"data: " + body + b"\n\n"

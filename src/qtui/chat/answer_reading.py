"""Makes an answer of what a server sends, streamed or in one piece.

Servers differ in what they leave out: the last `[DONE]`, the counts, the streaming itself. An
answer is complete when the server said so in any of its ways; without that it was cut off.
"""

from __future__ import annotations

import json
import time
from typing import Any

from qtui.chat.asks import Answered, Delta, Prompted
from qtui.chat.failures import CutOffError, error_of, from_error, not_understood

MAX_COUNT = 1 << 40
"""Tokens of the largest count that is believed."""


class Reading:
    """Makes an answer of what the server sends."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.done = False
        self._began = time.monotonic()
        self._first: float | None = None
        self._pieces = 0
        self._finish = ""
        self._usage: dict[str, Any] = {}
        self._prompted = False

    def event(self, name: str, data: str) -> list[Prompted | Delta]:
        """What one event says."""
        if data.strip() == "[DONE]":
            self.done = True
            return []
        value = decoded(data)
        error = error_of(value)
        if error is None and name == "error":
            error = value if isinstance(value, dict) else {"message": data}
        if error is not None:
            raise from_error(self.host, 0, error)
        if not isinstance(value, dict):
            raise not_understood(self.host, "an event", data.encode("utf-8", "replace"))
        return self._chunk(value)

    def whole(self, body: bytes, kind: str) -> list[Prompted | Delta | Answered]:
        """An answer in one piece, of a server that does not stream."""
        value = decoded(body)
        if (error := error_of(value)) is not None:
            raise from_error(self.host, 0, error)
        if not isinstance(value, dict) or not isinstance(value.get("choices"), list):
            raise not_understood(self.host, kind, body)
        return [*self._chunk(value), self.end()]

    def _chunk(self, value: dict[str, Any]) -> list[Prompted | Delta]:
        found: list[Prompted | Delta] = []
        if isinstance(prompt := value.get("prompt"), str) and not self._prompted:
            self._prompted = True
            found.append(Prompted(prompt))
        if isinstance(usage := value.get("usage"), dict):
            self._usage = usage
        choices = value.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return found
        said = choice.get("delta") or choice.get("message") or choice
        text = said.get("content", said.get("text")) if isinstance(said, dict) else None
        if isinstance(text, str) and text:
            if self._first is None:
                self._first = time.monotonic() - self._began
            self._pieces += 1
            found.append(Delta(text))
        if isinstance(reason := choice.get("finish_reason"), str):
            self._finish = reason
        return found

    def end(self) -> Answered:
        """The last word. Raises CutOffError when the server never said that it was the end."""
        if not self._finish and not self.done:
            raise CutOffError(
                f"{self.host} broke off in mid-answer",
                remedy="the server, or a proxy before it, ended the connection: ask again",
            )
        seconds = time.monotonic() - self._began
        return Answered(
            self._finish or "stop",
            _count(self._usage.get("prompt_tokens"), 0),
            _count(self._usage.get("completion_tokens"), self._pieces),
            seconds if self._first is None else self._first,
            seconds,
        )


def decoded(text: bytes | str) -> Any:
    """The JSON in `text`; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _count(value: Any, otherwise: int) -> int:
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
    return value if known else otherwise

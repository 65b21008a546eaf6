"""Renders conversations in a process of its own, because a chat template is a program from a
stranger.

Jinja's sandbox keeps a template from files and network, but not from looping for ever or filling
the memory, and a server must live on when one does. The process (see `stages.data.child`) has a
memory limit; one that takes too long is killed, and the next conversation gets a new one.
Rendering is transformers' own. It takes a fraction of a millisecond; starting the process takes
a second or two, so it is started while the model is loaded.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import msgspec

from qtui.stages.data.child import Child, serve
from qtui.terminal import clean_line

SECONDS = 10.0
"""Longest that one conversation may take."""

_START_SECONDS = 60.0
_MEMORY_LIMIT = 4 * 2**30
_MAX_CHARS = 64 * 2**20


class Conversation(msgspec.Struct, frozen=True):
    """What is rendered, and with what; `variables` are the tokenizer's special tokens."""

    template: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = []
    continue_final_message: bool = False
    add_generation_prompt: bool = True
    variables: dict[str, Any] = {}


class _Reply(msgspec.Struct):
    text: str
    error: bool = False


class TemplateError(Exception):
    """The template refuses a conversation, or fails on it; the message is safe to show."""


class TemplateProcess:
    """The rendering process; from any thread. Closed by `close`."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._closed = False
        self._start()

    def render(self, conversation: Conversation) -> str:
        """The text that the model is to read.

        Raises:
            TemplateError: the template says no, fails, or does not come to an end.
        """
        frame = msgspec.json.encode(conversation)
        with self._lock:
            raw = self._asked(frame)
            if raw is None:  # whoever killed the process: this conversation may be innocent
                raw = self._asked(frame)
            if raw is None:
                raise TemplateError("ended its process: it takes too much memory")
        reply = msgspec.json.decode(raw, type=_Reply)
        if reply.error:
            raise TemplateError(reply.text)
        return reply.text

    def _asked(self, frame: bytes) -> bytes | None:
        """The process's answer; none when it ended."""
        if self._closed:
            raise TemplateError("the engine is closed")
        if self._child is None:
            self._start()
        assert self._child is not None
        try:
            return self._child.submit(frame).result(timeout=self._allowed())
        except TimeoutError:
            self._end()
            raise TemplateError(f"does not come to an end within {self._seconds:g} s") from None
        except (EOFError, OSError):
            self._end()
            return None

    def _start(self) -> None:
        self._child: Child | None = Child("qtui.stages.inference.template_process")
        self._hello: Future[bytes] | None = self._child.submit(b"")

    def _allowed(self) -> float:
        """Seconds that the next answer may take; a process that has just begun gets more."""
        if self._hello is None:
            return self._seconds
        with suppress(TimeoutError, EOFError, OSError):
            self._hello.result(timeout=_START_SECONDS)
        self._hello = None
        return self._seconds

    def _end(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._closed = True
            self._end()


# ---- in the process -----------------------------------------------------------------------------


def _answer(frame: bytes) -> bytes:
    if not frame:
        import transformers.utils.chat_template_utils  # noqa: F401 (the slow part of beginning)

        return b""
    return msgspec.json.encode(_rendered(msgspec.json.decode(frame, type=Conversation)))


def _rendered(asked: Conversation) -> _Reply:
    from jinja2 import TemplateError as Refusal
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        texts, _ = render_jinja_template(
            conversations=[asked.messages],
            tools=asked.tools or None,
            chat_template=asked.template,
            continue_final_message=asked.continue_final_message,
            add_generation_prompt=asked.add_generation_prompt and not asked.continue_final_message,
            **asked.variables,
        )
    except Refusal as error:
        return _Reply(f"says: {_line(error)}", error=True)
    except Exception as error:  # a template is a program: it may raise anything
        return _Reply(f"fails: {type(error).__name__}: {_line(error)}", error=True)
    if len(texts[0]) > _MAX_CHARS:
        return _Reply(f"makes {len(texts[0]):,} characters of it", error=True)
    return _Reply(texts[0])


def _line(error: Exception) -> str:
    return clean_line(str(error) or type(error).__name__, 200)


if __name__ == "__main__":
    serve(_answer, memory=_MEMORY_LIMIT)

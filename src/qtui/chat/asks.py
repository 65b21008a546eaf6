"""What is asked of a model server and what comes back, as data; and the request's JSON body.

The body has only what was set: a field that a server does not know is never sent unasked, so
that the same client talks to qtui's own server, to vLLM, llama-server, TGI and OpenAI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qtui.errors import InputError

SHORTEST = 0.01
"""Seconds below which the end of an answer came together with its beginning, which says nothing
of the model's speed."""

Messages = tuple[Mapping[str, Any], ...]
"""A conversation in OpenAI's form: `role` and `content`."""


@dataclass(frozen=True)
class Settings:
    """How an answer is drawn; what is None is left to the server. Names as in its protocol."""

    temperature: float | None = 0.7
    """0 is greedy."""
    top_p: float | None = 0.9
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    max_tokens: int | None = 512
    stop: tuple[str, ...] = ()
    json_schema: Mapping[str, Any] | None = None
    """The answer is JSON of this schema; an empty one means any JSON object."""


@dataclass(frozen=True)
class Ask:
    """One request: messages, or a plain text that the model goes on from (`prompt`)."""

    model: str
    messages: Messages = ()
    settings: Settings = Settings()
    prompt: str | None = None
    """Instead of messages, for a base that has no chat template."""
    raw: bool = False
    """The answer with its special tokens, and the prompt as the model sees it."""


@dataclass(frozen=True)
class Prompted:
    """The prompt as the model sees it, special tokens included. Only when `Ask.raw`."""

    prompt: str


@dataclass(frozen=True)
class Delta:
    """More of the answer."""

    text: str


@dataclass(frozen=True)
class Answered:
    """The answer is complete; times are the client's own, from sending on, in seconds."""

    finish_reason: str
    """`stop`, `length`, or what else the server says."""
    prompt_tokens: int
    """0 where the server does not say."""
    completion_tokens: int
    """The pieces that came, where the server does not say."""
    first_token_seconds: float
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Speed after the first token, which waits for the prompt; 0 for answers of one token."""
        return speed(self.completion_tokens, self.first_token_seconds, self.seconds)


def speed(tokens: int, first: float, seconds: float) -> float:
    """Tokens a second after the first one; 0 where there is nothing to measure."""
    if tokens < 2 or seconds - first < SHORTEST:
        return 0.0
    return (tokens - 1) / (seconds - first)


@dataclass(frozen=True)
class Model:
    """A model that a server offers."""

    id: str
    parent: str | None = None
    """Id of the base for an adapter."""
    max_context: int | None = None
    """Tokens of prompt and answer together, where the server says."""


def path_of(ask: Ask) -> str:
    """The route that answers `ask`, below the server's address."""
    return "/v1/chat/completions" if ask.prompt is None else "/v1/completions"


def body_of(ask: Ask) -> dict[str, Any]:
    """The request's body, streamed.

    Raises:
        InputError: there is nothing in it to answer.
    """
    if ask.prompt is None and not ask.messages:
        raise InputError("there is nothing to ask", remedy="give a prompt or messages")
    body: dict[str, Any] = {"model": ask.model}
    if ask.prompt is not None:
        body["prompt"] = ask.prompt
    else:
        body["messages"] = [dict(message) for message in ask.messages]
    body["stream"] = True
    body["stream_options"] = {"include_usage": True}
    body |= sampling(ask.settings)
    if ask.raw:
        body |= {"skip_special_tokens": False, "return_prompt": True}
    return body


def sampling(settings: Settings) -> dict[str, Any]:
    """The settings that are set, by the names they have in a request."""
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "max_tokens")
    found = {name: getattr(settings, name) for name in names}
    found = {name: value for name, value in found.items() if value is not None}
    if settings.stop:
        found["stop"] = list(settings.stop)
    if settings.json_schema is not None:
        found["response_format"] = response_format(settings.json_schema)
    return found


def response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's `response_format` for `schema`."""
    if not schema:
        return {"type": "json_object"}
    named = {"name": "answer", "schema": dict(schema), "strict": True}
    return {"type": "json_schema", "json_schema": named}

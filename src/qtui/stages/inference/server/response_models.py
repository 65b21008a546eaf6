"""What is answered, as the OpenAPI document describes it; `chunks` writes the bytes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

FinishReason = Literal["stop", "length"]


class _Answer(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")


class ErrorDetail(_Answer):
    """What went wrong, and the way out."""

    message: str
    type: str
    param: str | None
    """The field of the request that it is about."""
    code: str
    """Stable, for programs."""


class ErrorAnswer(_Answer):
    """Every error of this server."""

    error: ErrorDetail


class Usage(_Answer):
    """Numbers of tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(_Answer):
    """What the model said."""

    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(_Answer):
    """The one answer."""

    index: int
    message: AnswerMessage
    logprobs: None
    finish_reason: FinishReason


class _Head(_Answer):
    id: str
    created: int
    """Unix time in seconds."""
    model: str


class ChatCompletion(_Head):
    """The whole answer to a conversation."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    usage: Usage
    prompt: str | None = None
    """The prompt as the model saw it, where `return_prompt` asked for it."""


class Delta(_Answer):
    """More of what the model says."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChatChunkChoice(_Answer):
    """More of the one answer."""

    index: int
    delta: Delta
    logprobs: None
    finish_reason: FinishReason | None


class ChatChunk(_Head):
    """One event of a streamed answer to a conversation."""

    object: Literal["chat.completion.chunk"]
    choices: list[ChatChunkChoice]
    usage: Usage | None = None
    prompt: str | None = None


class TextChoice(_Answer):
    """The one text, or more of it."""

    index: int
    text: str
    logprobs: None
    finish_reason: FinishReason | None


class Completion(_Head):
    """How a text goes on; also one event of it when streamed."""

    object: Literal["text_completion"]
    choices: list[TextChoice]
    usage: Usage | None = None
    prompt: str | None = None


class Model(_Answer):
    """A model that requests may name."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["qtui"]
    parent: str | None
    """The base of an adapter."""
    root: str
    max_model_len: int
    """Longest prompt with its answer, in tokens."""


class Models(_Answer):
    """The base first, then adapters."""

    object: Literal["list"]
    data: list[Model]


class Health(_Answer):
    """Whether requests are answered."""

    status: Literal["ok", "stopping", "gone"]
    reason: str | None = None


AnyAnswer = dict[str, Any]

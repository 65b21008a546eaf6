"""What is asked of vLLM over HTTP, and what it says.

Settings have vLLM's own names: see `vllm/entrypoints/openai/completion/protocol.py` of vLLM 0.27,
read in November 2026. Errors are read in today's shape (`{"error": {…}}`) and in the older one.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from qtui.errors import QtuiError
from qtui.stages.inference.engine import RefusedError, Sampling
from qtui.stages.inference.prompts import Prompt, TurnEnd
from qtui.terminal import clean_line


def request(
    model: str, prompt: Prompt, sampling: Sampling, turn: TurnEnd, budget: int
) -> dict[str, Any]:
    """The body for `/v1/completions`. All settings are given: vLLM's own defaults are the model's.

    Raises RefusedError for a JSON schema that is none.
    """
    ends = not sampling.ignore_eos
    body: dict[str, Any] = {
        "model": model,
        "prompt": prompt.ids,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
        "max_tokens": budget,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "stop": [*sampling.stop, *(turn.texts if ends else ())],
        "stop_token_ids": list(turn.tokens if ends else ()),
        "ignore_eos": sampling.ignore_eos,
        "skip_special_tokens": sampling.skip_special_tokens,
        "spaces_between_special_tokens": False,
    }
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.json_schema is not None:
        body["response_format"] = _format(sampling.json_schema)
    return body


def _format(schema: Mapping[str, Any]) -> dict[str, Any]:
    from llguidance import LLMatcher

    if not schema:
        return {"type": "json_object"}
    try:
        wrong = LLMatcher.validate_grammar(
            LLMatcher.grammar_from_json_schema(json.dumps(dict(schema)))
        )
    except (ValueError, TypeError, RecursionError) as error:
        wrong = str(error)
    if wrong:
        raise RefusedError(
            f"the JSON schema cannot be used: {clean_line(wrong, 300)}",
            code="invalid_json_schema",
            param="response_format",
        )
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema)}}


async def events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The server-sent events, decoded. Lines end at a newline and nowhere else."""
    held = b""
    async for data in answer.aiter_bytes():
        *lines, held = (held + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                payload = line[5:].strip()
                if payload != b"[DONE]":
                    yield json.loads(payload)


def said(content: bytes) -> tuple[str, str | None]:
    """Message and parameter of the error in an answer's body."""
    try:
        return error_of(json.loads(content))
    except (ValueError, AttributeError):
        return clean_line(content.decode("utf-8", "replace"), 300), None


def error_of(answer: dict[str, Any]) -> tuple[str, str | None]:
    """Message and parameter of an error, in the newer and in the older shape."""
    inner = answer.get("error")
    error = inner if isinstance(inner, dict) else answer
    message = clean_line(str(error.get("message") or "vllm gave no reason"), 300)
    param = error.get("param")
    return message, param if isinstance(param, str) else None


def refused(message: str, param: str | None, *, status: int) -> QtuiError:
    """The error for what vLLM answered with `status`."""
    if status >= 500:
        return QtuiError(f"vllm failed: {message}")
    return RefusedError(f"vllm refuses: {message}", code="invalid_value", param=param)

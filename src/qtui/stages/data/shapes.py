"""Recognises the shapes that users have their rows in, and makes one conversation of each.

OpenAI messages, Alpaca and its relatives (prompt/completion, query/response, question/answer),
ShareGPT and its dialects; told apart by keys, row by row. What is none of them is refused with
what it is instead (a preference pair, a table of numbers) or with the keys that were seen. Nothing
is invented: a text that is missing, blank or no text makes the row unusable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

from qtui.stages.data.rows import Message

RowFormat = Literal["auto", "messages", "alpaca", "sharegpt", "text", "preference", "kto"]
Tools = tuple[dict[str, Any], ...] | None

_USER = ("user", "human", "prompter", "question", "student")
_ASSISTANT = ("assistant", "gpt", "chatgpt", "bot", "model", "bing", "bard", "ai", "answer")
_SYSTEM = ("system", "developer", "context")
_TOOL = ("tool", "observation", "function", "tool_response", "tool_results", "ipython")
_CALL = ("function_call", "tool_call", "tool_calls")
ROLES: dict[str, str] = {
    **dict.fromkeys(_USER, "user"),
    **dict.fromkeys(_ASSISTANT, "assistant"),
    **dict.fromkeys(_SYSTEM, "system"),
    **dict.fromkeys(_TOOL, "tool"),
    **dict.fromkeys(_CALL, "call"),
}
_TURNS = ("messages", "conversations", "conversation", "dialogue", "dialog")
_PROMPTS = ("instruction", "prompt", "query", "question")
_ANSWERS = ("output", "response", "completion", "answer", "answers")
_MEDIA = ("image", "image_url", "input_image", "audio", "input_audio", "video", "video_url", "file")


class ShapeError(Exception):
    """A row cannot be used: `kind` names the reason in one word, the text says it in full."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def conversation(record: Any, row_format: RowFormat = "auto") -> tuple[tuple[Message, ...], Tools]:
    """Return the messages and tools of one row; raises ShapeError for what is no conversation.

    The messages end with the last answer (nothing can be learnt from what stands behind it), have
    at least one answer, and no answer is blank.
    """
    if isinstance(record, list) and record and all(isinstance(turn, dict) for turn in record):
        record = {"messages": record}
    if not isinstance(record, dict):
        raise ShapeError("not-a-row", f"{_article(record)}, not an object with keys")
    _refuse_other_tasks(record)
    shape = _shape(record) if row_format == "auto" else row_format
    if shape == "alpaca":
        messages = _from_pair(record)
    elif shape in ("messages", "sharegpt"):
        messages = _from_turns(record, shape)
    else:
        raise _unknown(record)
    return _answered(messages), _tools(record.get("tools"))


def _shape(record: dict[str, Any]) -> str | None:
    for key in _TURNS:
        if isinstance(record.get(key), list):
            return "messages" if key == "messages" else "sharegpt"
    if _first(record, _PROMPTS) is not None and _first(record, _ANSWERS) is not None:
        return "alpaca"
    if "input" in record and "output" in record:
        return "alpaca"
    return None


def _refuse_other_tasks(record: dict[str, Any]) -> None:
    pairs = (("chosen", "rejected"), ("chosen_messages", "rejected_messages"))
    if any(record.get(better) and record.get(worse) for better, worse in pairs):
        raise ShapeError(
            "preference-pair",
            "a preference pair (chosen/rejected), which is for preference training (DPO), "
            "not for supervised fine-tuning",
        )
    if isinstance(record.get("label", record.get("kto_tag")), bool):
        raise ShapeError(
            "kto",
            "an answer with a thumbs-up or -down label, which is for preference training (KTO), "
            "not for supervised fine-tuning",
        )


def _unknown(record: dict[str, Any]) -> ShapeError:
    keys = ", ".join(str(key) for key in list(record)[:12]) or "none"
    if not record:
        return ShapeError("unknown-shape", "an empty object")
    if "role" in record and ("content" in record or "value" in record):
        what = "a single message; put the messages of one conversation in a list under `messages`"
        return ShapeError("unknown-shape", what)
    if not any(isinstance(value, str | list | dict) for value in record.values()):
        return ShapeError("not-text", f"a row of numbers without any text (keys: {keys})")
    if set(record) <= {"text", "id", "meta", "source"} and "text" in record:
        what = "plain text without a question and an answer (key: text)"
        return ShapeError("plain-text", what)
    prompt, answer = _first(record, _PROMPTS), _first(record, _ANSWERS)
    if answer is not None and prompt is None:
        return ShapeError("missing-key", f"an answer ({answer}) without a question (keys: {keys})")
    if prompt is not None and answer is None:
        return ShapeError("missing-key", f"a question ({prompt}) without an answer (keys: {keys})")
    return ShapeError(
        "unknown-shape",
        "neither messages, conversations nor instruction/output; "
        f"rename its keys to one of these (keys: {keys})",
    )


def _first(record: dict[str, Any], keys: Iterable[str]) -> str | None:
    """The first of `keys` that the record has, one with a value rather than one with null."""
    present = [key for key in keys if key in record]
    return next((key for key in present if record[key] is not None), next(iter(present), None))


# ---- instruction and answer -------------------------------------------------------------------


def _from_pair(record: dict[str, Any]) -> list[Message]:
    prompt_key = _first(record, _PROMPTS)
    answer_key = _first(record, _ANSWERS)
    if prompt_key is None and "input" in record:
        prompt_key = "input"
    if prompt_key is None or answer_key is None:
        raise _unknown(record)
    prompt, answer = record[prompt_key], record[answer_key]
    messages: list[Message] = []
    system = record.get("system", record.get("system_prompt"))
    if isinstance(system, str) and system.strip():
        messages.append({"role": "system", "content": system})
    for turn in record.get("history") or ():
        if not isinstance(turn, list | tuple) or len(turn) != 2:
            raise ShapeError("wrong-type", "history is not a list of [question, answer]")
        messages.append({"role": "user", "content": _text(turn[0], "history")})
        messages.append({"role": "assistant", "content": _text(turn[1], "history")})
    if isinstance(prompt, list):  # the conversational form: two lists of messages
        messages += [_turn(turn) for turn in prompt]
    else:
        question = _text(prompt, prompt_key)
        extra = record.get("input") if prompt_key != "input" else None
        if extra is not None and _text(extra, "input", blank=True).strip():
            question = f"{question}\n{extra}"
        messages.append({"role": "user", "content": question})
    if isinstance(answer, list):
        messages += [_turn(turn) for turn in answer]
    else:
        messages.append({"role": "assistant", "content": _text(answer, answer_key)})
    return messages


def _text(value: Any, key: str, *, blank: bool = False) -> str:
    if value is None:
        raise ShapeError("null-text", f"{key} is null")
    if not isinstance(value, str):
        raise ShapeError("wrong-type", f"{key} is {_article(value)}, not text")
    if not blank and not value.strip():
        raise ShapeError("blank-text", f"{key} is blank")
    return value


# ---- turns --------------------------------------------------------------------------------------


def _from_turns(record: dict[str, Any], shape: str) -> list[Message]:
    order = _TURNS if shape == "messages" else (*_TURNS[1:], _TURNS[0])
    key = next((name for name in order if isinstance(record.get(name), list)), None)
    if key is None:
        raise _unknown(record)
    turns = record[key]
    if not turns:
        raise ShapeError("blank-text", f"{key} is empty")
    messages: list[Message] = []
    system = record.get("system", record.get("system_prompt"))
    if isinstance(system, str) and system.strip():
        messages.append({"role": "system", "content": system})
    for turn in turns:
        if isinstance(turn, dict) and "human" in turn and "assistant" in turn:
            messages.append({"role": "user", "content": _text(turn["human"], "human")})
            answer = _text(turn["assistant"], "assistant")
            messages.append({"role": "assistant", "content": answer})
        else:
            messages.append(_turn(turn))
    if sum(message["role"] == "system" for message in messages[:2]) == 2:
        messages = messages[1:]  # the turns bring their own
    return messages


def _turn(turn: Any) -> Message:
    """One message of either dialect: role/content or from/value."""
    if not isinstance(turn, dict):
        raise ShapeError("wrong-type", f"a turn is {_article(turn)}, not an object")
    named = turn.get("role") or turn.get("from")
    if not isinstance(named, str):
        raise ShapeError("missing-key", f"a turn has no role (keys: {', '.join(map(str, turn))})")
    role = ROLES.get(named.strip().lower())
    if role is None:
        raise ShapeError("unknown-role", f"the role {named!r} is not known")
    key = _first(turn, ("content", "value", "text"))
    content = None if key is None else turn[key]
    if role == "call":
        return _call(content)
    message: Message = {"role": role}
    if isinstance(content, list):
        message |= _parts(content)
    elif role == "assistant" and content is None:
        message["content"] = ""
    else:
        message["content"] = _text(content, f"a {role} turn", blank=role != "user")
    if role == "assistant":
        if turn.get("tool_calls"):
            message["tool_calls"] = _tool_calls(turn["tool_calls"])
        elif turn.get("function_call"):
            message["tool_calls"] = _tool_calls([turn["function_call"]])
        for key in ("reasoning_content", "reasoning", "thinking"):
            if isinstance(turn.get(key), str) and turn[key].strip():
                message["reasoning_content"] = turn[key]
                break
    elif role == "tool":
        message |= {k: turn[k] for k in ("name", "tool_call_id") if isinstance(turn.get(k), str)}
    return message


def _parts(parts: list[Any]) -> Message:
    """Content given as a list of typed parts, as text, reasoning and tool calls."""
    text: list[str] = []
    reasoning: list[str] = []
    calls: list[Any] = []
    for part in parts:
        if isinstance(part, str):
            text.append(part)
            continue
        if not isinstance(part, dict):
            raise ShapeError("wrong-type", f"a part of the content is {_article(part)}")
        kind = part.get("type", "text")
        if kind in _MEDIA:
            raise ShapeError("media", f"the content has a part of type {kind}; only text is read")
        value = next((part[key] for key in ("text", "value", "content") if key in part), None)
        if kind in ("reasoning", "thinking"):
            reasoning.append(_text(value, kind, blank=True))
        elif kind == "tool_call":
            calls.append(value)
        elif kind in ("text", "input_text", "output_text"):
            text.append(_text(value, "text", blank=True))
        else:
            raise ShapeError("wrong-type", f"the content has a part of unknown type {kind!r}")
    message: Message = {"content": "".join(text)}
    if reasoning:
        message["reasoning_content"] = "\n".join(reasoning)
    if calls:
        message["tool_calls"] = _tool_calls(calls)
    return message


def _call(content: Any) -> Message:
    """A turn that is a tool call (ShareGPT's function_call)."""
    if isinstance(content, str):
        try:
            content = json.loads(content)
        except ValueError:
            raise ShapeError("tool-call", "a function_call turn is not valid JSON") from None
    calls = content if isinstance(content, list) else [content]
    return {"role": "assistant", "content": "", "tool_calls": _tool_calls(calls)}


def _tool_calls(calls: Any) -> list[dict[str, Any]]:
    """Tool calls as chat templates want them: arguments an object, not text."""
    if not isinstance(calls, list):
        raise ShapeError("tool-call", f"tool_calls is {_article(calls)}, not a list")
    found = []
    for call in calls:
        if isinstance(call, str):
            try:
                call = json.loads(call)
            except ValueError:
                raise ShapeError("tool-call", "a tool call is not valid JSON") from None
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ShapeError("tool-call", "a tool call has no function name")
        arguments = function.get("arguments", function.get("parameters", {}))
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments) if arguments.strip() else {}
            except ValueError:
                raise ShapeError("tool-call", "a call's arguments are not valid JSON") from None
        kept: dict[str, Any] = {
            "type": "function",
            "function": {"name": function["name"], "arguments": arguments},
        }
        if isinstance(call.get("id"), str):
            kept["id"] = call["id"]
        found.append(kept)
    return found


def _tools(tools: Any) -> Tools:
    if isinstance(tools, str):
        if not tools.strip():
            return None
        try:
            tools = json.loads(tools)
        except ValueError:
            raise ShapeError("tools", "tools is text that is not valid JSON") from None
    if not tools:
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise ShapeError("tools", "tools is not a list of function descriptions")
    return tuple(
        tool if "function" in tool else {"type": "function", "function": tool} for tool in tools
    )


def _answered(messages: list[Message]) -> tuple[Message, ...]:
    """The messages up to the last answer; raises ShapeError where an answer is missing or blank."""
    last = max((i for i, m in enumerate(messages) if m["role"] == "assistant"), default=None)
    if last is None:
        raise ShapeError("no-answer", "the conversation has no answer to learn from")
    for message in messages[: last + 1]:
        if message["role"] == "assistant" and not (
            message["content"].strip() or message.get("tool_calls")
        ):
            raise ShapeError("blank-text", "an answer is blank")
    return tuple(messages[: last + 1])


def _article(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")

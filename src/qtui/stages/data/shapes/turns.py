"""The turns of a conversation in every dialect, as messages: {"role", "content"}, tool calls.

OpenAI's role/content with tool calls, ShareGPT's from/value with its many names for the roles,
{"human", "assistant"} pairs, and content given as a list of typed parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtui.stages.data.rows import Message
from qtui.stages.data.shapes.refusals import ShapeError, article, json_of, text_of

Tools = tuple[dict[str, Any], ...] | None

TURNS = ("messages", "conversations", "conversation", "dialogue", "dialog")
"""Keys that hold the turns of a conversation."""

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
_MEDIA = ("image", "image_url", "input_image", "audio", "input_audio", "video", "video_url", "file")


def first_of(record: dict[str, Any], keys: Iterable[str]) -> str | None:
    """The first of `keys` that the record has, one with a value rather than one with null."""
    null = None
    for key in keys:
        if key in record:
            if record[key] is not None:
                return key
            null = null or key
    return null


def system_of(record: dict[str, Any]) -> list[Message]:
    """The system prompt that stands beside the turns, as a message; empty where there is none."""
    system = record.get("system", record.get("system_prompt"))
    if isinstance(system, str) and system.strip():
        return [{"role": "system", "content": system}]
    return []


def with_system(system: list[Message], messages: list[Message]) -> list[Message]:
    """Put the system prompt first, unless the turns bring their own."""
    if messages and messages[0]["role"] == "system":
        return messages
    return [*system, *messages]


def turns_of(turns: list[Any], key: str) -> list[Message]:
    """All messages of a list of turns; raises ShapeError where it is empty or one is no turn."""
    if not turns:
        raise ShapeError("blank-text", f"{key} is empty")
    messages: list[Message] = []
    for turn in turns:
        if isinstance(turn, dict) and "human" in turn and "assistant" in turn:
            messages.append({"role": "user", "content": text_of(turn["human"], "human")})
            answer = text_of(turn["assistant"], "assistant")
            messages.append({"role": "assistant", "content": answer})
        else:
            messages.append(message_of(turn))
    return messages


def message_of(turn: Any) -> Message:
    """One message of either dialect: role/content or from/value."""
    if not isinstance(turn, dict):
        raise ShapeError("wrong-type", f"a turn is {article(turn)}, not an object")
    named = turn.get("role") or turn.get("from")
    if not isinstance(named, str):
        raise ShapeError("missing-key", f"a turn has no role (keys: {', '.join(map(str, turn))})")
    role = ROLES.get(named) or ROLES.get(named.strip().lower())
    if role is None:
        raise ShapeError("unknown-role", f"the role {named!r} is not known")
    key = first_of(turn, ("content", "value", "text"))
    content = None if key is None else turn[key]
    if role == "call":
        return _call(content)
    message: Message = {"role": role}
    if isinstance(content, list):
        message |= _parts(content)
    elif role == "assistant" and content is None:
        message["content"] = ""
    else:
        message["content"] = text_of(content, f"a {role} turn", blank=role != "user")
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
            raise ShapeError("wrong-type", f"a part of the content is {article(part)}")
        kind = part.get("type", "text")
        if kind in _MEDIA:
            raise ShapeError("media", f"the content has a part of type {kind}; only text is read")
        value = next((part[key] for key in ("text", "value", "content") if key in part), None)
        if kind in ("reasoning", "thinking"):
            reasoning.append(text_of(value, str(kind), blank=True))
        elif kind == "tool_call":
            calls.append(value)
        elif kind in ("text", "input_text", "output_text"):
            text.append(text_of(value, "text", blank=True))
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
        content = json_of(content, "tool-call", "a function_call turn")
    calls = content if isinstance(content, list) else [content]
    return {"role": "assistant", "content": "", "tool_calls": _tool_calls(calls)}


def _tool_calls(calls: Any) -> list[dict[str, Any]]:
    """Tool calls as chat templates want them: arguments an object, not text.

    In a table, where their form cannot be fixed, they are JSON text.
    """
    if isinstance(calls, str):
        calls = json_of(calls, "tool-call", "tool_calls")
    if not isinstance(calls, list):
        raise ShapeError("tool-call", f"tool_calls is {article(calls)}, not a list")
    found = []
    for call in calls:
        if isinstance(call, str):
            call = json_of(call, "tool-call", "a tool call")
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ShapeError("tool-call", "a tool call has no function name")
        arguments = function.get("arguments", function.get("parameters"))
        if isinstance(arguments, str) and arguments.strip():
            arguments = json_of(arguments, "tool-call", "the text of a call's arguments")
        arguments = arguments or {}
        if not isinstance(arguments, dict):
            what = f"a call's arguments are {article(arguments)}, not an object"
            raise ShapeError("tool-call", what)
        kept: dict[str, Any] = {
            "type": "function",
            "function": {"name": function["name"], "arguments": arguments},
        }
        if isinstance(call.get("id"), str):
            kept["id"] = call["id"]
        found.append(kept)
    return found


def tools_of(tools: Any) -> Tools:
    """The descriptions of the functions that are offered to the model, from JSON or its text."""
    if isinstance(tools, str):
        if not tools.strip():
            return None
        tools = json_of(tools, "tools", "the text of tools")
    if not tools:
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise ShapeError("tools", "tools is not a list of function descriptions")
    return tuple(
        tool if "function" in tool else {"type": "function", "function": tool} for tool in tools
    )


def answered(messages: list[Message]) -> tuple[Message, ...]:
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

"""Renders conversations with a chat template and finds the assistant's words in the text.

Rendering is transformers' own (sandboxed Jinja), so that training sees what inference will see.
The spans of trained text are exact: they begin behind the header that a generation prompt would
write and end with the token that ends the turn, which must be learnt or the model never stops.
Plain texts are taken as they are, between the tokens that begin and end a text in pre-training.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from qtui.stages.data.rows import Message, Row
from qtui.terminal import clean_line

MAX_RENDERED_CHARS = 64 * 2**20
NO_MASK = (
    "Set training.assistant_only_loss: false to learn from the whole conversation, or give "
    "data.chat_template a template that marks the answers with {% generation %}."
)
# Tokens by which the families of models end a turn; the tokenizer's own eos_token is added.
_STOPS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",
    "<end_of_turn>",
    "<turn|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "</s>",
    "<｜end▁of▁sentence｜>",
)


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template and how rows are rendered with it (see `template.choose`).

    `text` is what the model is used with; `training_text` what rows are rendered with (it differs
    only where there is a twin with marked answers). `mask` says how answers are found; `variables`
    are what the template may read (the tokenizer's special tokens); `special_tokens` are all
    strings that the tokenizer keeps whole. `folds_system`: the template refuses or drops a system
    message, so it is put before the first user message instead. `plain_start` and `plain_end`
    are the tokens around a plain text: the first only for a tokenizer that puts it there by itself.
    """

    text: str
    training_text: str
    origin: str
    mask: Literal["generation", "turns", "all"]
    variables: dict[str, Any]
    special_tokens: tuple[str, ...]
    folds_system: bool = False
    plain_start: str = ""
    plain_end: str = ""


class RenderError(Exception):
    """A template cannot render a conversation. `mask`: it can, but the answers are not found."""

    def __init__(self, message: str, *, mask: bool = False) -> None:
        super().__init__(message)
        self.mask = mask


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as text, and the parts that are trained as sorted [start, end) in it."""

    text: str
    spans: tuple[tuple[int, int], ...]


def render(template: ChatTemplate, row: Row) -> Rendered:
    """Render one row; raises RenderError when the template refuses it or hides the answers.

    A preference row is rendered with its better answer.
    """
    if row.text is not None:
        return _plain(template, row.text)
    messages = fold_system(row.messages) if template.folds_system else row.messages
    tools = list(row.tools) if row.tools else None
    if template.mask == "generation":
        text, spans = _apply(template, template.training_text, messages, tools, marked=True)
    else:
        text, _ = _apply(template, template.training_text, messages, tools)
        spans = [(0, len(text))] if template.mask == "all" else []
    for message in messages:
        lost = [call["function"]["name"] for call in message.get("tool_calls", ())]
        if not all(name in text for name in lost):
            raise RenderError("the chat template leaves out tool calls: it is not made for tools")
    if template.mask == "turns":
        spans = _turns(template, messages, tools, text)
    return _closed(template, text, spans)


def shared_messages(row: Row) -> int:
    """How many messages of a preference row stand before both of its answers.

    Both sides go on where the assistant speaks, and have as many turns of the user behind that;
    where it can be, as many of tools too.
    """
    assert row.rejected is not None
    roles = [message["role"] for message in row.messages]
    users, tools = (sum(m["role"] == r for m in row.rejected) for r in ("user", "tool"))
    asked = [at for at, role in enumerate(roles) if role == "user"]
    first = asked[-1 - users] + 1 if users < len(asked) else 0
    for at in range(first, len(roles)):
        if roles[at] == "assistant" and roles[at:].count("tool") == tools:
            return at
    return first


def _plain(template: ChatTemplate, text: str) -> Rendered:
    """A plain text, all of it trained, between the tokens that begin and end one."""
    start = "" if text.startswith(template.plain_start) else template.plain_start
    end = "" if text.endswith(template.plain_end) else template.plain_end
    whole = f"{start}{text}{end}"
    if len(whole) > MAX_RENDERED_CHARS:
        raise RenderError(f"the text has {len(whole)} characters")
    return Rendered(whole, ((0, len(whole)),))


def fold_system(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Put a leading system text before the first user message, for templates without that role."""
    kept = list(messages)
    if kept and kept[0]["role"] == "system":
        system = kept.pop(0)["content"]
        for position, message in enumerate(kept):
            if message["role"] == "user":
                text = f"{system}\n\n{message['content']}"
                kept[position] = {**message, "content": text}
                break
        else:
            kept.insert(0, {"role": "user", "content": system})
    return tuple(kept)


def _apply(
    template: ChatTemplate,
    text: str,
    messages: Iterable[Message],
    tools: list[dict[str, Any]] | None,
    *,
    marked: bool = False,
    prompt: bool = False,
) -> tuple[str, list[tuple[int, int]]]:
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        rendered, indices = render_jinja_template(
            conversations=[list(messages)],
            tools=tools,
            chat_template=text,
            return_assistant_tokens_mask=marked,
            add_generation_prompt=prompt,
            **template.variables,
        )
    except TemplateError as error:
        raise RenderError(f"the chat template says: {_one_line(error)}") from error
    except Exception as error:  # a template is a program: it may raise anything
        what = f"{type(error).__name__}: {_one_line(error)}"
        raise RenderError(f"the chat template fails on it ({what})") from error
    if len(rendered[0]) > MAX_RENDERED_CHARS:
        raise RenderError(f"the chat template makes {len(rendered[0])} characters of it")
    return rendered[0], [(int(a), int(b)) for a, b in indices[0]] if marked else []


def _one_line(error: Exception) -> str:
    return clean_line(str(error) or type(error).__name__, 200)


# ---- answers found by comparing -----------------------------------------------------------------


def _turns(
    template: ChatTemplate,
    messages: tuple[Message, ...],
    tools: list[dict[str, Any]] | None,
    full: str,
) -> list[tuple[int, int]]:
    """Find each answer as what rendering it adds to the conversation before it.

    An answer starts where the conversation before it, with the generation prompt, stops agreeing
    with the whole, and ends where the conversation up to it stops agreeing. This is exact if the
    template writes earlier turns the same whatever follows, which is checked: only the generation
    prompt itself may differ, and the answer's own words must lie in the part that was found.
    """
    specials = _special_pattern(template.special_tokens)
    spans: list[tuple[int, int]] = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = messages[:index]
        if before:
            prompted, _ = _apply(template, template.training_text, before, tools, prompt=True)
            start = least = _agree(prompted, full, specials)
            if start < len(prompted):  # then no more than the generation prompt may differ
                bare, _ = _apply(template, template.training_text, before, tools)
                least = _agree(prompted, bare, specials)
        else:
            start = least = 0
        if index == len(messages) - 1:
            end = len(full)
        else:
            upto, _ = _apply(template, template.training_text, messages[: index + 1], tools)
            end = _agree(upto, full, specials)
        if not _holds(full, 0, len(full), message):
            what = f"the chat template leaves out or changes the words of answer {len(spans) + 1}"
            raise RenderError(what, mask=True)
        if (
            start < least
            or (spans and start < spans[-1][1])
            or not _holds(full, start, end, message)
        ):
            raise RenderError(
                "the chat template writes earlier turns differently once others follow, so the "
                f"words of answer {len(spans) + 1} cannot be told apart",
                mask=True,
            )
        spans.append((start, end))
    return spans


def _holds(full: str, start: int, end: int, message: Message) -> bool:
    content = message["content"].strip()
    if "</think>" in content:  # templates may cut or move thoughts; the answer itself must stand
        content = content.rsplit("</think>", 1)[1].strip()
    if content:
        return content in full[start:end]
    return all(call["function"]["name"] in full[start:end] for call in message["tool_calls"])


def _agree(part: str, full: str, specials: re.Pattern[str] | None) -> int:
    """Length of the common beginning, never ending inside a special token of either text."""
    if full.startswith(part):
        return len(part)
    low, high = 0, min(len(part), len(full))
    while low < high:  # the longest common beginning by bisection: slices compare in C
        middle = (low + high + 1) // 2
        if part[:middle] == full[:middle]:
            low = middle
        else:
            high = middle - 1
    if specials is not None:
        for text in (part, full):
            for match in specials.finditer(text, max(0, low - 64), low + 64):
                if match.start() < low < match.end():
                    low = match.start()
    return low


# ---- the end of a turn --------------------------------------------------------------------------


def _closed(template: ChatTemplate, text: str, spans: list[tuple[int, int]]) -> Rendered:
    """Make every span end with the token that ends the turn, and the last one exist at all."""
    if template.mask == "all":
        return Rendered(text, tuple(spans))
    specials = _special_pattern(template.special_tokens)
    eos = template.variables.get("eos_token")
    stops = _stops(template.special_tokens, eos)
    closed: list[tuple[int, int]] = []
    for start, end in spans:
        if start >= end:
            continue
        stop = _stop(text, start, end, specials, stops)
        closed.append((start, stop or end))
        if stop is None and text[end:].strip() == "" and eos and (start, end) == spans[-1]:
            # Nothing tells the model to stop here: say so with the tokenizer's own end.
            text = text[:end] + eos
            closed[-1] = (start, len(text))
    return Rendered(text, tuple(closed))


def _stop(
    text: str, start: int, end: int, specials: re.Pattern[str] | None, stops: frozenset[str]
) -> int | None:
    """Where the turn that holds text[start:end] ends, its end token included; None: it has none."""
    if specials is None:
        return None
    tail = end
    found: list[re.Match[str]] = []
    for match in specials.finditer(text, start, end):
        if found and text[found[-1].end() : match.start()].strip():
            found.clear()
        found.append(match)
    if found and not text[found[-1].end() : end].strip():
        return next((m.end() for m in found if m.group() in stops), found[-1].end())
    while tail < len(text) and text[tail].isspace():
        tail += 1
    following = specials.match(text, tail)
    if following is None:
        return None
    only_ends = not specials.sub("", text[tail:]).strip()
    return following.end() if following.group() in stops or only_ends else None


@lru_cache(maxsize=8)
def _stops(tokens: tuple[str, ...], eos: str | None) -> frozenset[str]:
    return frozenset(token for token in tokens if token in _STOPS or token == eos)


@lru_cache(maxsize=8)
def _special_pattern(tokens: tuple[str, ...]) -> re.Pattern[str] | None:
    longest_first = sorted((token for token in tokens if token), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

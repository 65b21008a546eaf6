"""From what a request asks to the tokens that the model reads: by its own chat template, no guess.

The template is the one that was named for the server; else the adapter's own, which the run that
trained it saved beside it; else the base's. Where there is none, messages are refused with the
ways out, and plain texts still work.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qtui.errors import InputError, NotFoundError
from qtui.stages.data.encoding import builtin_templates
from qtui.stages.data.encoding.template import MAX_TEMPLATE_BYTES, begins_texts
from qtui.stages.inference.engine import Job, RefusedError
from qtui.stages.inference.template_process import Conversation, TemplateError, TemplateProcess
from qtui.terminal import clean_line

TEMPLATE_FILE = "chat_template.jinja"

_MARK = re.compile(r"\s*(<[^\s<>]{1,40}>)")
"""The end of a turn, where the tokenizer has no token of its own for it."""


_CHARACTERS = 16
"""Characters to a token, at the most that prose or code has."""


@dataclass(frozen=True)
class Prompt:
    """What is read."""

    ids: list[int]
    text: str
    """As the model sees it, special tokens included."""


@dataclass(frozen=True)
class TurnEnd:
    """What a chat template writes behind an answer: the sign that it is complete."""

    tokens: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    """The same as text, where it is more than one token."""


@dataclass
class Prompts:
    """Makes prompts for one tokenizer; from any thread."""

    tokenizer: Any
    process: TemplateProcess
    named: str | None = None
    """The template that the server was told to use, whatever model answers."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turn_ends: dict[str, TurnEnd] = field(default_factory=dict)

    def template(self, own: str | None = None) -> str | None:
        """The chat template to use, `own` being the adapter's; none if there is none."""
        if self.named is not None:
            return self.named
        if own is not None:
            return own
        try:
            return str(self.tokenizer.get_chat_template())
        except ValueError:
            return None

    def make(self, job: Job, template: str | None, most: int | None = None) -> Prompt:
        """The prompt of `job`.

        Args:
            most: tokens that are taken. A text of many times that is not read to its end: to count
                the tokens of some megabytes takes seconds, in which nobody else's prompt is read.

        Raises:
            RefusedError: there is no template, it refuses the messages, or their text is far too
                long.
        """
        if isinstance(job.prompt, str):
            self._not_endless(job.prompt, most)
            ids = self._tokens(job.prompt, special=True)
            if not ids:
                raise _refused("the prompt is empty, and this model has no token to begin with")
            return Prompt(ids, self.tokenizer.decode(ids, skip_special_tokens=False))
        if template is None:
            raise RefusedError(
                "this model has no chat template, so it does not say how messages are written",
                code="chat_template_missing",
                param="messages",
                remedy="start the server with --chat-template FILE or --chat-template chatml, "
                "whichever the model was trained with; or ask with a plain prompt "
                "(/v1/completions)",
            )
        messages = [_plain(message) for message in job.prompt]
        if not messages:
            raise _refused("there are no messages")
        if job.continue_final_message and messages[-1].get("role") != "assistant":
            raise _refused("continue_final_message: the last message is not the assistant's")
        text = self._render(
            Conversation(
                template,
                messages,
                [dict(tool) for tool in job.tools],
                job.continue_final_message,
                variables=dict(self.tokenizer.special_tokens_map),
            )
        )
        self._not_endless(text, most)
        ids = self._tokens(text, special=False)
        if not ids:
            raise _refused("the chat template makes an empty text of the messages")
        return Prompt(ids, text)

    def turn_end(self, template: str | None) -> TurnEnd:
        """How `template` ends an answer, found by rendering one with a turn behind it."""
        if template is None:
            return TurnEnd()
        if template not in self._turn_ends:
            self._turn_ends[template] = self._find_turn_end(template)
        return self._turn_ends[template]

    def _find_turn_end(self, template: str) -> TurnEnd:
        question, answer = "a question", "an answer"
        messages = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
            {"role": "user", "content": question},
        ]
        variables = dict(self.tokenizer.special_tokens_map)
        try:
            text = self.process.render(
                Conversation(template, messages, add_generation_prompt=False, variables=variables)
            )
        except TemplateError:
            return TurnEnd()
        _, found, behind = text.partition(answer)
        behind = behind.partition(question)[0]
        if not found or not behind.strip():
            return TurnEnd()
        special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        ids = self._tokens(behind.strip(), special=False)
        if ids and ids[0] in special:
            return TurnEnd(tokens=(ids[0],))
        mark = _MARK.match(behind)
        return TurnEnd(texts=(mark.group(1),)) if mark else TurnEnd()

    def _not_endless(self, text: str, most: int | None) -> None:
        """Refuse a text whose beginning alone has more than `most` tokens."""
        if most is None or len(text) <= most * _CHARACTERS:
            return
        found = len(self._tokens(text[: most * _CHARACTERS], special=False))
        if found > most + _CHARACTERS:  # where the text was cut its tokens may be others
            raise RefusedError(
                f"the prompt has far more than the {most:,} tokens that are taken here",
                code="context_length_exceeded",
                param="messages",
                remedy="shorten the prompt",
            )

    def _render(self, conversation: Conversation) -> str:
        try:
            return self.process.render(conversation)
        except TemplateError as error:
            raise RefusedError(
                f"the model's chat template {error}",
                code="chat_template_refused",
                param="messages",
                remedy="write the messages as this model wants them: most want user and assistant "
                "in turn, some know no system message or no tools",
            ) from None

    def _tokens(self, text: str, *, special: bool) -> list[int]:
        # A tokenizer may change its own state while it works.
        with self._lock:
            return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])


def named(name: str | None, tokenizer: Any) -> str | None:
    """The text of the template that `chat_template` of a server's config names.

    Raises:
        NotFoundError: there is no such file.
        InputError: it is none of text.
    """
    if name is None:
        return None
    if name == "chatml":
        return builtin_templates.named(name, bos=begins_texts(tokenizer))[0]
    path = Path(name).expanduser()
    if not path.is_file():
        raise NotFoundError(
            f"the chat template {clean_line(name)} is no file",
            remedy="give a Jinja file, or chatml",
        )
    return _read(path)


def template_in(folder: Path) -> str | None:
    """The chat template that an adapter brings along. Raises InputError when it is no text."""
    path = folder / TEMPLATE_FILE
    if path.is_file():
        return _read(path)
    settings = folder / "tokenizer_config.json"
    if not settings.is_file() or settings.stat().st_size > 100 * MAX_TEMPLATE_BYTES:
        return None
    try:
        found = json.loads(settings.read_text("utf-8"))
    except (ValueError, RecursionError):
        return None
    text = found.get("chat_template") if isinstance(found, dict) else None
    return text if isinstance(text, str) else None


def _read(path: Path) -> str:
    if path.stat().st_size > MAX_TEMPLATE_BYTES:
        raise InputError(f"{clean_line(str(path))} is larger than 1 MiB, no chat template is")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{clean_line(str(path))} is no text in UTF-8") from error


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as templates expect it: its content a text, a call's arguments an object."""
    plain = dict(message)
    content = plain.get("content")
    if content is None:
        plain["content"] = ""
    elif isinstance(content, Sequence) and not isinstance(content, str):
        plain["content"] = _joined(content)
    calls = plain.get("tool_calls")
    if calls:
        plain["tool_calls"] = [_call(call) for call in calls]
    elif "tool_calls" in plain:
        del plain["tool_calls"]
    return plain


def _joined(parts: Sequence[Any]) -> str:
    texts = []
    for part in parts:
        if not isinstance(part, Mapping) or part.get("type", "text") != "text":
            raise _refused("only parts of the type text can be read by this model")
        texts.append(str(part.get("text", "")))
    return "".join(texts)


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call.get("function") or {})
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            parsed = json.loads(arguments)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, dict):
            function["arguments"] = parsed
    return {**call, "function": function}


def _refused(what: str) -> RefusedError:
    return RefusedError(what, code="invalid_value", param="messages")

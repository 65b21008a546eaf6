"""One answer while it is written: asked for, taken in piece by piece, ended one way or another."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from qtui.chat import conversation as conversations
from qtui.chat.asks import Answered, Ask, Delta, Prompted, Settings, speed
from qtui.chat.client import Client
from qtui.chat.conversation import Answer
from qtui.errors import QtuiError

_SPECIAL_AT_END = re.compile(
    r"(?:\s*(?:<\|[^<>|\s]{1,48}\|>|</?s>|<(?:eos|bos|pad|unk|end_of_turn|end_of_text)>))+\s*\Z"
)


@dataclass
class Answering:
    """An answer of `side` to an exchange; `text` grows as it is written."""

    exchange: str
    side: int
    ask: Ask
    id: str = field(default_factory=conversations.answer_id)
    text: str = ""
    tokens: int = 0
    began: float = field(default_factory=time.monotonic)
    first: float | None = None
    prompt: str = ""
    answered: Answered | None = None
    error: QtuiError | None = None
    stopped: bool = False
    task: asyncio.Task[None] | None = None
    begun: Callable[[], None] | None = None
    """Called when the first of its text is there."""

    async def run(self, client: Client) -> None:
        """Take the answer in; what goes wrong is kept and not raised."""
        self.began = time.monotonic()
        try:
            async with aclosing(client.ask(self.ask)) as pieces:
                async for piece in pieces:
                    self._take(piece)
        except QtuiError as error:
            if client.address.socket:  # where it is says nothing to anybody
                error.message = error.message.removeprefix(f"{client.host}: ")
            self.error = error

    def _take(self, piece: Prompted | Delta | Answered) -> None:
        if isinstance(piece, Delta):
            self.text += piece.text
            self.tokens += 1
            if self.first is None:
                self.first = time.monotonic() - self.began
                if self.begun is not None:
                    self.begun()
        elif isinstance(piece, Prompted):
            self.prompt = piece.prompt
        else:
            self.answered = piece

    @property
    def tokens_per_second(self) -> float:
        """Pieces a second so far, after the first one."""
        return speed(self.tokens, self.first or 0.0, time.monotonic() - self.began)

    def answer(self) -> Answer:
        """What is kept of it, as far as it has come.

        Of an answer with its special tokens the text is kept without those at its end, or they
        would be part of the conversation; the whole of what went in and came out is `raw_prompt`.
        """
        told = self.answered
        seconds = time.monotonic() - self.began
        error = "" if self.error is None else said(self.error)
        cut = self.stopped or self.error is not None
        return Answer(
            self.id,
            self.ask.model,
            _SPECIAL_AT_END.sub("", self.text) if self.ask.raw else self.text,
            finish_reason=told.finish_reason if told else "cancelled" if cut else "",
            prompt_tokens=told.prompt_tokens if told else 0,
            completion_tokens=told.completion_tokens if told else self.tokens,
            first_token_seconds=told.first_token_seconds if told else self.first or 0.0,
            seconds=told.seconds if told else seconds,
            error=error,
            settings=self.ask.settings,
            created=time.time(),
            raw_prompt=self.prompt + self.text if self.ask.raw else "",
        )


def said(error: QtuiError) -> str:
    """An error as it is kept with an answer: what happened, and below it the way out."""
    return f"{error.message}\n{error.remedy}".strip()


def asked(
    conversation: conversations.Conversation,
    exchange: str,
    side: int,
    settings: Settings,
    *,
    plain: bool,
    raw: bool,
    context: int | None = None,
) -> Ask:
    """The request for an answer of `side` to an exchange.

    `plain`: no chat template; the model goes on from what was said so far, word for word. Another
    answer to the same prompt from the same seed would be the same: its number is added. `context`:
    tokens that the model takes, where that is known; by default an answer gets at most half of it.
    """
    most = settings.max_tokens
    if most is not None and most == Settings().max_tokens and context is not None:
        settings = replace(settings, max_tokens=max(min(most, context // 2), 1))
    earlier = len(conversations.exchange(conversation, exchange).answers_of(side))
    if settings.seed is not None and earlier:
        settings = replace(settings, seed=settings.seed + earlier)
    model = conversation.sides[side]
    if not plain:
        messages = conversations.messages_for(conversation, exchange, side)
        return Ask(model, messages, settings, raw=raw)
    *before, last = conversations.path(conversation, exchange)
    text = conversation.system
    for each in before:
        answer = conversations.usable(each, side)
        text += each.prompt + (answer.said if answer is not None else "")
    return Ask(model, (), settings, prompt=text + last.prompt, raw=raw)

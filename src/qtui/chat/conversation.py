"""A conversation: a tree of exchanges, and what each model said in them. Pure.

Asking again after an edit makes a branch beside the old one; nothing is ever taken out, so a person
can always go back. `leaf` is where the conversation is now. A side is one model in a comparison;
each side sees its own answers and never the other's.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from qtui.chat.asks import Messages, Settings, speed
from qtui.errors import NotFoundError
from qtui.terminal import clean_line

TITLE_COLUMNS = 60


@dataclass(frozen=True)
class Answer:
    """What a model said; times in seconds, as the client measured them."""

    id: str
    model: str
    """The id it was asked by."""
    text: str
    """As it came, also where it was edited."""
    finish_reason: str = ""
    """`stop`, `length`, `cancelled` (stopped by the user), or what else the server says."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_token_seconds: float = 0.0
    seconds: float = 0.0
    error: str = ""
    """Why there is no answer, or no more of it."""
    settings: Settings = field(default_factory=Settings)
    created: float = 0.0
    """Unix time in seconds."""
    raw_prompt: str = ""
    """The prompt as the model saw it, where that was asked for."""
    edited: str | None = None
    """What the user made of it; the conversation goes on from this."""

    @property
    def said(self) -> str:
        """The text that the conversation goes on from."""
        return self.text if self.edited is None else self.edited

    @property
    def tokens_per_second(self) -> float:
        """Speed after the first token; 0 where there is nothing to measure."""
        return speed(self.completion_tokens, self.first_token_seconds, self.seconds)


@dataclass(frozen=True)
class Exchange:
    """A prompt and its answers."""

    id: str
    parent: str | None
    prompt: str
    answers: tuple[tuple[Answer, ...], ...] = ()
    """Per side, retries oldest first; see `answers_of` for a side that came later."""
    created: float = 0.0

    def answers_of(self, side: int) -> tuple[Answer, ...]:
        """The answers of `side`; none where it was not asked."""
        return self.answers[side] if side < len(self.answers) else ()


@dataclass(frozen=True)
class Conversation:
    """A tree of exchanges, in the order in which they were made."""

    id: str
    title: str = ""
    created: float = 0.0
    system: str = ""
    sides: tuple[str, ...] = ()
    """Ids of the models: one, or two side by side."""
    exchanges: tuple[Exchange, ...] = ()
    leaf: str | None = None
    """Id of the exchange that the next one follows; none: it has not begun."""


def new(sides: Sequence[str], *, system: str = "", title: str = "") -> Conversation:
    """An empty conversation with the models `sides`."""
    now = time.time()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    name = f"{stamp}-{secrets.token_hex(4)}"
    return Conversation(name, title, now, system, tuple(sides))


def answer_id() -> str:
    """An id for an answer that is about to be made."""
    return secrets.token_hex(8)


def ask(conversation: Conversation, prompt: str) -> Conversation:
    """`prompt` after the leaf; the new exchange is the leaf of what is returned."""
    return _added(conversation, conversation.leaf, prompt)


def edit(conversation: Conversation, exchange_id: str, prompt: str) -> Conversation:
    """`prompt` in the place of an exchange, as a branch beside it; it becomes the leaf."""
    return _added(conversation, exchange(conversation, exchange_id).parent, prompt)


def _added(conversation: Conversation, parent: str | None, prompt: str) -> Conversation:
    made = Exchange(
        secrets.token_hex(8), parent, prompt, ((),) * len(conversation.sides), time.time()
    )
    title = conversation.title or clean_line(prompt.strip(), TITLE_COLUMNS)
    exchanges = (*conversation.exchanges, made)
    return replace(conversation, title=title, exchanges=exchanges, leaf=made.id)


def with_answer(
    conversation: Conversation, exchange_id: str, side: int, answer: Answer
) -> Conversation:
    """`answer` as the newest one of `side`, or in the place of the one with its id."""
    found = exchange(conversation, exchange_id)
    sides = [found.answers_of(each) for each in range(max(len(found.answers), side + 1))]
    here = sides[side]
    if any(each.id == answer.id for each in here):
        sides[side] = tuple(answer if each.id == answer.id else each for each in here)
    else:
        sides[side] = (*here, answer)
    return _changed(conversation, replace(found, answers=tuple(sides)))


def edit_answer(
    conversation: Conversation, exchange_id: str, side: int, answer_id: str, text: str
) -> Conversation:
    """An answer with the user's `text` in its place; the original stays beside it."""
    for each in exchange(conversation, exchange_id).answers_of(side):
        if each.id == answer_id:
            edited = None if text == each.text else text
            return with_answer(conversation, exchange_id, side, replace(each, edited=edited))
    raise NotFoundError(f"there is no answer {clean_line(answer_id, 40)!r} in this exchange")


def _changed(conversation: Conversation, changed: Exchange) -> Conversation:
    exchanges = tuple(changed if each.id == changed.id else each for each in conversation.exchanges)
    return replace(conversation, exchanges=exchanges)


def exchange(conversation: Conversation, exchange_id: str) -> Exchange:
    """The exchange of that id. Raises NotFoundError."""
    for each in conversation.exchanges:
        if each.id == exchange_id:
            return each
    raise NotFoundError(
        f"there is no exchange {clean_line(exchange_id, 40)!r} in this conversation"
    )


def path(conversation: Conversation, exchange_id: str | None = None) -> tuple[Exchange, ...]:
    """The exchanges from the first one to `exchange_id` (none: the leaf), in order."""
    by_id = {each.id: each for each in conversation.exchanges}
    at = conversation.leaf if exchange_id is None else exchange(conversation, exchange_id).id
    found: list[Exchange] = []
    # A file that was edited by hand may go in circles.
    while at is not None and at in by_id and len(found) < len(by_id):
        found.append(by_id[at])
        at = by_id[at].parent
    return tuple(reversed(found))


def branches(conversation: Conversation, exchange_id: str) -> tuple[Exchange, ...]:
    """The exchanges that stand in the same place, itself among them, oldest first."""
    parent = exchange(conversation, exchange_id).parent
    return tuple(each for each in conversation.exchanges if each.parent == parent)


def go(conversation: Conversation, exchange_id: str) -> Conversation:
    """The conversation on the branch of `exchange_id`, at the newest end of it."""
    at = exchange(conversation, exchange_id).id
    newest = {each.parent: each.id for each in conversation.exchanges}  # the last one stays
    for _ in conversation.exchanges:  # a file that was edited by hand may go in circles
        at = newest.get(at, at)
    return replace(conversation, leaf=at)


def back_to(conversation: Conversation, exchange_id: str | None) -> Conversation:
    """The conversation with its leaf at an exchange, so that what is asked next branches there."""
    at = None if exchange_id is None else exchange(conversation, exchange_id).id
    return replace(conversation, leaf=at)


def usable(exchange: Exchange, side: int) -> Answer | None:
    """The newest answer of `side` that says anything."""
    said = (each for each in reversed(exchange.answers_of(side)) if each.said.strip())
    return next(said, None)


def messages_for(conversation: Conversation, exchange_id: str, side: int) -> Messages:
    """What `side` is sent to answer an exchange: the system prompt, then user and assistant in
    turn, the exchange's prompt last. Earlier exchanges without an answer are left out.
    """
    *before, last = path(conversation, exchange_id)
    messages: list[dict[str, str]] = []
    if conversation.system.strip():
        messages.append({"role": "system", "content": conversation.system})
    for each in before:
        answer = usable(each, side)
        if answer is not None:
            messages.append({"role": "user", "content": each.prompt})
            messages.append({"role": "assistant", "content": answer.said})
    messages.append({"role": "user", "content": last.prompt})
    return tuple(messages)

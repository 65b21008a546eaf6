"""A conversation with what is opened: what is sent, queued, answered, stopped and kept.

Knows asyncio and the client, and nothing of the screen. A prompt may be sent at any time: it waits
until the server is there and the answers before it are in. Nothing here blocks: files are a
thread's, and are written one after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from qtui.chat import conversation as conversations
from qtui.chat.asks import Settings
from qtui.chat.conversation import Answer, Conversation, Exchange
from qtui.chat.history import History
from qtui.dashboard.background import off_loop
from qtui.errors import QtuiError
from qtui.screens.chat.answering import Answering, asked
from qtui.screens.chat.link import Link, State
from qtui.screens.chat.opening import BASE, Opened


class Session:
    """What is being said. `changed` is called when the screen has something else to show, `told`
    with a sentence that the user has to see."""

    def __init__(
        self,
        workspace: Path,
        opened: Opened,
        changed: Callable[[], None],
        told: Callable[[str], None],
        started: set[Path] | None = None,
    ) -> None:
        """`started`: see `Link`."""
        self.opened = opened
        self.link = Link(workspace, opened, self._link_changed, started)
        self.history = History(opened.place)
        self.settings = Settings()
        self.plain = False
        """Whether prompts are text that the model goes on from, without its chat template."""
        self.raw = False
        """Whether answers are asked for with their special tokens."""
        self.conversation = conversations.new(opened.sides)
        self.answering: dict[tuple[str, int], Answering] = {}
        """The answers that are being written, by exchange and side."""
        self.waiting: list[str] = []
        """Ids of exchanges that have to be answered as soon as there is a server."""
        self.queued: list[str] = []
        """Prompts that are sent when the answers before them are in."""
        self.no_template = False
        """Whether a model has refused to be talked to because it has no chat template."""
        self._changed = changed
        self._told = told
        self._unsaved: dict[str, Conversation] = {}
        self._saving: asyncio.Task[None] | None = None

    # -- asking ----------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether an answer is being written or waited for."""
        return bool(self.answering or self.waiting)

    def send(self, prompt: str) -> None:
        """Ask `prompt` next; the server is sought or started if need be."""
        if self.busy:
            self.queued.append(prompt)
        else:
            self._ask(conversations.ask(self.conversation, prompt))
        self._changed()

    def resend(self, exchange: str, prompt: str) -> None:
        """Ask `prompt` in the place of an exchange, as a branch."""
        self.stop()
        self._ask(conversations.edit(self.conversation, exchange, prompt))
        self._changed()

    def again(self, exchange: str) -> None:
        """Another answer of each side to an exchange."""
        if not self.busy:
            self._want(exchange)
            self._changed()

    def start_again(self) -> None:
        """Seek or start a server once more; what ended without an answer is asked again."""
        path = self.path()
        if path and not self.busy:
            last = [answers[-1] for answers in path[-1].answers if answers]
            if any(answer.error for answer in last):
                self.waiting.append(path[-1].id)
        self.link.connect()
        self._changed()

    def _ask(self, conversation: Conversation) -> None:
        self.conversation = conversation
        assert conversation.leaf is not None
        self._save()
        self._want(conversation.leaf)

    def _want(self, exchange: str) -> None:
        self.no_template = False
        self.waiting.append(exchange)
        if self.link.state is State.READY:
            self._begin()
        else:
            self.link.connect()

    def _begin(self) -> None:
        """Ask the server for all that is waited for."""
        client = self.link.client
        if client is None:
            return
        self._name_sides()
        waiting, self.waiting = self.waiting, []
        for exchange in waiting:
            for side in range(len(self.conversation.sides)):
                ask = asked(
                    self.conversation, exchange, side, self.settings,
                    plain=self.plain, raw=self.raw, context=self._context(side),
                )  # fmt: skip
                answering = Answering(exchange, side, ask, begun=self._changed)
                self.answering[exchange, side] = answering
                work = self._answer(answering)
                answering.task = asyncio.get_running_loop().create_task(work)

    def _context(self, side: int) -> int | None:
        """Tokens that the model of `side`, or its base, takes."""
        known = {model.id: model.max_context for model in self.link.models}
        return known.get(self.conversation.sides[side], known.get(self.base))

    async def _answer(self, answering: Answering) -> None:
        client = self.link.client
        if client is not None:
            await answering.run(client)
        self._finish(answering)
        self._changed()
        if answering.error is not None:
            code = getattr(answering.error, "code", "")
            self.no_template = code == "chat_template_missing"
            await self.link.look_after(answering.error)
        if not self.busy and self.queued and self.link.state is State.READY:
            self.send(self.queued.pop(0))

    def _finish(self, answering: Answering) -> None:
        """Keep what has come of an answer, as the answer."""
        if self.answering.pop((answering.exchange, answering.side), None) is None:
            return  # it was stopped, and kept then
        self.conversation = conversations.with_answer(
            self.conversation, answering.exchange, answering.side, answering.answer()
        )
        self._save()

    def stop(self) -> str:
        """Stop what is being answered or waited for; what was queued behind it is given back."""
        for answering in list(self.answering.values()):
            answering.stopped = True
            if answering.task is not None:
                answering.task.cancel()
            self._finish(answering)
        for exchange in self.waiting:
            self._drop(exchange)
        self.waiting = []
        back, self.queued = "\n".join(self.queued), []
        self._changed()
        return back

    def _drop(self, exchange: str) -> None:
        """Say at an exchange that was never answered why there is nothing."""
        found = conversations.exchange(self.conversation, exchange)
        for side, model in enumerate(self.conversation.sides):
            if not found.answers_of(side):
                nothing = Answer(
                    conversations.answer_id(), model, "", finish_reason="cancelled",
                    error="stopped before it was asked\nctrl+r asks again",
                )  # fmt: skip
                self.conversation = conversations.with_answer(
                    self.conversation, exchange, side, nothing
                )
        self._save()

    # -- the server ------------------------------------------------------------------------------

    def _link_changed(self) -> None:
        if self.link.state is State.READY:
            self._name_sides()
            self._begin()
        self._changed()

    def _name_sides(self) -> None:
        """Give the sides the names that the server has for them."""
        models = self.link.models
        if not models or (self.conversation.sides and BASE not in self.conversation.sides):
            return
        base = next((model.id for model in models if model.parent is None), models[0].id)
        sides = self.conversation.sides
        if not sides:
            adapters = [model.id for model in models if model.parent == base]
            sides = (base, adapters[-1]) if adapters else (base,)
        named = tuple(side or base for side in sides)
        self.conversation = replace(self.conversation, sides=named)

    @property
    def base(self) -> str:
        """The id of the base, as far as it is known."""
        for model in self.link.models:
            if model.parent is None:
                return model.id
        return self.opened.base

    # -- which conversation ----------------------------------------------------------------------

    def begin(self, conversation: Conversation | None = None) -> None:
        """Another conversation: one that was kept, or a new one with the same models."""
        self.stop()
        before = self.conversation
        if conversation is None:
            conversation = conversations.new(before.sides, system=before.system)
        self.conversation = conversation
        self._name_sides()
        self._changed()

    def change(self, conversation: Conversation) -> None:
        """The same conversation, another state of it."""
        self.conversation = conversation
        if conversation.exchanges:
            self._save()
        self._changed()

    def use(self, sides: tuple[str, ...], *, anew: bool = False) -> None:
        """Ask these models from now on; each answer says who gave it. `anew`: in a new
        conversation, for a side that takes the place of another."""
        self.stop()
        if anew and self.conversation.exchanges:
            self.conversation = conversations.new(sides, system=self.conversation.system)
        else:
            self.conversation = replace(self.conversation, sides=sides)
        self._name_sides()
        self._changed()

    def path(self) -> tuple[Exchange, ...]:
        """The exchanges on the way to where the conversation is."""
        return conversations.path(self.conversation)

    # -- keeping it ------------------------------------------------------------------------------

    def _save(self) -> None:
        self._unsaved[self.conversation.id] = self.conversation
        if self._saving is None or self._saving.done():
            self._saving = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        while self._unsaved:
            _, conversation = self._unsaved.popitem()
            try:
                await off_loop(lambda kept=conversation: self.history.save(kept))  # type: ignore[misc]
            except (QtuiError, OSError) as error:
                self._told(f"The conversation could not be kept: {error}")

    async def written(self) -> None:
        """Return when all that was said is on the disk."""
        if self._saving is not None:
            with suppress(asyncio.CancelledError):
                await self._saving

    def close(self) -> None:
        """Stop what is being answered, and let go of the server."""
        self.stop()
        self.link.close()

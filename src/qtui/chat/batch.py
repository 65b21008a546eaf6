"""Many rows asked of one server, several at once, each answer written down when it is complete.

Memory holds the rows that are being asked and no more. A server that is busy (429) is left alone
for as long as it says. A row that is refused is written down with the reason and the others go on;
a server that is gone ends the batch, because every row after that would fail.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from qtui.chat.asks import Answered, Ask, Delta, Settings
from qtui.chat.batch_input import Item
from qtui.chat.client import Client
from qtui.chat.failures import (
    CutOffError,
    RefusedAskError,
    ServerError,
    SilentError,
    UnreachableError,
)
from qtui.errors import QtuiError

TRIES = 5
"""How often a row is asked that fails for no reason of its own."""

BUSY_SECONDS = 60.0
"""Longest pause after a 429 that does not say how long."""

_FOR_ALL = ("model_not_found", "engine_gone", "not_possible_here")


@dataclass
class Progress:
    """How far a batch is; plain numbers for whoever shows them."""

    total: int | None = None
    """Rows of the input; none while they are not counted."""
    skipped: int = 0
    """Rows that were answered before."""
    done: int = 0
    failed: int = 0
    tokens: int = 0
    """Of the answers."""
    waiting_until: float = 0.0
    """When a busy server may be asked again, by `time.monotonic`."""
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    @property
    def busy(self) -> bool:
        """Whether the server has asked to be left alone for a while."""
        return self.waiting_until > time.monotonic()

    @property
    def rate(self) -> float:
        """Rows a second."""
        return (self.done + self.failed) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until the end, at the rate so far; none where that is not known."""
        if self.total is None or not self.rate:
            return None
        return (self.total - self.skipped - self.done - self.failed) / self.rate


@dataclass(frozen=True)
class Batch:
    """What every row is asked with."""

    client: Client
    model: str
    settings: Settings
    told: Mapping[str, Any]
    """The settings as they are written into each row."""
    concurrency: int
    raw: bool = False
    gone: Callable[[], QtuiError | None] = lambda: None
    """Why the server has ended, where that can be known otherwise than by asking it."""


async def run(
    batch: Batch,
    items: AsyncIterator[Item],
    write: Callable[[Mapping[str, Any]], None],
    progress: Progress,
) -> None:
    """Ask all `items`, and `write` a row for each, in the order in which they are answered.

    Raises:
        QtuiError: the server is gone, refuses the key or the model, or a row cannot be written.
    """
    turn = asyncio.Lock()
    progress.began = time.monotonic()

    async def ask_on() -> None:
        while True:
            async with turn:
                item = await anext(items, None)
            if item is None:
                return
            row = await _row(batch, item, progress)
            write(row)
            if row["error"] is None:
                progress.done += 1
                progress.tokens += row["completion_tokens"]
            else:
                progress.failed += 1

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(batch.concurrency):
                group.create_task(ask_on())
    except BaseExceptionGroup as errors:
        raise _first(errors) from None


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _row(batch: Batch, item: Item, progress: Progress) -> dict[str, Any]:
    row: dict[str, Any] = {"line": item.line, "hash": item.hash, "input": item.input}
    made = {"model": batch.model, "settings": dict(batch.told)}
    if item.error:
        return {**row, "answer": None, **made, "error": {"message": item.error, "code": "bad_row"}}
    ask = Ask(batch.model, item.messages, batch.settings, item.prompt, batch.raw)
    try:
        text, answered = await _patiently(batch, ask, progress)
    except (RefusedAskError, _RowError) as error:
        if isinstance(error, ServerError) and error.code in _FOR_ALL:
            raise
        code = error.code if isinstance(error, ServerError) else "failed"
        return {**row, "answer": None, **made, "error": {"message": error.message, "code": code}}
    return {
        **row,
        "answer": text,
        **made,
        "finish_reason": answered.finish_reason,
        "prompt_tokens": answered.prompt_tokens,
        "completion_tokens": answered.completion_tokens,
        "first_token_seconds": round(answered.first_token_seconds, 4),
        "seconds": round(answered.seconds, 4),
        "error": None,
    }


class _RowError(QtuiError):
    """A row that failed however often it was asked, by a server that answers others."""


async def _patiently(batch: Batch, ask: Ask, progress: Progress) -> tuple[str, Answered]:
    """The answer; what passes is waited out.

    Raises RefusedAskError or _RowError for this row alone, any other QtuiError for all.
    """
    tries = busy = 0
    while True:
        await _pause(progress)
        try:
            return await _answer(batch.client, ask)
        except ServerError as error:
            if error.status == 429:
                busy += 1
                seconds = min(2.0 ** min(busy, 10) / 2, BUSY_SECONDS)
                if error.retry_after is not None:
                    seconds = max(error.retry_after, 0.05)
                progress.waiting_until = max(progress.waiting_until, time.monotonic() + seconds)
                continue
            if error.status in (401, 403) or error.code in _FOR_ALL:
                raise
            if isinstance(error, RefusedAskError):
                raise
            failed: QtuiError = error
        except (CutOffError, SilentError, UnreachableError) as error:
            failed = error
        tries += 1
        await _see_whether_it_lives(batch, failed, tries)
        if tries >= TRIES:
            raise _RowError(failed.message, remedy=failed.remedy) from failed


async def _see_whether_it_lives(batch: Batch, failed: QtuiError, tries: int) -> None:
    """Return after a pause when the server can be asked again; raise when it is gone."""
    why = await asyncio.to_thread(batch.gone)
    if why is not None:
        raise why from failed
    try:
        await batch.client.health()
    except QtuiError as error:
        if tries >= TRIES:
            raise error from failed
    await asyncio.sleep(min(2.0**tries / 8, 4.0))


async def _pause(progress: Progress) -> None:
    while (left := progress.waiting_until - time.monotonic()) > 0:
        await asyncio.sleep(left)


async def _answer(client: Client, ask: Ask) -> tuple[str, Answered]:
    text: list[str] = []
    async with aclosing(client.ask(ask)) as answer:
        async for each in answer:
            if isinstance(each, Delta):
                text.append(each.text)
            elif isinstance(each, Answered):
                return "".join(text), each
    raise CutOffError("the answer ended without an end")

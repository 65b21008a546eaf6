"""Answers that are being made: places for them, and reports brought from the engine's thread.

The event loop never waits for the engine: jobs are handed over by a few threads, and reports come
back through one mailbox that wakes the loop once for however many lie in it. A place is taken from
the moment a request is let in until the engine has said that its job is over, whether or not
somebody still listens; so what the engine has to do is bounded by `max_concurrent + max_queue`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from qtui.errors import QtuiError
from qtui.stages.inference.engine import (
    Began,
    Ended,
    Engine,
    Failed,
    Job,
    Piece,
    Report,
    Ticket,
)
from qtui.stages.inference.server.errors import ApiError, Refusal, refused, stopping

_HANDING_OVER = 4
"""Threads that hand jobs to the engine: each tokenises a prompt."""


@dataclass(frozen=True)
class Broke:
    """The engine raised something that it does not promise."""

    error: Exception


class Answer:
    """One job, seen from the event loop; made by `Answers.ask`."""

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self.job = job
        self.asked = time.monotonic()
        self.began: float | None = None
        self.first: float | None = None
        self.tokens = 0
        self.over = False
        self.gone = False
        """Whether the client went away."""
        self.stopped = False
        """Whether the server ended it."""
        self._loop = loop
        self._reports: list[Report | Broke] = []
        self._waiter: asyncio.Future[None] | None = None
        self._mutex = threading.Lock()
        self._ticket: Ticket | None = None
        self._cancelled = False

    async def next(self, seconds: float | None = None) -> list[Report | Broke]:
        """What was reported since the last call, waited for; nothing after `seconds`, or when the
        client is gone or the server stops."""
        if not self._reports and not (self.gone or self.stopped):
            self._waiter = self._loop.create_future()
            timer = None if seconds is None else self._loop.call_later(seconds, self._wake)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        reports, self._reports = self._reports, []
        return reports

    def take(self, report: Report | Broke) -> None:
        """Take in a report; on the event loop."""
        if isinstance(report, Piece):
            self.tokens += report.tokens
            if self.first is None:
                self.first = time.monotonic()
        elif isinstance(report, Began):
            self.began = time.monotonic()
        self._reports.append(report)
        self._wake()

    def client_gone(self) -> None:
        """Nobody listens any more."""
        self.gone = True
        self.cancel()

    def stop(self) -> None:
        """The server ends it."""
        self.stopped = True
        self.cancel()

    def cancel(self) -> None:
        """Have the engine end the job as soon as may be."""
        with self._mutex:
            self._cancelled = True
            ticket = self._ticket
        if ticket is not None and not self.over:
            ticket.cancel()
        self._wake()

    def hand_over(self, engine: Engine, sink: Callable[[Report | Broke], None]) -> None:
        """Submit the job; on a thread, since it may take seconds."""
        with self._mutex:
            cancelled = self._cancelled
        if cancelled:
            sink(Ended("cancelled", 0, 0))
            return
        try:
            ticket = engine.submit(self.job, sink)
        except QtuiError as error:
            sink(Failed(error))
        except Exception as error:
            sink(Broke(error))
        else:
            with self._mutex:
                self._ticket = ticket
                cancelled = self._cancelled
            if cancelled:
                ticket.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Answers:
    """All answers of a server. Everything but what the engine calls runs on the event loop."""

    def __init__(self, engine: Engine, *, max_concurrent: int, max_queue: int) -> None:
        self.engine = engine
        self.stopping = False
        self.active = time.monotonic()
        """When somebody last asked or was answered."""
        self._places = max_concurrent + max_queue
        self._max_concurrent = max_concurrent
        self.open: set[Answer] = set()
        """Those whose job is not over."""
        self._seconds = deque[float](maxlen=32)  # how long the last answers took
        self._letters: deque[tuple[Answer, Report | Broke]] = deque()
        self._called = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool = ThreadPoolExecutor(_HANDING_OVER, "qtui-submit")
        # Adapters are loaded one by one, and nobody else's request waits for it.
        self._loading = ThreadPoolExecutor(1, "qtui-load")

    @property
    def busy(self) -> bool:
        """Whether anything is being answered."""
        return bool(self.open)

    @property
    def waiting(self) -> int:
        """Requests that the engine has not begun."""
        return sum(answer.began is None for answer in self.open)

    @property
    def running(self) -> int:
        """Requests that the engine is answering."""
        return len(self.open) - self.waiting

    def ask(self, job: Job) -> Answer:
        """Let `job` in and have it handed to the engine.

        Raises ApiError when the server stops, the engine has died or all places are taken.
        """
        if self.stopping:
            raise stopping()
        if trouble := self.engine.trouble():
            raise refused(503, f"the engine has died: {trouble}", "engine_gone")
        if len(self.open) >= self._places:
            message = (
                f"all places are taken: {self.running} requests are being answered and "
                f"{self.waiting} wait; try again later, or start the server with a larger max_queue"
            )
            headers = {"retry-after": str(self._retry_after())}
            raise ApiError(Refusal(429, message, "queue_full", headers=headers))
        self._loop = self._loop or asyncio.get_running_loop()
        answer = Answer(job, self._loop)
        self.open.add(answer)
        self.active = answer.asked
        known = any(model.id == job.model for model in self.engine.models())
        pool = self._pool if known else self._loading
        pool.submit(answer.hand_over, self.engine, lambda report: self._post(answer, report))
        return answer

    def stop_all(self) -> None:
        """End all answers."""
        self.stopping = True
        for answer in list(self.open):
            answer.stop()

    def close(self) -> None:
        """Give the threads back; from any thread, after the loop has ended."""
        for pool in (self._pool, self._loading):
            pool.shutdown(wait=False, cancel_futures=True)

    def _post(self, answer: Answer, report: Report | Broke) -> None:
        """Bring `report` to the loop; from any thread."""
        self._letters.append((answer, report))
        if not self._called:
            self._called = True
            assert self._loop is not None
            with suppress(RuntimeError):  # the loop has ended: nobody listens
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._called = False  # before the letters are taken: what comes later calls again
        while self._letters:
            answer, report = self._letters.popleft()
            if isinstance(report, Ended | Failed | Broke):
                answer.over = True
                self.open.discard(answer)
                self.active = time.monotonic()
                self._seconds.append(self.active - answer.asked)
            answer.take(report)

    def _retry_after(self) -> int:
        """Seconds until a place is likely to be free."""
        if not self._seconds:
            return 1
        usual = sum(self._seconds) / len(self._seconds)
        return int(min(max(usual / self._max_concurrent, 1), 60))

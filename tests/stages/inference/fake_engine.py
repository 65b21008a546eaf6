"""An engine without a model, for tests of the server and of its clients.

It answers word by word on one thread, all running jobs in turn, as a real engine's batch does; a
word is a token. Its answer is an echo of the prompt unless the test says otherwise, and a test
steers when words come: `hold`, `let(3)`, `go`. Nothing in it sleeps unless `seconds_a_word` is set.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from qtui.errors import QtuiError
from qtui.stages.inference.engine import (
    Began,
    Ended,
    Failed,
    GoneError,
    Job,
    Piece,
    RefusedError,
    Served,
    Sink,
    too_long,
    unknown_model,
)

BASE = "builtin:tiny"
ADAPTER = "quiet-otter"
SPECIAL = "<|end|>"


def echo(job: Job) -> str:
    """What an engine answers unless told otherwise: JSON where that was asked for."""
    if job.sampling.json_schema is not None:
        return json.dumps({"said": last_text(job)})
    return f"{job.model} heard: {last_text(job)}"


def last_text(job: Job) -> str:
    """The last thing said in a job's prompt."""
    return job.prompt if isinstance(job.prompt, str) else str(job.prompt[-1].get("content") or "")


def rendered(job: Job) -> str:
    """The prompt as this model sees it."""
    if isinstance(job.prompt, str):
        return job.prompt
    tools = "".join(f"<|tool|>{json.dumps(dict(tool))}\n" for tool in job.tools)
    turns = [f"<|{message['role']}|>{message.get('content') or ''}" for message in job.prompt]
    tail = [] if job.continue_final_message else ["<|assistant|>"]
    return tools + "\n".join(turns + tail)


@dataclass
class _Running:
    """One job; also the ticket that the server gets."""

    job: Job
    sink: Sink
    words: list[str]
    prompt_tokens: int
    wake: Callable[[], None]
    reason: str = "stop"
    began: bool = False
    done: int = 0
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True
        self.wake()


@dataclass
class FakeEngine:
    """Implements `Engine`. `jobs` are all that were taken, `cancelled` those that were ended."""

    answer: Callable[[Job], str] = echo
    adapters: Sequence[str] = (ADAPTER,)
    max_context: int = 512
    max_concurrent: int = 4
    seconds_a_word: float = 0.0
    submit_gate: threading.Event | None = None
    """Where set, `submit` waits for it, as for an adapter that is being loaded."""
    jobs: list[Job] = field(default_factory=list)
    cancelled: list[Job] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: list[_Running] = []
        self._running: list[_Running] = []
        self._allowed: float = float("inf")
        self._trouble = ""
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="fake-engine", daemon=True)
        self._thread.start()

    # What a test says.

    def hold(self) -> None:
        """No more words until `let` or `go`."""
        self._allow(0)

    def let(self, words: int) -> None:
        """So many words more, over all jobs."""
        with self._condition:
            self._allowed += words
            self._condition.notify_all()

    def go(self) -> None:
        """Words come as they may."""
        self._allow(float("inf"))

    def die(self, reason: str = "the GPU was lost") -> None:
        """All jobs fail, and nothing is answered any more."""
        with self._condition:
            self._trouble = reason
            self._condition.notify_all()

    @property
    def busy(self) -> int:
        """Jobs that are not over."""
        with self._condition:
            return len(self._waiting) + len(self._running)

    def _allow(self, words: float) -> None:
        with self._condition:
            self._allowed = words
            self._condition.notify_all()

    # What the server calls.

    def models(self) -> tuple[Served, ...]:
        base = Served(BASE, None, BASE, self.max_context)
        return (base, *(Served(n, BASE, f"runs/{n}", self.max_context) for n in self.adapters))

    def submit(self, job: Job, sink: Sink) -> _Running:
        if self.submit_gate is not None:
            self.submit_gate.wait(60)
        if self._trouble:
            raise GoneError(self._trouble, remedy="start the server again")
        known = [model.id for model in self.models()]
        if job.model not in known:
            raise unknown_model(job.model, known)
        prompt_tokens = len(rendered(job).split())
        if prompt_tokens + (job.sampling.max_tokens or 1) > self.max_context:
            raise too_long(prompt_tokens, job.sampling.max_tokens or 0, self.max_context)
        if job.continue_final_message and (
            isinstance(job.prompt, str) or job.prompt[-1]["role"] != "assistant"
        ):
            raise RefusedError(
                "the last message is not the assistant's", code="invalid_value", param="messages"
            )
        running = _Running(job, sink, self._words(job), prompt_tokens, self._wake)
        limit = job.sampling.max_tokens
        if limit is not None and len(running.words) > limit:
            running.words, running.reason = running.words[:limit], "length"
        with self._condition:
            self.jobs.append(job)
            self._waiting.append(running)
            self._condition.notify_all()
        return running

    def trouble(self) -> str:
        return self._trouble

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._thread.join(10)

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _words(self, job: Job) -> list[str]:
        text = self.answer(job)
        for stop in job.sampling.stop:
            text = text.partition(stop)[0]
        if not job.sampling.skip_special_tokens:
            text += f" {SPECIAL}"
        return re.findall(r"\S+\s*|\s+", text)

    # The engine's own thread.

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(self._something_to_do)
                if self._closed:
                    for running in self._running + self._waiting:
                        self._end(running, "cancelled")
                    return
                while self._waiting and len(self._running) < self.max_concurrent:
                    self._running.append(self._waiting.pop(0))
                cancelled = [r for r in self._running + self._waiting if r.cancelled]
                trouble = self._trouble
            for running in cancelled:
                self.cancelled.append(running.job)
                self._end(running, "cancelled")
            for running in list(self._running + self._waiting if trouble else self._running):
                self._step(running, trouble)
            if self.seconds_a_word:
                threading.Event().wait(self.seconds_a_word)

    def _something_to_do(self) -> bool:
        runs = self._running
        room = self._waiting and len(runs) < self.max_concurrent
        gone = any(running.cancelled for running in runs + self._waiting)
        ready = any(r.done >= len(r.words) or not r.began for r in runs)
        over = bool(self._trouble) and bool(runs or self._waiting)
        return self._closed or bool(room) or gone or ready or over or bool(runs and self._allowed)

    def _step(self, running: _Running, trouble: str) -> None:
        if trouble:
            error: QtuiError = GoneError(trouble, remedy="start the server again")
            running.sink(Failed(error))
            self._remove(running)
        elif not running.began:
            running.began = True
            running.sink(Began(running.prompt_tokens, rendered(running.job)))
        elif running.done >= len(running.words):
            self._end(running, running.reason)
        else:
            with self._condition:
                if self._allowed < 1:
                    return
                self._allowed -= 1
            running.done += 1
            running.sink(Piece(running.words[running.done - 1]))

    def _end(self, running: _Running, reason: str) -> None:
        running.sink(Ended(reason, running.prompt_tokens, running.done))  # type: ignore[arg-type]
        self._remove(running)

    def _remove(self, running: _Running) -> None:
        with self._condition:
            for jobs in (self._running, self._waiting):
                if running in jobs:
                    jobs.remove(running)

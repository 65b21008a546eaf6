"""The thread that answers: takes jobs in, computes all of them together, token by token.

Between two steps jobs come and go: the prompts of new ones are read, in pieces so that a long one
does not hold up the others, and their rows join the batch; rows that are complete leave it. Jobs
come in the order in which they were asked for, as many at once as there are places.

What goes wrong for one job fails that job. Memory that runs out fails the jobs whose prompts are
being read, or else the longest one; the others live on. Anything else is the end: all jobs fail,
and nothing more is taken.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

from qtui.errors import QtuiError
from qtui.stages.inference.answer import Answer, gone, no_numbers, out_of_memory
from qtui.stages.inference.engine import Began
from qtui.stages.inference.sampling import Sampler
from qtui.stages.training.recovery import is_out_of_memory
from qtui.terminal import clean_line

T = TypeVar("T")

PIECE = 2048
"""Tokens of prompts that are read in one go, between two tokens of the answers under way."""


class Batch(Protocol):
    """Rows that are computed together: see `batch.Rows`."""

    lengths: list[int]

    def __len__(self) -> int: ...
    def reading(self, prompts: Sequence[Sequence[int]], piece: int) -> Iterator[torch.Tensor]: ...
    def step(self, tokens: torch.Tensor) -> torch.Tensor: ...
    def keep(self, rows: Sequence[int]) -> None: ...
    def join(self, other: Any) -> None: ...


class Composition(Protocol):
    """Puts the right adapter behind each row: see `adapters.Adapters`."""

    def compose(self, names: Sequence[str | None]) -> None: ...
    def go_together(self, names: Sequence[str | None]) -> bool: ...


@dataclass
class _Reading:
    """Prompts that are being read, a piece at each step."""

    answers: list[Answer]
    rows: Batch
    pieces: Iterator[torch.Tensor]
    left: int
    """Pieces that are not read yet."""


class Decoder:
    """See the module. `new_rows` makes an empty batch; `places` rows are answered at once."""

    def __init__(
        self,
        new_rows: Callable[[], Batch],
        composition: Composition,
        *,
        places: int,
        device: torch.device,
    ) -> None:
        self._new_rows = new_rows
        self._composition = composition
        self._places = places
        self._device = device
        self._condition = threading.Condition()
        self._waiting: deque[Answer] = deque()
        self._errands: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._closed = False
        self._trouble = ""
        # Of the thread alone.
        self._rows = new_rows()
        self._running: list[Answer] = []
        self._reading: _Reading | None = None
        self._sampler: Sampler | None = None
        self._tokens = torch.empty(0, dtype=torch.long)
        self._thread = threading.Thread(target=self._main, name="qtui-decoder", daemon=True)
        self._thread.start()

    # From any thread.

    def submit(self, answer: Answer) -> None:
        """Answer it when there is a place. Raises GoneError when the thread has ended."""
        with self._condition:
            self._refuse_ifgone()
            self._waiting.append(answer)
            self._condition.notify()

    def between_steps(self, errand: Callable[[], T]) -> T:
        """Do `errand` on the thread, where no step is under way; returns what it returns."""
        future: Future[T] = Future()
        with self._condition:
            self._refuse_ifgone()
            self._errands.append((errand, future))
            self._condition.notify()
        return future.result()

    def wake(self) -> None:
        """Look again at what was cancelled."""
        with self._condition:
            self._condition.notify()

    @property
    def trouble(self) -> str:
        return self._trouble

    def close(self) -> None:
        """End all jobs as cancelled, and the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join()

    def _refuse_ifgone(self) -> None:
        if self._trouble or self._closed:
            raise gone(self._trouble or "the engine is closed")

    # The thread.

    def _main(self) -> None:
        try:
            while self._wait():
                self._run_errands()
                with torch.inference_mode():
                    self._turn()
            for answer in self._all():
                answer.end("cancelled")
            self._refuse_errands("the engine is closed")
        except BaseException as error:
            traceback.print_exc()
            first = (str(error).splitlines() or [""])[0]
            self._die(f"{type(error).__name__}: {clean_line(first, 300)}")

    def _wait(self) -> bool:
        """Wait for something to do; false when closed."""
        with self._condition:
            self._condition.wait_for(
                lambda: (
                    self._closed or self._running or self._reading or self._waiting or self._errands
                )
            )
            return not self._closed

    def _run_errands(self) -> None:
        while self._errands:
            errand, future = self._errands.popleft()
            try:
                future.set_result(errand())
            except Exception as error:
                future.set_exception(error)

    def _turn(self) -> None:
        self._drop_cancelled()
        if self._reading is None:
            self._admit()
        if self._reading is not None:
            self._read()
        if self._running:
            self._step()

    def _drop_cancelled(self) -> None:
        with self._condition:
            gone = [answer for answer in self._waiting if answer.cancelled]
            for answer in gone:
                self._waiting.remove(answer)
        for answer in gone:
            answer.end("cancelled")
        if any(answer.cancelled for answer in self._running):
            cancelled = [answer for answer in self._running if answer.cancelled]
            self._leave(cancelled)
            for answer in cancelled:
                answer.end("cancelled")
        reading = self._reading
        if reading is not None and all(answer.cancelled for answer in reading.answers):
            self._reading = None
            for answer in reading.answers:
                answer.end("cancelled")

    # Prompts.

    def _admit(self) -> None:
        """Begin to read the prompts of the jobs whose turn it is."""
        taken: list[Answer] = []
        names: list[str | None] = [answer.adapter for answer in self._running]
        longest = 0
        with self._condition:
            while self._waiting and len(names) < self._places:
                answer = self._waiting[0]
                wider = max(longest, len(answer.prompt.ids))
                # Prompts that are read together are padded to one length.
                if taken and wider * (len(taken) + 1) > PIECE:
                    break
                if not self._composition.go_together([*names, answer.adapter]):
                    break
                longest = wider
                names.append(answer.adapter)
                taken.append(self._waiting.popleft())
        if taken:
            self._reading = self._begin_reading(taken)

    def _begin_reading(self, answers: list[Answer]) -> _Reading:
        rows = self._new_rows()
        prompts = [answer.prompt.ids for answer in answers]
        longest = max(map(len, prompts))
        piece = max(PIECE // len(answers), 1)
        return _Reading(answers, rows, rows.reading(prompts, piece), -(-longest // piece))

    def _read(self) -> None:
        """Read a piece; behind the last one the first tokens are drawn and the rows join."""
        reading = self._reading
        assert reading is not None
        try:
            self._composition.compose([answer.adapter for answer in reading.answers])
            logits = next(reading.pieces)
            reading.left -= 1
            if reading.left:
                return
            self._join(reading, logits)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._reading = None
            self._retry_alone(reading.answers)

    def _join(self, reading: _Reading, logits: torch.Tensor) -> None:
        sampler = self._sampler_for(reading.answers, logits)
        tokens = sampler.choose(logits)
        broken = logits.isnan().any(dim=-1).tolist()
        # What may fail comes first: until here they are still being read, and hear of it.
        self._rows.join(reading.rows)
        self._tokens = torch.cat([self._tokens.to(tokens.device), tokens])
        self._running.extend(reading.answers)
        self._reading = self._sampler = None
        over = []
        for answer, token, nan in zip(reading.answers, tokens.tolist(), broken, strict=True):
            answer.sink(Began(len(answer.prompt.ids), answer.prompt.text))
            if nan:
                answer.fail(no_numbers())
                over.append(answer)
            elif self._take(answer, token):
                over.append(answer)
        self._leave(over)

    def _retry_alone(self, answers: list[Answer]) -> None:
        """Prompts were too much for the memory: together, try each alone; alone, it fails."""
        _give_back(self._device)
        if len(answers) == 1:
            answers[0].fail(out_of_memory())
            return
        # The first goes on at once; the others come next in the queue.
        with self._condition:
            self._waiting.extendleft(reversed(answers[1:]))
        self._reading = self._begin_reading(answers[:1])

    # Steps.

    def _step(self) -> None:
        try:
            self._composition.compose([answer.adapter for answer in self._running])
            logits = self._rows.step(self._tokens)
            if self._sampler is None:
                self._sampler = self._sampler_for(self._running, logits)
            self._tokens = self._sampler.choose(logits)
            tokens = self._tokens.tolist()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._drop_longest()
            return
        over = [
            answer
            for answer, token in zip(self._running, tokens, strict=True)
            if self._take(answer, token)
        ]
        self._leave(over)

    def _sampler_for(self, answers: Sequence[Answer], logits: torch.Tensor) -> Sampler:
        return Sampler([answer.drawn for answer in answers], logits.shape[1], logits.device)

    def _take(self, answer: Answer, token: int) -> bool:
        """Give the text of a new token; returns whether the answer is over."""
        try:
            reason = answer.take(token)
        except Exception as error:
            traceback.print_exc()
            name = type(error).__name__
            known = error if isinstance(error, QtuiError) else QtuiError(f"{name}: {error}")
            answer.fail(known)
            return True
        if reason is not None:
            answer.end(reason)
        return reason is not None

    def _drop_longest(self) -> None:
        """There is no memory for another token of all: the longest answer fails for the others."""
        lengths = self._rows.lengths
        longest = self._running[max(range(len(lengths)), key=lambda row: lengths[row])]
        longest.fail(out_of_memory())
        _give_back(self._device)
        self._leave([longest])

    def _leave(self, over: Sequence[Answer]) -> None:
        """Take the rows of `over` out of the batch.

        To move the others together takes memory too. Where it is not there, they fail.
        """
        if not over:
            return
        gone = set(map(id, over))
        kept = [row for row, answer in enumerate(self._running) if id(answer) not in gone]
        others = [self._running[row] for row in kept]
        self._running, self._sampler = others, None
        try:
            self._rows.keep(kept)
            self._tokens = self._tokens[kept]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            for answer in others:
                answer.fail(out_of_memory())
            self._rows, self._running = self._new_rows(), []
            self._tokens = self._tokens[:0]
            _give_back(self._device)

    # Ends.

    def _all(self) -> list[Answer]:
        """Every job there is, taken out of everything."""
        with self._condition:
            waiting = list(self._waiting)
            self._waiting.clear()
        reading = self._reading.answers if self._reading is not None else []
        running, self._running, self._reading = self._running, [], None
        return [*running, *reading, *waiting]

    def _die(self, why: str) -> None:
        with self._condition:
            self._trouble = why
        for answer in self._all():
            answer.fail(gone(why))
        self._refuse_errands(why)

    def _refuse_errands(self, why: str) -> None:
        while self._errands:
            self._errands.popleft()[1].set_exception(gone(why))


def _give_back(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()

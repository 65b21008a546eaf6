"""The engine for .gguf files: llama.cpp, several answers at once.

One thread computes. Each answer has a sequence of its own in llama.cpp's memory, and each step
takes one token of every answer that is being written and a part of the prompts that are being
read, so that a long prompt holds up nobody for long. A sequence keeps what it has read: a prompt
that begins like an earlier one is read from where they part.

llama.cpp rounds differently when it computes more together (seen with 16-bit weights). So an
answer with a seed is computed by itself, in steps that depend on nothing but its own prompt.

Adapters of PEFT cannot be attached to a .gguf file. llama.cpp's own adapter files hold for all
sequences together, so requests could not choose among them: such a file is not taken either.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from qtui.config.serve import ServeConfig
from qtui.errors import InputError, QtuiError
from qtui.stages.inference import prompts
from qtui.stages.inference.budget import budget
from qtui.stages.inference.engine import (
    Began,
    Ended,
    Failed,
    GoneError,
    Job,
    Piece,
    Sampling,
    Served,
    Sink,
    unknown_model,
)
from qtui.stages.inference.gguf_model import GgufModel, load
from qtui.stages.inference.gguf_sampler import GgufSampler, Schemas
from qtui.stages.inference.prompts import Prompt, Prompts, TurnEnd
from qtui.stages.inference.template_process import TemplateProcess
from qtui.stages.inference.text_stream import TextStream
from qtui.terminal import clean_line

_NO_ADAPTERS = (
    "merge the adapter into its base and convert that to .gguf, or serve the base's own folder or "
    "hub id with the adapter (engine: transformers)"
)


def start(config: ServeConfig, say: Callable[[str], None]) -> GgufEngine:
    """Load the .gguf file of `config` and begin to wait for jobs.

    Raises:
        InputError: the file, the chat template or an adapter cannot be used.
        ImpossibleError: llama-cpp-python or memory is lacking.
    """
    if config.adapters:
        name = clean_line(config.adapters[0].name)
        raise InputError(
            f"the adapter {name} cannot be attached to a .gguf file", remedy=_NO_ADAPTERS
        )
    process = TemplateProcess()
    try:
        model = load(config, say)
        try:
            template = prompts.named(config.chat_template, model.tokenizer)
            return GgufEngine(model, config, Prompts(model.tokenizer, process, template))
        except BaseException:
            model.close()
            raise
    except BaseException:
        process.close()
        raise


@dataclass
class _Answer:
    """A job on its way; also its ticket."""

    sampling: Sampling
    sink: Sink
    prompt: Prompt
    budget: int
    """Tokens that it may have."""
    ends: frozenset[int]
    """Tokens that complete it."""
    text: TextStream
    matcher: Any
    wake: Callable[[], None]
    cancelled: bool = False
    sampler: GgufSampler | None = None
    unread: deque[int] = field(default_factory=deque)
    """Tokens that the model has not computed yet."""
    began: bool = False
    completion: int = 0

    def cancel(self) -> None:
        self.cancelled = True
        self.wake()


@dataclass
class _Sequence:
    """A place in llama.cpp's memory: what it holds, and who uses it."""

    number: int
    held: list[int] = field(default_factory=list)
    answer: _Answer | None = None
    used: int = 0


class GgufEngine:
    """Implements `Engine` over one .gguf file."""

    def __init__(self, model: GgufModel, config: ServeConfig, prompts: Prompts) -> None:
        self._model, self._prompts, self._schemas = model, prompts, Schemas(model)
        self._most_prompt = config.max_prompt_tokens
        self._served = Served(
            id=config.model.model_name,
            base=None,
            root=str(Path(config.model.model_name).expanduser()),
            max_context=model.room.context,
        )
        self._sequences = [_Sequence(number) for number in range(model.room.sequences)]
        self._waiting: deque[_Answer] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._trouble = ""
        self._clock = 0
        self._reading = threading.Lock()  # the model is not freed while a prompt is read
        self._thread = threading.Thread(target=self._work, name="llama.cpp", daemon=True)
        self._thread.start()

    # ---- from any thread ----

    def models(self) -> tuple[Served, ...]:
        """The one model that a .gguf file holds."""
        return (self._served,)

    def trouble(self) -> str:
        """Why nothing can be answered any more; an empty text while all is well."""
        return self._trouble

    def submit(self, job: Job, sink: Sink) -> _Answer:
        """Take `job`; see `Engine.submit`."""
        if job.model != self._served.id:
            raise unknown_model(
                job.model,
                [self._served.id],
                "a .gguf file takes no adapters; " + _NO_ADAPTERS,
            )
        sampling = job.sampling
        with self._reading:
            self._check_alive()
            template = self._prompts.template()
            prompt = self._prompts.make(job, template, self._served.max_context)
            limit = budget(
                len(prompt.ids),
                sampling.max_tokens,
                context=self._served.max_context,
                longest_prompt=self._most_prompt,
            )
            turn = TurnEnd()
            if not isinstance(job.prompt, str):
                turn = self._prompts.turn_end(template)
            schema = sampling.json_schema
            matcher = None if schema is None else self._schemas.of(schema)
            ends = self._model.tokenizer.ends.union(turn.tokens)
        text = TextStream(
            self._model.tokenizer,
            stop=(*sampling.stop, *turn.texts),
            skip_special_tokens=sampling.skip_special_tokens,
        )
        if sampling.ignore_eos:
            ends = frozenset()
        answer = _Answer(sampling, sink, prompt, limit, ends, text, matcher, self._wake)
        with self._changed:
            self._check_alive()
            self._waiting.append(answer)
            self._changed.notify_all()
        return answer

    def close(self) -> None:
        """End all jobs as cancelled and give everything back."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._prompts.process.close()

    def _check_alive(self) -> None:
        if self._trouble or self._closing:
            raise GoneError(
                self._trouble or "the engine has been closed", remedy="start the server again"
            )

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # ---- the thread that computes ----

    def _work(self) -> None:
        try:
            while self._wait():
                self._step()
        except Exception as error:
            if not isinstance(error, QtuiError):
                traceback.print_exc(file=sys.stderr)
            self._die(error)
        finally:
            with self._changed:
                self._closing = True
                waiting, self._waiting = list(self._waiting), deque()
            for answer in waiting:
                self._report_end(answer, "cancelled")
            for sequence in self._sequences:
                if sequence.answer is not None:
                    self._finish(sequence, "cancelled")
            with self._reading:
                self._model.close()

    def _wait(self) -> bool:
        """Wait for work and give places to those who wait; False when it is over."""
        with self._changed:
            while not self._closing:
                self._admit()
                if any(sequence.answer for sequence in self._sequences):
                    return True
                self._changed.wait()
        return False

    def _admit(self) -> None:
        while self._waiting:
            answer = self._waiting[0]
            free = [one for one in self._sequences if one.answer is None]
            if answer.cancelled:
                self._waiting.popleft()
                self._report_end(answer, "cancelled")
                continue
            if not free:
                return
            self._waiting.popleft()
            # The one that has read most of this prompt; among equals the one unused for longest.
            best = max(free, key=lambda one: (_shared(one.held, answer.prompt.ids), -one.used))
            self._begin(best, answer)

    def _begin(self, sequence: _Sequence, answer: _Answer) -> None:
        # At least the last token is computed again: its logits are what the answer begins with.
        shared = min(_shared(sequence.held, answer.prompt.ids), len(answer.prompt.ids) - 1)
        if answer.sampling.seed is not None:
            shared = 0
        kept = self._model.cut(sequence.number, shared)
        sequence.held = answer.prompt.ids[:kept]
        answer.unread = deque(answer.prompt.ids[kept:])
        answer.sampler = GgufSampler(
            self._model, answer.sampling, answer.prompt.ids, answer.matcher
        )
        self._clock += 1
        sequence.answer, sequence.used = answer, self._clock

    def _step(self) -> None:
        running = [one for one in self._sequences if one.answer is not None]
        for sequence in running:
            assert sequence.answer is not None
            if sequence.answer.cancelled:
                self._finish(sequence, "cancelled")
        running = [one for one in running if one.answer is not None]
        if not running:
            return
        # Those that write come first with their one token, then prompts share what is left.
        together = sorted((one for one in running if not _alone(one)), key=_unread)
        for group in (together, *([one] for one in running if _alone(one))):
            self._compute(group)

    def _compute(self, group: list[_Sequence]) -> None:
        """One step of the answers of `group`, as far as there is room in it."""
        entries: list[tuple[int, int, int, bool]] = []
        drawing: list[tuple[_Sequence, int]] = []
        for sequence in group:
            answer = sequence.answer
            assert answer is not None
            room = max(self._model.step, len(self._sequences)) - len(entries)
            for _ in range(min(room, len(answer.unread))):
                token = answer.unread.popleft()
                last = not answer.unread
                entries.append((token, len(sequence.held), sequence.number, last))
                sequence.held.append(token)
                if last:
                    drawing.append((sequence, len(entries) - 1))
        if entries:
            self._model.compute(entries)
        for sequence, index in drawing:
            self._draw(sequence, index)

    def _draw(self, sequence: _Sequence, index: int) -> None:
        """Draw the next token of an answer, give its text, and end the answer if it is the last."""
        answer = sequence.answer
        assert answer is not None
        assert answer.sampler is not None
        if not answer.began:
            answer.began = True
            answer.sink(Began(len(answer.prompt.ids), answer.prompt.text))
        if answer.budget == 0:
            self._finish(sequence, "length")
            return
        try:
            token = answer.sampler.draw(index)
        except QtuiError as error:
            self._leave(sequence)
            answer.sink(Failed(error))
            return
        answer.completion += 1
        ended = token in answer.ends
        text = "" if ended and answer.sampling.skip_special_tokens else answer.text.add(token)
        reason: Literal["stop", "length"] | None = None
        if ended or answer.text.stopped or answer.sampler.complete:
            reason = "stop"
        elif answer.completion >= answer.budget:
            reason = "length"
        if reason is not None and not answer.text.stopped:
            text += answer.text.end()
            reason = "stop" if answer.text.stopped else reason
        answer.sink(Piece(text))
        if reason is not None:
            self._finish(sequence, reason)
        else:
            answer.unread.append(token)

    def _leave(self, sequence: _Sequence) -> _Answer:
        answer = sequence.answer
        assert answer is not None
        assert answer.sampler is not None
        sequence.answer = None
        answer.sampler.close()
        return answer

    def _finish(self, sequence: _Sequence, reason: Literal["stop", "length", "cancelled"]) -> None:
        self._report_end(self._leave(sequence), reason)

    def _report_end(self, answer: _Answer, reason: Literal["stop", "length", "cancelled"]) -> None:
        answer.sink(Ended(reason, len(answer.prompt.ids), answer.completion))

    def _die(self, error: Exception) -> None:
        """Say to all who wait that nothing more comes."""
        message = (
            error.message if isinstance(error, QtuiError) else f"{type(error).__name__}: {error}"
        )
        with self._changed:
            self._trouble = f"llama.cpp has failed: {clean_line(message, 300)}"
            lost, self._waiting = list(self._waiting), deque()
        running = [one for one in self._sequences if one.answer is not None]
        lost.extend(self._leave(sequence) for sequence in running)
        for answer in lost:
            answer.sink(Failed(GoneError(self._trouble, remedy="start the server again")))


def _alone(sequence: _Sequence) -> bool:
    return sequence.answer is not None and sequence.answer.sampling.seed is not None


def _unread(sequence: _Sequence) -> int:
    return len(sequence.answer.unread) if sequence.answer is not None else 0


def _shared(held: list[int], tokens: list[int]) -> int:
    """How many tokens both begin with."""
    count = 0
    for one, other in zip(held, tokens, strict=False):
        if one != other:
            break
        count += 1
    return count

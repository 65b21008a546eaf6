"""What a training run tells the world: typed events, written as they happen.

Counts tokens and time between two lines of metrics, so that throughput is that of training
alone: evaluations, samples and checkpoints do not slow it down on paper.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import psutil
import torch

from qtui.runs.events import (
    AlertEvent,
    LogEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
    SampleEvent,
    Unit,
)
from qtui.runs.log import EventLog

_PROGRESS_SECONDS = 0.5


class Journal:
    """Writes the events of one training run."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.trained_tokens = 0
        self.num_tokens = 0
        self.peak_host_memory = 0
        self._begun: tuple[torch.Tensor, torch.Tensor] | None = None
        self._pending: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._phase: Phase | None = None
        self._window_tokens = 0
        self._window_started = time.perf_counter()
        self._paused = 0.0
        self._progress_at = 0.0

    def phase(self, phase: Phase, detail: str = "") -> None:
        """Enter `phase`; said once, however often it is asked for."""
        if phase is not self._phase:
            self._phase = phase
            self.log.write(PhaseEvent(phase=phase, detail=detail))

    def say(
        self, message: str, level: Literal["debug", "info", "warning", "error"] = "info"
    ) -> None:
        self.log.write(LogEvent(level=level, message=message))

    def alert(self, kind: str, message: str, step: int | None = None) -> None:
        self.log.write(AlertEvent(kind=kind, message=message, step=step))

    def sample(self, step: int, prompt: str, output: str, reference: str) -> None:
        self.log.write(SampleEvent(step=step, prompt=prompt, output=output, reference=reference))

    def progress(
        self,
        what: str,
        done: int,
        total: int,
        unit: Unit = "steps",
    ) -> None:
        """Say how far `what` is: at most twice a second, and always at its end."""
        now = time.perf_counter()
        if (done < total or not total) and now - self._progress_at < _PROGRESS_SECONDS:
            return
        self._progress_at = now
        self.log.write(ProgressEvent(what=what, done=done, total=total, unit=unit))

    def count(self, tokens: torch.Tensor, trained: torch.Tensor) -> None:
        """Note the tokens of the step that begins (0-d tensors, left on their device)."""
        self._begun = (tokens, trained)

    def step_done(self) -> None:
        """The step that was begun is finished: its tokens count."""
        if self._begun is not None:
            self._pending.append(self._begun)
            self._begun = None

    def step_undone(self) -> None:
        """The step that was begun will not be finished."""
        self._begun = None

    def settle(self) -> None:
        """Bring the counts up to date; waits for the device."""
        if not self._pending:
            return
        tokens, trained = zip(*self._pending, strict=True)
        self._pending.clear()
        step_tokens = int(torch.stack([value.reshape(()) for value in tokens]).sum())
        self.num_tokens += step_tokens
        self._window_tokens += step_tokens
        self.trained_tokens += int(torch.stack([value.reshape(()) for value in trained]).sum())

    def metrics(self, step: int, epoch: float | None, values: Mapping[str, float]) -> None:
        """Write what was measured after `step`; training lines get throughput and memory."""
        line: dict[str, float | None] = {
            name: value if math.isfinite(value) else None for name, value in values.items()
        }
        if "loss" in values:
            self.settle()
            seconds = time.perf_counter() - self._window_started - self._paused
            line["tokens_per_second"] = self._window_tokens / seconds if seconds > 0 else None
            line["num_tokens"] = self.num_tokens
            line["trained_tokens"] = self.trained_tokens
            line |= self.memory()
            self.start_window()
        self.log.write(MetricsEvent(step=step, epoch=epoch, values=line))

    def memory(self) -> dict[str, float | None]:
        """Bytes held now and at most, on the GPU (by torch's allocator) and on the host."""
        host = psutil.Process().memory_info().rss
        self.peak_host_memory = max(self.peak_host_memory, host)
        line: dict[str, float | None] = {
            "memory_host": host,
            "memory_host_peak": self.peak_host_memory,
        }
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            line["memory_allocated"] = torch.cuda.memory_allocated()
            line["memory_reserved"] = torch.cuda.memory_reserved()
            line["memory_peak"] = torch.cuda.max_memory_allocated()
        return line

    def start_window(self) -> None:
        """Begin to measure throughput anew."""
        self._window_tokens = 0
        self._window_started = time.perf_counter()
        self._paused = 0.0

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Time spent inside does not count as training."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._paused += time.perf_counter() - began

"""Counts, latency and tokens: for Prometheus under `/metrics`, for the run's log, for its summary.

All of it comes from the traces of requests that are over. Times are in seconds. Labels are route
templates and ids of models that are served, so that no client can make up new ones.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from qtui.runs.events import Scalar
from qtui.stages.inference.server.answers import Answers
from qtui.stages.inference.server.trace import Trace

_FIRST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOTAL = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_SPEED = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_WINDOW = 512
"""Requests over which the percentiles of one period are taken, at most."""


class Measures:
    """What was measured since the server began."""

    def __init__(self, answers: Answers) -> None:
        self.registry = CollectorRegistry()
        self._answers = answers
        self._mutex = threading.Lock()
        self.requests = 0
        """Requests that the engine was asked to answer and that are over."""
        self._failed = self._cancelled = self._prompt_tokens = self._completion_tokens = 0
        self._firsts: deque[float] = deque(maxlen=_WINDOW)
        self._period = (time.monotonic(), 0, 0)  # its begin; tokens, requests before
        registry = self.registry
        self._by_status = Counter(
            "qtui_requests", "Requests", ["route", "model", "status"], registry=registry
        )
        self._prompts = Counter(
            "qtui_prompt_tokens", "Tokens of prompts", ["model"], registry=registry
        )
        self._completions = Counter(
            "qtui_completion_tokens", "Tokens of answers", ["model"], registry=registry
        )
        self._queue_time = Histogram(
            "qtui_queue_seconds", "Until a request has a place", buckets=_FIRST, registry=registry
        )
        self._first_time = Histogram(
            "qtui_first_token_seconds", "Until the first token", buckets=_FIRST, registry=registry
        )
        self._total_time = Histogram(
            "qtui_request_seconds", "Until the end", ["route"], buckets=_TOTAL, registry=registry
        )
        self._speed = Histogram(
            "qtui_tokens_per_second",
            "Of one answer, after its first token",
            buckets=_SPEED,
            registry=registry,
        )
        running = Gauge("qtui_running", "Requests that are being answered", registry=registry)
        running.set_function(lambda: answers.running)
        waiting = Gauge("qtui_waiting", "Requests that wait for a place", registry=registry)
        waiting.set_function(lambda: answers.waiting)
        for name, about in (("memory_host", "Of the process"), ("memory_peak", "Most on the GPU")):
            gauge = Gauge(f"qtui_{name}_bytes", about, registry=registry)
            gauge.set_function(partial(_memory, name))

    def note(self, trace: Trace, served: frozenset[str]) -> None:
        """Count a request that is over."""
        model = trace.model if trace.model in served else ""
        self._by_status.labels(trace.route, model, str(trace.status or 499)).inc()
        answer = trace.answer
        if answer is None:
            return
        seconds, tokens = trace.seconds(), trace.completion_tokens or answer.tokens
        self._total_time.labels(trace.route).observe(seconds)
        self._prompts.labels(model).inc(trace.prompt_tokens)
        self._completions.labels(model).inc(tokens)
        if answer.began is not None:
            self._queue_time.observe(answer.began - trace.began)
        if answer.first is not None:
            self._first_time.observe(answer.first - trace.began)
            after = trace.began + seconds - answer.first
            if tokens > 1 and after > 0:
                self._speed.observe((tokens - 1) / after)
        with self._mutex:
            self.requests += 1
            self._cancelled += trace.gone
            self._failed += bool(trace.error) or trace.status >= 400
            self._prompt_tokens += trace.prompt_tokens
            self._completion_tokens += tokens
            if answer.first is not None:
                self._firsts.append(answer.first - trace.began)

    def period(self) -> dict[str, float | None] | None:
        """The values of a metrics event: of the time since the last call; none, when no request
        ended in it."""
        with self._mutex:
            now = time.monotonic()
            since, before, reported = self._period
            if self.requests == reported:
                return None
            tokens = self._completion_tokens
            self._period = (now, tokens, self.requests)
            firsts = sorted(self._firsts)
            self._firsts.clear()
            requests, failed = self.requests, self._failed
        values: dict[str, float | None] = {
            "requests": requests,
            "failed_requests": failed,
            "tokens_per_second": (tokens - before) / max(now - since, 1e-6),
            "completion_tokens": tokens,
            "running": self._answers.running,
            "waiting": self._answers.waiting,
        }
        if firsts:
            values["first_token_p50"] = _percentile(firsts, 0.5)
            values["first_token_p95"] = _percentile(firsts, 0.95)
        return values | memory()

    def summary(self) -> dict[str, Scalar]:
        """The whole in numbers, for the run's end."""
        with self._mutex:
            return {
                "requests": self.requests,
                "failed_requests": self._failed,
                "cancelled_requests": self._cancelled,
                "prompt_tokens": self._prompt_tokens,
                "completion_tokens": self._completion_tokens,
            }

    def text(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self.registry)


def memory() -> dict[str, float]:
    """Memory of this process in bytes: `memory_host`, and `memory_peak` of the GPU it uses."""
    import sys

    import psutil

    values = {"memory_host": float(psutil.Process().memory_info().rss)}
    torch = sys.modules.get("torch")  # an engine without it has no need of it here
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        values["memory_peak"] = float(torch.cuda.max_memory_allocated())
    return values


def _memory(name: str) -> float:
    return memory().get(name, 0.0)


def _percentile(ascending: list[float], part: float) -> float:
    return ascending[min(int(part * len(ascending)), len(ascending) - 1)]

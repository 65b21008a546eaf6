"""Engines on models small enough for a test, and what comes of their jobs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from qtui.config.serve import ServeConfig
from qtui.stages.inference.engine import Began, Ended, Failed, Job, Piece, Report, Sampling


def config(name: Path | str, /, **settings: Any) -> ServeConfig:
    """A server's config for the model `name` in float32, not quantised, on the CPU."""
    section = {"model_name": str(name), "quantization": "none", "dtype": "float32"}
    section |= settings.pop("model", {})
    return ServeConfig.model_validate({"model": section, "device": "cpu"} | settings)


class Heard:
    """A sink that keeps what it gets; `wait` is over with the last report."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self._changed = threading.Condition()

    def __call__(self, report: Report) -> None:
        with self._changed:
            self.reports.append(report)
            self._changed.notify_all()

    def wait(self, seconds: float = 60) -> Heard:
        """Until it has ended or failed."""
        self.wait_for(lambda: bool(self.reports) and isinstance(self.reports[-1], Ended | Failed))
        return self

    def wait_for(self, reached: Any, seconds: float = 60) -> None:
        with self._changed:
            assert self._changed.wait_for(reached, seconds), self.reports[-3:]

    @property
    def text(self) -> str:
        return "".join(report.text for report in self.reports if isinstance(report, Piece))

    @property
    def began(self) -> Began:
        (began,) = (report for report in self.reports if isinstance(report, Began))
        return began

    @property
    def tokens(self) -> int:
        return sum(report.tokens for report in self.reports if isinstance(report, Piece))

    @property
    def ended(self) -> Ended:
        last = self.reports[-1]
        assert isinstance(last, Ended), last
        return last

    @property
    def failed(self) -> Failed:
        last = self.reports[-1]
        assert isinstance(last, Failed), last
        return last


def ask(engine: Any, prompt: Any, *, model: str | None = None, **sampling: Any) -> Heard:
    """Submit a job; greedy unless `sampling` says otherwise."""
    heard = Heard()
    job = Job(model or engine.models()[0].id, prompt, Sampling(**{"temperature": 0.0} | sampling))
    engine.submit(job, heard)
    return heard

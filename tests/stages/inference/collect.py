"""Asks an engine and waits for the whole answer."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qtui.stages.inference.engine import (
    Began,
    Ended,
    Engine,
    Failed,
    Job,
    Piece,
    Report,
    Sampling,
    Ticket,
)

Prompt = str | Sequence[Mapping[str, Any]]


@dataclass
class Asked:
    """A job that was submitted, and what has been reported of it."""

    ticket: Ticket
    reports: queue.Queue[Report]
    seen: list[Report] = field(default_factory=list)

    def next(self, kind: type[Report] | None = None, seconds: float = 60) -> Report:
        """The next report, or the next of `kind`."""
        while True:
            report = self.reports.get(timeout=seconds)
            self.seen.append(report)
            if kind is None or isinstance(report, kind):
                return report

    def wait(self, seconds: float = 60) -> Asked:
        """Until the last report; an order that `Engine` does not promise is an error."""
        while not self.seen or not isinstance(self.seen[-1], Ended | Failed):
            self.next(seconds=seconds)
        assert sum(isinstance(report, Ended | Failed) for report in self.seen) == 1
        kinds = [type(report) for report in self.seen]
        assert Began not in kinds[1:], kinds
        return self

    @property
    def text(self) -> str:
        return "".join(report.text for report in self.seen if isinstance(report, Piece))

    @property
    def began(self) -> Began:
        first = self.seen[0]
        assert isinstance(first, Began), first
        return first

    @property
    def ended(self) -> Ended:
        last = self.seen[-1]
        assert isinstance(last, Ended), last
        return last

    @property
    def failed(self) -> Failed:
        last = self.seen[-1]
        assert isinstance(last, Failed), last
        return last


def ask(
    engine: Engine, prompt: Prompt, *, model: str | None = None, job: Any = None, **sampling: Any
) -> Asked:
    """Submit a prompt (a text alone is said by the user in a conversation of one message)."""
    reports: queue.Queue[Report] = queue.Queue()
    chosen = model or engine.models()[0].id
    made = Job(chosen, prompt, Sampling(**sampling), **(job or {}))
    return Asked(engine.submit(made, reports.put), reports)


def said(text: str) -> list[dict[str, str]]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]

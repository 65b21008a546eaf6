"""A run as its log tells it: curves, samples, checkpoints, how it stands. Pure, without a screen.

Every step is shown once: what a resumed run trains again supersedes what was written before.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from qtui.runs.events import (
    AlertEvent,
    AnyEvent,
    ArtifactEvent,
    CheckpointEvent,
    FailedEvent,
    FinishedEvent,
    LogEvent,
    MetricsEvent,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
    SampleEvent,
    SettingValue,
)
from qtui.runs.progress import Pace

if TYPE_CHECKING:
    from qtui.runs.folder import Run

Series = tuple[list[int], list[float | None]]


class Override(msgspec.Struct, frozen=True):
    """A setting that is not as in the frozen config, and the step from which on."""

    value: SettingValue
    since: int


class History:
    """Everything a log has said so far; `feed` it what a reader polls.

    Attributes (all plain and read-only to others): `phase` and `phases` (every `PhaseEvent`),
    `progress` (what -> latest `ProgressEvent`), `samples`, `checkpoints`, `artifacts`, `alerts`,
    `logs`, `resumes`, `overrides` (key -> `Override` in force), `end` (`finished` or `failed`, none
    while the run goes on), `step`, `epoch`, `epochs` (steps and epochs), `started` and `updated`
    (Unix seconds of the first and last event), `events` (count), `revision` (changes
    whenever a series did anything but grow at its end), `pace` (speed and time left),
    `told` (all that happened, for a log to show: every event but progress and the metrics of
    training; what a resume takes back stays in it, because it did happen).
    """

    def __init__(self) -> None:
        self.phase: PhaseEvent | None = None
        self.phases: list[PhaseEvent] = []
        self.progress: dict[str, ProgressEvent] = {}
        self.samples: list[SampleEvent] = []
        self.checkpoints: list[CheckpointEvent] = []
        self.artifacts: list[ArtifactEvent] = []
        self.alerts: list[AlertEvent] = []
        self.logs: list[LogEvent] = []
        self.resumes: list[ResumedEvent] = []
        self.overrides: dict[str, Override] = {}
        self.end: FinishedEvent | FailedEvent | None = None
        self.step = 0
        self.epochs: Series = ([], [])
        self.epoch: float | None = None
        self.started: float | None = None
        self.updated: float | None = None
        self.events = 0
        self.revision = 0
        self.pace = Pace()
        self.told: list[AnyEvent] = []
        self._series: dict[str, Series] = {}

    def names(self) -> list[str]:
        """The metrics seen, in the order of their first appearance."""
        return list(self._series)

    def metric(self, name: str) -> Series:
        """Steps (strictly ascending) and values of a metric; two empty lists if there is none.

        The lists are the history's own, not copies: they grow with `feed` and are for reading.
        A value of `None` was measured and is not finite.
        """
        return self._series.get(name, ([], []))

    def feed(self, events: Iterable[AnyEvent]) -> None:
        """Take in events in the order of the log."""
        measured: list[MetricsEvent] = []
        event: AnyEvent | None = None
        for event in events:
            self.events += 1
            if type(event) is MetricsEvent:
                measured.append(event)
                if "eval_loss" in event.values:
                    self.told.append(event)
            else:
                if type(event) is ResumedEvent:
                    self._measure(measured)
                    measured = []
                self._take(event)
            if self.started is None:
                self.started = event.time
        self._measure(measured)
        if event is not None:
            self.updated = event.time

    def _measure(self, events: Sequence[MetricsEvent]) -> None:
        """Add the values of `events`.

        Events in a row that have the same names go in as columns, a million values in a fraction
        of the time that one after the other takes.
        """
        start = 0
        while start < len(events):
            names = list(events[start].values)
            steps = [events[start].step]
            end = start + 1
            while end < len(events):
                event = events[end]
                if event.step <= steps[-1] or list(event.values) != names:
                    break
                steps.append(event.step)
                end += 1
            group = events[start:end]
            columns = zip(*[event.values.values() for event in group], strict=True)
            for name, values in zip(names, columns, strict=True):
                self._add(self._series.setdefault(name, ([], [])), steps, values)
            for event in group:
                if event.epoch is not None:
                    self.epoch = event.epoch
                    _put(self.epochs, event.step, event.epoch)
            self.step = steps[-1]
            start = end

    def _add(self, series: Series, steps: list[int], values: Iterable[float | None]) -> None:
        """Add values at ascending steps, at the end if they are new."""
        if not series[0] or steps[0] > series[0][-1]:
            series[0].extend(steps)
            series[1].extend(values)
            return
        self.revision += 1
        for step, value in zip(steps, values, strict=True):
            _put(series, step, value)

    def _take(self, event: AnyEvent) -> None:
        self.pace.take(event)
        if type(event) is ProgressEvent:
            self.progress[event.what] = event
            return
        self.told.append(event)
        match event:
            case PhaseEvent():
                self.phase = event
                self.phases.append(event)
                self.end = None
            case SampleEvent():
                self.samples.append(event)
            case CheckpointEvent():
                self.checkpoints.append(event)
            case ArtifactEvent():
                self.artifacts.append(event)
            case AlertEvent():
                self.alerts.append(event)
            case LogEvent():
                self.logs.append(event)
            case ResumedEvent():
                self.resumes.append(event)
                self.end = None
                self._go_back(event.step)
                self._override(event)
            case FinishedEvent() | FailedEvent():
                self.end = event

    def _go_back(self, step: int) -> None:
        """Forget what was measured after `step`: it is trained again.

        From 0 on all is done again, also what comes before the first step.
        """
        last = step if step > 0 else -1
        self.revision += 1
        for steps, values in (*self._series.values(), self.epochs):
            keep = bisect_right(steps, last)
            del steps[keep:], values[keep:]
        for name in [name for name, (steps, _) in self._series.items() if not steps]:
            del self._series[name]
        self.samples = [sample for sample in self.samples if sample.step <= last]
        self.checkpoints = [c for c in self.checkpoints if c.step <= last]
        self.step = min(self.step, step)

    def _override(self, event: ResumedEvent) -> None:
        known = {
            key: Override(old.value, min(old.since, event.step))
            for key, old in self.overrides.items()
        }
        for key, value in event.overrides.items():
            if key not in known or known[key].value != value:
                known[key] = Override(value, event.step)
        self.overrides = known


def _put(series: Series, step: int, value: float | None) -> None:
    """Add a value at its step, in place of the one that is there."""
    steps, values = series
    if not steps or step > steps[-1]:
        steps.append(step)
        values.append(value)
        return
    at = bisect_left(steps, step)
    if steps[at] == step:
        values[at] = value
    else:
        steps.insert(at, step)
        values.insert(at, value)


def load(run: Run) -> History:
    """The history of all that `run` has logged until now."""
    from qtui.runs.log import EventReader

    history = History()
    for events in EventReader(run.events).blocks():
        history.feed(events)
    return history

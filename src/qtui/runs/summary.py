"""A run in one line of a list, from the tail of its log alone: a thousand runs in half a second.

Nothing here raises for a damaged run: a list that one bad folder can empty is of no use.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from qtui.errors import QtuiError
from qtui.runs import lock, state, tail, trend
from qtui.runs.events import (
    AlertEvent,
    AnyEvent,
    CheckpointEvent,
    FailedEvent,
    FinishedEvent,
    MetricsEvent,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
)
from qtui.runs.folder import Run, RunSpec
from qtui.runs.state import Status

_DENSE = 100  # lines that are all read; further back only what is rare
_EVALUATION = 256 * 1024  # bytes from the end in which the last evaluation is looked for
_WANTED = {"loss", "tokens_per_second", "total_steps"}
_CHECKPOINT = re.compile(r"step-(\d+)")


class Summary(msgspec.Struct, kw_only=True):
    """What a list shows of a run. What is not known is `None`, an empty text or list."""

    id: str
    name: str
    kind: str = ""
    status: Status = Status.QUEUED
    model: str = ""
    method: str = ""
    created: float = 0.0
    """Unix time in seconds, as `updated`: the time of the last event."""
    updated: float = 0.0
    step: int = 0
    total_steps: int = 0
    """0: not known yet."""
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None
    tokens_per_second: float | None = None
    trend: list[float] = []
    """The loss over the whole run, oldest first, in at most `trend.POINTS` means."""
    seconds_per_step: float | None = None
    """With evaluations, over the whole run."""
    detail: str = ""
    """What the phase waits for, in words."""
    since: float | None = None
    """Unix time at which the phase began, if that was not long ago."""
    counted: ProgressEvent | None = None
    """The last count of something other than steps in this phase: bytes, rows."""
    checkpoints: list[int] = []
    """Steps of the complete checkpoints on disk, ascending."""
    message: str = ""
    remedy: str = ""


def summarize(run: Run, course: trend.Trend | None = None) -> Summary:
    """What is known of `run` now; with `course` given, the trend is not read anew."""
    summary = Summary(id=run.id, name=run.name)
    try:
        _take_spec(summary, run.spec)
    except QtuiError as error:
        summary.message, summary.remedy = error.message, error.remedy
    log = run.events
    try:
        back, held = _look_back(run, log)
        course = course or trend.trend(log)
    except (QtuiError, OSError) as error:
        summary.message = summary.message or str(error)
        return summary
    for field, value in back.found.items():
        setattr(summary, field, value)
    summary.trend, summary.seconds_per_step = course.losses, course.seconds_per_step
    summary.status = state.derive(back.words.phase, back.words.end, held)
    summary.checkpoints = _checkpoints(run)
    if isinstance(back.words.end, FailedEvent):
        summary.message, summary.remedy = back.words.end.message, back.words.end.remedy
    elif summary.status is Status.INTERRUPTED:
        summary.message = "the worker is gone without a word"
        summary.remedy = f"qtui runs resume {run.id}"
    else:
        said = back.words.end.message if back.words.end else back.alert
        summary.message = summary.message or said
    return summary


def _look_back(run: Run, log: Path) -> tuple[_LookBack, bool]:
    """What the log says, and whether the lock is held; not asked where the log has an end."""
    back = _LookBack()
    back.through(log)
    if back.words.end is not None:
        return back, False
    if lock.is_held(run.lock):
        return back, True
    back = _LookBack()  # the worker may have ended between the two looks
    back.through(log)
    return back, False


def _take_spec(summary: Summary, spec: RunSpec) -> None:
    summary.kind = spec.kind
    summary.created = summary.updated = spec.created
    model = spec.config.get("model")
    if isinstance(model, dict):
        summary.model = str(model.get("model_name", ""))
        summary.method = _method(model)


def _method(model: dict[str, Any]) -> str:
    """How a run trains, or how a server holds its base."""
    if "quantization" in model:
        gguf = str(model.get("model_name", "")).lower().endswith(".gguf")
        return "gguf" if gguf else str(model["quantization"])
    if model.get("full_finetuning"):
        return "full"
    return "qlora" if model.get("use_qlora", True) else "lora"


class _LookBack:
    """Takes a log's events from the last one backwards: the first to say a thing is right."""

    def __init__(self) -> None:
        self.words = tail.LastWords()
        self.found: dict[str, Any] = {}
        self.alert = ""
        self.last_step: int | None = None  # where the run went back to; later steps are void

    def through(self, log: Path) -> None:
        words = self.words
        for count, line in enumerate(tail.lines(log)):
            dense = count < _DENSE and not self._complete
            if (dense or not line.startswith(tail.COMMON)) and (event := tail.read(line)):
                self.found.setdefault("updated", event.time)
                words.take(event)
                self._take(event)
            if count >= tail.FAR:
                words.far_back()
            if words.complete and not dense:
                break
        if words.trained and "eval_loss" not in self.found:
            evaluated = tail.last_line_with(log, b'"eval_loss":', limit=_EVALUATION)
            if evaluated and (event := tail.read(evaluated)):
                self._take(event)

    @property
    def _complete(self) -> bool:
        return self.found.keys() >= _WANTED

    def _take(self, event: AnyEvent) -> None:
        if isinstance(event, MetricsEvent):
            if self.last_step is not None and event.step > self.last_step:
                return
            self._reached(event.step)
            if event.epoch is not None:
                self.found.setdefault("epoch", event.epoch)
            for name in ("loss", "eval_loss", "tokens_per_second"):
                if name in event.values:
                    self.found.setdefault(name, event.values[name])
        elif isinstance(event, ProgressEvent):
            if event.unit == "steps" and event.total:
                self.found.setdefault("total_steps", event.total)
            elif event.unit != "steps" and self.words.phase is None:
                self.found.setdefault("counted", event)
        elif isinstance(event, CheckpointEvent):
            # It repeats what was evaluated before it, and stands nearer to the end of the log.
            evaluated = event.metrics.get("eval_loss")
            if evaluated is not None and (self.last_step is None or event.step <= self.last_step):
                self.found.setdefault("eval_loss", evaluated)
        elif isinstance(event, PhaseEvent):
            self.found.setdefault("since", event.time)
            self.found.setdefault("detail", event.detail)
        elif isinstance(event, ResumedEvent):
            if self.last_step is None:
                self._reached(event.step)
            self.last_step = min(
                event.step, event.step if self.last_step is None else self.last_step
            )
        elif isinstance(event, FinishedEvent | FailedEvent):
            if self.last_step is None:
                self._reached(event.step)
        elif isinstance(event, AlertEvent) and self.words.phase is None:
            # One of before the last phase has been dealt with, or has ended the run.
            self.alert = self.alert or event.message

    def _reached(self, step: int) -> None:
        self.found["step"] = max(self.found.get("step", 0), step)


def _checkpoints(run: Run) -> list[int]:
    try:
        entries = list(os.scandir(run.checkpoints))
    except OSError:
        return []
    return sorted(
        int(match[1])
        for entry in entries
        if (match := _CHECKPOINT.fullmatch(entry.name))
        and (run.checkpoints / entry.name / "manifest.json").is_file()
    )

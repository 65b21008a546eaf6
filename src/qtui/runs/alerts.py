"""What a person should look at now in one run: judged from its events and from the silence after.

Pure: events and times come in, alerts come out. Each alert is raised once, and again only after
it has cleared. What the machine says (GPUs, disk) is judged in `machine_alerts`; whoever reads the
files and the clock is in `alert_feed`.

- `non_finite`: a logged loss, evaluation loss or gradient norm is not a finite number.
- `divergence`: the loss runs away from the best it had reached (`divergence` has the rule).
- `stall`: a worker that lives says nothing for longer than max(60 s, 10 usual steps, 3 times what
  its slowest checkpoint took) while it trains, or than max(300 s, 10 times the longest evaluation)
  while it evaluates. Loading, saving the result and stopping may take what they take.
- `failed`, `interrupted`, `finished`: how a run ended; and whatever kind the worker itself alerts.

`JUDGED` are the kinds that stand in no log: they come from looking at it.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Literal

import msgspec

from qtui.runs.divergence import Divergence
from qtui.runs.events import (
    OUT_OF_MEMORY,
    AlertEvent,
    AnyEvent,
    CheckpointEvent,
    FailedEvent,
    FinishedEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
)
from qtui.runs.state import RESTART_SECONDS
from qtui.terminal import clean_line

AlertLevel = Literal["note", "warning", "error"]

JUDGED = frozenset({"non_finite", "divergence", "stall"})

STALL_SECONDS = 60.0
"""The shortest silence that is a stall."""

_STALL_STEPS = 10
_STALL_SAVES = 3
_EVALUATION_SECONDS = 300.0
_STEPS_KEPT = 50
_WATCHED = ("loss", "eval_loss", "grad_norm")


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something to look at. `kind` is stable; `message` says what is and what to try next.

    `run` is the run's id, empty for what concerns the machine; `time` is Unix time in seconds.
    """

    run: str
    kind: str
    message: str
    time: float
    level: AlertLevel = "warning"


class Alarm:
    """Rings once when it has been bad for `hold` seconds, and again only after it was good.

    What is neither bad nor good leaves it as it is: this is the hysteresis.
    """

    def __init__(self, hold: float = 0.0) -> None:
        self.hold = hold
        self.on = False
        self._since: float | None = None

    def look(self, now: float, *, bad: bool, good: bool) -> bool:
        """Whether it rings at this moment."""
        if good:
            self.on = False
        if not bad:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        if self.on or now - self._since < self.hold:
            return False
        self.on = True
        return True

    def pause(self) -> None:
        """Begin to count anew; one that has rung stays on."""
        self._since = None


class RunAlerts:
    """Watches the run `run_id`. Times are Unix seconds; those given must not go back.

    Attributes for whoever judges the machine: `phase`, `training` (whether optimiser steps are
    being made), `uses_gpu` (its metrics have GPU memory), `reserve` (bytes that torch keeps of the
    GPU beyond the most it ever needed), `checkpoint` (bytes of the newest checkpoint), `end`.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.phase: Phase | None = None
        self.end: FinishedEvent | FailedEvent | None = None
        self.uses_gpu = False
        self.reserve = 0
        self.checkpoint = 0
        self.active: dict[str, Alert] = {}
        """Alerts that were raised and have not cleared, by kind."""
        self._divergence = Divergence()
        self._heard: float | None = None
        self._step_at: tuple[float, int] | None = None
        self._step_seconds: deque[float] = deque(maxlen=_STEPS_KEPT)
        self._longest_save = 0.0
        self._longest_evaluation = 0.0
        self._entered = 0.0
        self._restarting = False
        self._free_since: float | None = None

    @property
    def training(self) -> bool:
        """Whether the run is making optimiser steps."""
        return self.end is None and self.phase is Phase.TRAINING

    @property
    def patience(self) -> float | None:
        """Seconds of silence that are still usual now; None where any length is."""
        if self.end is not None:
            return None
        if self.phase is Phase.TRAINING and self._step_seconds:
            usual = _STALL_STEPS * median(self._step_seconds)
            return max(STALL_SECONDS, usual, _STALL_SAVES * self._longest_save)
        if self.phase is Phase.EVALUATING and self._longest_evaluation:
            return max(_EVALUATION_SECONDS, _STALL_STEPS * self._longest_evaluation)
        return None

    def listen(self, now: float) -> None:
        """Count silence from `now` on: the clock in the events may be another machine's."""
        self._heard = now

    def take(self, event: AnyEvent, now: float) -> list[Alert]:
        """What `event`, seen at `now`, gives rise to."""
        self._hear(event, now)
        match event:
            case PhaseEvent():
                self._enter(event)
            case ProgressEvent() if event.unit == "steps":
                self._pace(event.time, event.done)
            case MetricsEvent():
                return self._metrics(event)
            case CheckpointEvent():
                self.checkpoint = event.size
            case ResumedEvent():
                self._again(event)
            case AlertEvent():
                # A moment, which nothing clears: it is told and does not stay `active`.
                message = clean_line(event.message)
                return [Alert(run=self.run_id, kind=event.kind, message=message, time=event.time)]
            case FinishedEvent() | FailedEvent():
                return self._ended(event)
        return []

    def tick(self, now: float, *, alive: bool) -> list[Alert]:
        """What the time that has passed gives rise to; `alive`: a worker holds the run's lock."""
        if alive:
            self._free_since = None
            return self._silence(now)
        if self.phase is None or self.end is not None or "interrupted" in self.active:
            return []
        if self._free_since is None:
            self._free_since = now
        wait = RESTART_SECONDS if self._restarting else 0.0
        if now - self._free_since < wait:
            return []
        self.active.pop("stall", None)
        return [
            self._raise(
                "interrupted",
                "the worker is gone without a word. Go on from the last checkpoint with "
                f"`qtui runs resume {self.run_id}`",
                now,
                "error",
            )
        ]

    def _raise(self, kind: str, message: str, now: float, level: AlertLevel = "warning") -> Alert:
        alert = Alert(run=self.run_id, kind=kind, message=message, time=now, level=level)
        self.active[kind] = alert
        return alert

    def _hear(self, event: AnyEvent, now: float) -> None:
        if self._heard is not None and isinstance(event, CheckpointEvent):
            self._longest_save = max(self._longest_save, now - self._heard)
        self._heard = now
        self._free_since = None
        self.active.pop("stall", None)
        self.active.pop("interrupted", None)

    def _enter(self, event: PhaseEvent) -> None:
        if self.phase is Phase.EVALUATING and event.phase is not Phase.EVALUATING:
            self._longest_evaluation = max(self._longest_evaluation, event.time - self._entered)
        self._entered = event.time
        self.phase, self.end, self._restarting = event.phase, None, False
        self._step_at = None  # the time between two steps must not hold an evaluation

    def _pace(self, at: float, step: int) -> None:
        if self._step_at is not None:
            before, last = self._step_at
            if step > last and at >= before:
                self._step_seconds.append((at - before) / (step - last))
        self._step_at = (at, step)

    def _metrics(self, event: MetricsEvent) -> list[Alert]:
        values = event.values
        allocated, reserved = values.get("memory_peak"), values.get("memory_reserved")
        if allocated is not None and reserved is not None:
            self.uses_gpu = True
            self.reserve = max(int(reserved - allocated), 0)
        found = self._non_finite(event)
        if "loss" in values and self.phase is None:  # what was read does not reach back to it
            self.phase = Phase.TRAINING
        loss = values.get("loss")
        if loss is None:
            return found
        was = self._divergence.diverging
        self._divergence.take(event.step, loss)
        if not self._divergence.diverging:
            self.active.pop("divergence", None)
        elif not was:
            found.append(
                self._raise(
                    "divergence",
                    f"the loss has risen to {self._divergence.level:.3g} by step {event.step}; its "
                    f"best was {self._divergence.lowest:.3g}. Stop it and resume from the best "
                    "checkpoint with a third of training.learning_rate, or look at the rows",
                    event.time,
                    "error",
                )
            )
        return found

    def _non_finite(self, event: MetricsEvent) -> list[Alert]:
        measured = [name for name in _WATCHED if name in event.values]
        broken = [name for name in measured if event.values[name] is None]
        if not broken:
            if measured:
                self.active.pop("non_finite", None)
            return []
        if "non_finite" in self.active:
            return []
        return [
            self._raise(
                "non_finite",
                f"{' and '.join(broken)} of step {event.step} is not a finite number. Resume from "
                "the last checkpoint with a lower training.learning_rate, and look at that step's "
                "rows",
                event.time,
                "error",
            )
        ]

    def _again(self, event: ResumedEvent) -> None:
        self.end, self._restarting = None, event.reason == OUT_OF_MEMORY
        self._divergence.back_to(event.step)
        self._step_at = None
        self._step_seconds.clear()
        self.active.clear()

    def _ended(self, event: FinishedEvent | FailedEvent) -> list[Alert]:
        self.end = event
        self.active.clear()
        if isinstance(event, FinishedEvent):
            message = f"{event.status} at step {event.step}" if event.step else event.status
            if event.message:
                message += f": {clean_line(event.message)}"
            return [self._raise("finished", message, event.time, "note")]
        message = clean_line(event.message)
        if event.remedy:
            message = f"{message.rstrip('.')}. {clean_line(event.remedy)}"
        return [self._raise("failed", message, event.time, "error")]

    def _silence(self, now: float) -> list[Alert]:
        patience = self.patience
        if patience is None or self._heard is None or "stall" in self.active:
            return []
        silent = now - self._heard
        if silent <= patience:
            return []
        usual = f"; a step takes {median(self._step_seconds):.2g} s" if self._step_seconds else ""
        return [
            self._raise(
                "stall",
                f"no sign of life for {silent:.0f} s{usual}. Look at `qtui runs logs "
                f"{self.run_id}` and at the GPU; stop and resume it if it hangs",
                now,
            )
        ]

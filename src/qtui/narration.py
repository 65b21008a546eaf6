"""What happened in a run, in sentences: the same ones for `runs attach` and for the dashboard.

The sentences hold foreign text as it came. Whoever shows them makes it safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qtui import wording
from qtui.runs import events as ev

Tone = Literal["plain", "good", "warning", "error", "alert"]
"""How a sentence is meant; `good` is an end as wanted."""


@dataclass(frozen=True)
class Sentence:
    """One sentence about one event. `prefix` names its tone in words where the text does not."""

    time: float
    """Unix seconds."""
    tone: Tone
    prefix: str
    text: str


class Narrator:
    """Tells events in the order of a log; it remembers what later ones are held against."""

    def __init__(self) -> None:
        self.best: float | None = None
        """The least evaluation loss told so far."""
        self._phase: ev.Phase | None = None

    def tell(self, event: ev.AnyEvent) -> Sentence | None:
        """The sentence for `event`; none for what is shown as a count, a curve or a sample."""
        tone: Tone = "plain"
        prefix = text = ""
        match event:
            case ev.PhaseEvent():
                text = self._enter(event)
            case ev.LogEvent(level=level) if level != "debug":
                if level in ("warning", "error"):
                    tone = "warning" if level == "warning" else "error"
                    prefix = f"{level}: "
                text = event.message
            case ev.AlertEvent():
                tone, prefix, text = "alert", "! ", event.message
            case ev.CheckpointEvent():
                name = event.path.rpartition("/")[2]
                text = f"checkpoint {name} complete ({wording.size(event.size)})"
            case ev.ArtifactEvent(kind="server"):
                text = f"listens at {event.detail.get('socket') or event.detail.get('url')}"
            case ev.ArtifactEvent():
                of = f" ({wording.size(event.size)})" if event.size else ""
                text = f"{event.kind} written: {event.path}{of}"
            case ev.ResumedEvent():
                text = _resumed(event)
            case ev.FinishedEvent():
                tone = "good" if event.status == "completed" else "plain"
                text = f"{event.status} at step {event.step}" if event.step else event.status
                text += f": {event.message}" if event.message else ""
            case ev.FailedEvent():
                tone, prefix, text = "error", "failed: ", event.message
            case ev.MetricsEvent():
                text = self._evaluated(event)
        return Sentence(event.time, tone, prefix, text) if text or prefix else None

    def _enter(self, event: ev.PhaseEvent) -> str:
        before, self._phase = self._phase, event.phase
        back = event.phase is ev.Phase.TRAINING and before is ev.Phase.EVALUATING
        if (back or event.phase is before) and not event.detail:
            return ""
        return event.phase.replace("_", " ") + (f": {event.detail}" if event.detail else "")

    def _evaluated(self, event: ev.MetricsEvent) -> str:
        if "eval_loss" not in event.values:
            return ""
        loss = event.values["eval_loss"]
        if loss is None:
            return f"step {event.step}  eval loss is not a number"
        better = self.best is None or loss < self.best
        best = "" if self.best is None or better else f" (best {wording.number(self.best)})"
        self.best = loss if better else self.best
        return f"step {event.step}  eval loss {wording.number(loss)}{best}"


def _resumed(event: ev.ResumedEvent) -> str:
    changed = ", ".join(f"{key} = {wording.setting(v)}" for key, v in event.overrides.items())
    text = f"resumed from step {event.step}"
    text += f": {event.reason}" if event.reason else ""
    return text + (f" ({changed})" if changed else "")

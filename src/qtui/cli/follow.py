"""Follows a run through its event log: a line for what happened, a live line for what happens.

On a terminal one status line (bar, loss, speed, time left) is redrawn in place; elsewhere each
set of metrics is a line of its own; with --json each event is one JSON object. Following reads
only the run folder: to end it, even by Ctrl-C, asks nothing of the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from qtui import wording
from qtui.cli.output import Output, Part, Style, Styled
from qtui.narration import Narrator, Tone
from qtui.runs import events as ev
from qtui.runs.alerts import JUDGED, Alert, RunAlerts
from qtui.runs.lock import is_held
from qtui.runs.log import EventReader
from qtui.runs.progress import Pace
from qtui.runs.state import RESTART_SECONDS, Status, derive
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from qtui.runs.folder import Run

_POLL = 0.2  # seconds; also how often the live line may change
_QUOTE = 300  # most columns of a prompt or an answer off a terminal

_SHOWN = (
    ("loss", "loss"),
    ("eval_loss", "eval loss"),
    ("learning_rate", "lr"),
    ("grad_norm", "grad"),
    ("tokens_per_second", "tok/s"),
)


_TONES: dict[Tone, Style] = {"warning": "yellow", "error": "red", "alert": "yellow"}


@dataclass(frozen=True)
class Ending:
    """How a followed run stood when following ended."""

    status: Status
    end: ev.FinishedEvent | ev.FailedEvent | None


class EventView:
    """Turns events into lines, and keeps what the live line needs."""

    def __init__(self, out: Output, write: Callable[..., None]) -> None:
        self.end: ev.FinishedEvent | ev.FailedEvent | None = None
        self.restarting = False
        """Whether the worker was last heard of when it was about to execute itself anew."""
        self._out = out
        self._write = write
        self._pace = Pace()
        self._narrator = Narrator()
        self._quarter = -1
        self._counted = ""
        self._values: dict[str, float | None] = {}

    @property
    def phase(self) -> ev.Phase | None:
        """What the run is doing; none before its first sign of life."""
        return self._pace.phase

    def take(self, event: ev.AnyEvent) -> None:
        """Account for one event, and show it if it is one to show."""
        if self._out.json:
            self._out.document(msgspec.to_builtins(event))
        self._pace.take(event)
        sentence = self._narrator.tell(event)
        if sentence is not None:
            prefix = _TONES.get(sentence.tone)
            self._say(
                event,
                Styled(sentence.prefix, prefix) if prefix else sentence.prefix,
                sentence.text,
            )
        match event:
            case ev.PhaseEvent():
                self.end, self.restarting = None, False
            case ev.ProgressEvent():
                self._count(event)
            case ev.MetricsEvent():
                self._values.update(event.values)
                if sentence is None and not self._out.live:
                    self._metrics(event)
            case ev.SampleEvent():
                self._sample(event)
            case ev.ResumedEvent():
                self.end, self.restarting = None, event.reason == ev.OUT_OF_MEMORY
            case ev.FinishedEvent() | ev.FailedEvent():
                self.end = event

    def warn(self, alerts: list[Alert]) -> None:
        """Show what following itself has judged; a document has the log's own events alone."""
        for alert in alerts:
            if alert.kind in JUDGED:
                clock = ev.LogEvent(time=alert.time, level="warning", message="")
                self._say(clock, Styled("! ", "yellow"), alert.message)

    def live_line(self, now: float) -> str:
        """What the run is doing, in one line; empty before its first sign of life."""
        if self.phase is None or self.end is not None:
            return ""
        words = self.phase.replace("_", " ")
        progress = self._pace.progress
        if progress is None or not progress.total:
            count = f" {progress.done} {progress.unit}" if progress else ""
            waited = wording.duration(now - self._pace.since)
            return f"{words}{count}  {waited}  {self._pace.detail}".rstrip()
        share = progress.done / progress.total
        done, total = _count_text(progress)
        width = 20 if self._out.width >= 100 else 10
        parts = [
            f"{words} {done}/{total}",
            f"{wording.bar(share, width, unicode=self._out.unicode)} {share * 100:3.0f}%",
        ]
        if progress.unit == "steps":
            parts += [
                f"{label} {wording.number(self._values[name])}"
                for name, label in (*_SHOWN[:2], _SHOWN[4])
                if self._values.get(name) is not None
            ]
        left = self._pace.left()
        if left is not None:
            parts.append(f"left {wording.duration(left)}")
        return "  ".join(parts)

    def _say(self, event: ev.Event, *parts: Part) -> None:
        if self._out.json:
            return
        self._write(
            Styled(f"{wording.clock(event.time):<8}  ", "dim"), *(_one_line(part) for part in parts)
        )

    def _count(self, event: ev.ProgressEvent) -> None:
        if event.what != self._counted:
            self._counted, self._quarter = event.what, -1
        quarter = 4 * event.done // event.total if event.total else 0
        if quarter != self._quarter and event.unit != "steps" and not self._out.live:
            self._quarter = quarter
            done, total = _count_text(event)
            self._say(event, f"{event.what} {done}" + (f" of {total}" if event.total else ""))

    def _metrics(self, event: ev.MetricsEvent) -> None:
        shown = [
            f"{label} {wording.number(event.values[name])}"
            for name, label in _SHOWN
            if name in event.values
        ]
        if shown:
            progress = self._pace.progress
            counted = progress is not None and progress.unit == "steps" and progress.total
            total = f"/{progress.total}" if progress is not None and counted else ""
            self._say(event, f"step {event.step}{total}  " + "  ".join(shown))

    def _sample(self, event: ev.SampleEvent) -> None:
        room = self._out.width - 32 if self._out.live else 2 * _QUOTE
        prompt = clean_line(event.prompt, max(room // 3, 10))
        output = clean_line(event.output, max(room - room // 3, 10))
        arrow = self._out.sign("→", "->")
        self._say(event, f'sample at {event.step}  "{prompt}" {arrow} "{output}"')


def follow(run: Run, out: Output, *, write: Callable[..., None]) -> Ending:
    """Show a run's log from its beginning until the run has ended; lines go to `write`.

    Raises KeyboardInterrupt at Ctrl-C, with the live line removed.
    """
    reader = EventReader(run.events)
    view = EventView(out, write)
    alerts = RunAlerts(run.id)
    heard = False
    free_since: float | None = None
    try:
        while True:
            held = is_held(run.lock)  # before the log is read: what a dying worker wrote is seen
            new = reader.poll()
            for event in new:
                view.take(event)
                # What was written before following began was silent then, not now.
                view.warn(alerts.take(event, time.time() if heard else event.time))
            if new:
                alerts.listen(time.time())
            heard = True
            view.warn(alerts.tick(time.time(), alive=held))
            if new or held:
                free_since = None
            elif not view.restarting:
                break
            elif free_since is None:  # a restart may drop the lock: see `state.worker_lives`
                free_since = time.monotonic()
            elif time.monotonic() - free_since > RESTART_SECONDS:
                break
            out.status(view.live_line(time.time()))
            if not new or len(new) < 1000:
                time.sleep(_POLL)
    finally:
        out.status("")
    return Ending(derive(view.phase, view.end, False), view.end)


def _count_text(progress: ev.ProgressEvent) -> tuple[str, str]:
    if progress.unit == "bytes":
        return wording.size(progress.done), wording.size(progress.total)
    return str(progress.done), str(progress.total)


def _one_line(part: Part) -> Part:
    if isinstance(part, str):
        return clean_line(part)
    return Styled(clean_line(part.text), part.style)

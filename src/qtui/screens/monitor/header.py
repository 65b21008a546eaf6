"""The top of the Monitor: where the run stands in one line, and what a person has to know of it.

Pure: from a history to lines.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from qtui import wording
from qtui.runs.events import FailedEvent, FinishedEvent, Phase, ProgressEvent
from qtui.runs.folder import Run
from qtui.runs.progress import TURNS
from qtui.runs.series import History
from qtui.runs.state import FINAL, Status, resumable
from qtui.terminal import clean_line, columns, cut

LIVING = frozenset(Status) - FINAL - {Status.QUEUED}
"""A worker is at work."""

_STYLES = {
    Status.COMPLETED: "bold $success",
    Status.FAILED: "bold $error",
    Status.INTERRUPTED: "bold $warning",
    Status.STOPPED: "bold $warning",
    Status.QUEUED: "$text-muted",
}
_SHORTEST_BAR = 6
_LONGEST_BAR = 40
_ROWS = 2  # of a message that is wrapped


@dataclass(frozen=True)
class Surroundings:
    """What the lines need to know that is not in the run."""

    width: int
    now: float
    """Unix seconds."""
    unicode: bool = True
    price: float | None = None
    """Of an hour of the machine."""

    def sign(self, fancy: str, plain: str) -> str:
        return fancy if self.unicode else plain


def planned(history: History, config: dict[str, object]) -> int | None:
    """How many steps the run will take: as it said itself, else as its config asks for."""
    said = history.progress.get("train")
    if said is not None and said.total:
        return said.total
    training = config.get("training")
    steps = training.get("max_steps") if isinstance(training, dict) else None
    return steps if isinstance(steps, int) and steps > 0 else None


def header(
    run: Run, history: History, status: Status, total: int | None, around: Surroundings
) -> Content:
    """Name, state, how far, how long still, what it has cost: in `around.width` columns.

    What does not fit is left out from the right; the bar takes the room that is left over.
    """
    name = cut(clean_line(run.name), max(around.width // 4, 8))
    state = wording.status(status, unicode=around.unicode)
    fixed = [("bold", name), (_STYLES.get(status, "bold $accent"), state)]
    counted = history.pace.progress
    waits = status in LIVING and history.pace.phase not in TURNS
    rest: list[tuple[str, str]] = []
    share: float | None = None
    if waits:
        share, words = _activity(history, counted, around.now)
        rest = [("", word) for word in words]
    elif total and (history.step or status in LIVING):
        share = min(history.step / total, 1.0)
        rest = [("", f"{history.step}/{total}"), ("bold", f"{share * 100:.0f}%")]
    elif history.step:
        rest = [("", f"step {history.step}")]
    if not waits and status in LIVING and history.pace.phase is Phase.EVALUATING:
        rest += [("", word) for word in _activity(history, counted, around.now)[1] if word]
    rest += [("", word) for word in _times(history, status, around, trains=not waits)]
    return _fitted(fixed, rest, share, around)


def _activity(
    history: History, counted: ProgressEvent | None, now: float
) -> tuple[float | None, list[str]]:
    """What the run waits for, how far that is and how long it has waited; empty words are none."""
    pace = history.pace
    waited = f"for {wording.duration(now - pace.since)}"
    detail = clean_line(pace.detail)
    if counted is None or counted.what == "train":
        return None, [waited, detail]
    done, total, unit = str(counted.done), str(counted.total), f" {counted.unit}"
    if counted.unit == "bytes":
        done, total, unit = wording.size(counted.done), wording.size(counted.total), ""
    what = clean_line(counted.what, 24)
    if not counted.total:
        return None, [f"{what} {done}{unit}", waited, detail]
    share = min(counted.done / counted.total, 1.0)
    left = pace.left()
    words = [f"{what} {done} of {total}{unit}", f"{share * 100:.0f}%"]
    if left is not None and counted.done < counted.total:
        words.append(f"left {wording.duration(left)}")
    return share, [*words, waited, detail]


def _times(history: History, status: Status, around: Surroundings, *, trains: bool) -> list[str]:
    living = status in LIVING
    words = []
    steps = history.pace.phase is Phase.TRAINING
    left = history.pace.left() if steps and living else None
    if left is not None:
        words.append(f"left {wording.duration(left)}")
    lived = history.pace.lived(around.now if living else None)
    if not living and lived > 0:
        words.append(f"took {wording.duration(lived)}")
    if around.price and lived > 0:
        words.append(f"{lived / 3600 * around.price:.2f} $")
    if history.epoch is not None and trains:
        words.append(f"epoch {history.epoch:.2f}")
    return words


def _fitted(
    fixed: Sequence[tuple[str, str]],
    rest: Sequence[tuple[str, str]],
    share: float | None,
    around: Surroundings,
) -> Content:
    width = around.width - 1
    used = sum(columns(text) + 2 for _, text in fixed)
    bar = _SHORTEST_BAR + 2 if share is not None else 0
    kept: list[tuple[str, str]] = []
    for style, text in rest:
        if not text:
            continue
        if used + columns(text) + 2 + bar > width:
            room = width - used - bar - 2
            if room >= 12 and len(text) > 12:  # a long word, such as a model's name
                kept.append((style, cut(text, room)))
                used += room + 2
            break
        kept.append((style, text))
        used += columns(text) + 2
    parts: list[Content] = [Content(" ")]
    for style, text in fixed:
        parts += [Content.styled(text, style), Content("  ")]
    room = min(width - used - 2, _LONGEST_BAR)
    # After the count and its share of the whole comes the bar, then the rest.
    for number, (style, text) in enumerate(kept):
        parts += [Content.styled(text, style), Content("  ")]
        if number == 1 and share is not None and room >= _SHORTEST_BAR:
            bar_text = wording.bar(share, room, unicode=around.unicode)
            parts += [Content.styled(bar_text, "$accent"), Content("  ")]
    return Content("").join(parts)


def notice(
    run: Run,
    history: History,
    status: Status,
    around: Surroundings,
    *,
    unavailable_since: float | None = None,
    why: str = "",
    alert: str = "",
) -> list[Content]:
    """What a person has to know and what to do next; empty while all goes well."""
    lines: list[Content] = []
    if unavailable_since is not None:
        since = time.strftime("%H:%M:%S", time.localtime(unavailable_since))
        text = f"unavailable since {since}: {why}. What is shown was read before."
        lines += _message("!", "$warning", text, around)
    lines += _ending(run, history, status, around)
    if alert:
        lines += _message("!", "$warning", f"{alert}  (a: seen)", around)
    return lines


def _ending(run: Run, history: History, status: Status, around: Surroundings) -> list[Content]:
    end = history.end
    name = clean_line(run.name)
    resume = f"r resume, or: qtui runs resume {name}"
    if status is Status.FAILED and isinstance(end, FailedEvent):
        sign = around.sign("✗", "x")
        lines = _message(sign, "$error", f"{end.message} ({end.error})", around)
        if end.remedy:
            lines += _message("try", "$text-muted", end.remedy, around)
        more = f"{resume}   w what the worker printed"
        return [*lines, *_message(" ", "", more, around, rows=1)]
    if status is Status.INTERRUPTED:
        text = "The worker is gone without a word (killed, or the machine went down)."
        return [
            *_message("!", "$warning", text, around),
            *_message("try", "$text-muted", resume, around, rows=1),
        ]
    if status is Status.QUEUED:
        text = f"Made, but never started. r start it, or: qtui runs resume {name}"
        return _message(around.sign("◌", "."), "$text-muted", text, around)
    if status is Status.STOPPED and isinstance(end, FinishedEvent) and resumable(status):
        text = f"{end.message or f'stopped at step {end.step}'}.  {resume}"
        return _message(around.sign("■", "#"), "$warning", text, around)
    if status is Status.COMPLETED:
        results = [artifact for artifact in history.artifacts if artifact.kind == "adapter"]
        place = f"{run.path.parent.name}/{run.id}/{results[-1].path}" if results else ""
        text = f"adapter in {place}" if place else f"qtui runs show {name}"
        return _message(around.sign("✓", "+"), "$success", text, around, rows=1)
    return []


def _message(
    sign: str, style: str, text: str, around: Surroundings, *, rows: int = _ROWS
) -> list[Content]:
    """A sign and a text of at most `rows` rows."""
    room = max(around.width - len(sign) - 3, 10)
    wrapped = Content(clean_line(text, room * rows)).wrap(room)[:rows]
    first = Content.styled(f" {sign} ", style) if style else Content(f" {sign} ")
    indent = Content(" " * (len(sign) + 2))
    return [(first if n == 0 else indent) + line for n, line in enumerate(wrapped)]

"""What Home says of the run under the cursor: how it stands, why, and what to do next.

Sentences, not codes; the last line is the command that says the same without the dashboard.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from textual.content import Content

from qtui import wording
from qtui.runs.folder import SERVE
from qtui.runs.state import Status
from qtui.runs.summary import Summary
from qtui.terminal import clean_line, cut
from qtui.widgets.run_columns import living, seconds_left, short_model, state_style

CURVE_FROM = 12
"""Rows from which on there is room for a curve."""

_MOST_LINES = 3  # of a message, and of what to try


def command(run: Summary) -> str:
    """What shows, follows or continues `run` from a shell; safe to show and to paste."""
    verb = "attach" if living(run) else "show"
    if run.status in (Status.QUEUED, Status.INTERRUPTED, Status.STOPPED):
        verb = "resume"
    return f"qtui runs {verb} {shlex.quote(clean_line(run.id))}"


def detail(
    run: Summary, width: int, height: int, *, now: float, resume_key: str, unicode: bool
) -> list[Content]:
    """`height` lines of at most `width` columns about `run`; from `CURVE_FROM` on its loss, too."""
    room = width - 2
    lines = [_title(run, unicode)]
    if living(run):
        lines += _living(run, room, now, unicode)
    elif run.status is Status.QUEUED:
        lines.append(Content(f" It has not been started yet: {resume_key} starts it."))
    else:
        lines += [_figures(run)] if run.loss is not None or run.checkpoints else []
    if run.message:
        style = "$error" if run.status is Status.FAILED else "$warning" if living(run) else ""
        lines += [Content.styled(f" {text}", style) for text in _wrapped(run.message, room)]
    if remedy := _remedy(run, resume_key):
        tried = _wrapped(remedy, room - 5)
        lines += [
            Content.assemble((" Try  " if number == 0 else "      ", "bold"), Content(text))
            for number, text in enumerate(tried)
        ]
    lines = lines[: height - 1]
    if height >= CURVE_FROM and len(run.trend) > 1:
        lines += [Content(""), *_curve(run.trend, room, height - 3 - len(lines), unicode)]
    lines += [Content("")] * (height - 1 - len(lines))
    return [*lines, Content.styled(f" {command(run)}", "$text-muted")]


def _title(run: Summary, unicode: bool) -> Content:
    made = wording.clock(run.created, "%Y-%m-%d %H:%M") if run.created else ""
    kind = "" if run.kind == "train" else clean_line(run.kind)
    facts = [text for text in (short_model(run.model), run.method, kind, made) if text]
    return Content.assemble(
        " ",
        (clean_line(run.name), "bold"),
        "  ",
        (wording.status(run.status.value, unicode=unicode), state_style(run.status)),
        "  ",
        ((" · " if unicode else " - ").join(facts), "$text-muted"),
    )


def _living(run: Summary, room: int, now: float, unicode: bool) -> list[Content]:
    lines = []
    if run.total_steps:
        share = run.step / run.total_steps
        wide = max(min(room - 50, 40), 10)
        parts = [
            f"{run.step}/{run.total_steps}",
            f"{wording.bar(share, wide, unicode=unicode)} {share * 100:.0f} %",
        ]
        left = seconds_left(run)
        if left is not None:
            parts.append(f"about {wording.duration(left)} left")
        if run.epoch is not None:
            parts.append(f"epoch {run.epoch:.2f}")
        lines.append(Content(" " + "  ".join(parts)))
    if run.loss is not None or run.checkpoints:
        lines.append(_figures(run))
    waiting = _waiting(run, now)
    if waiting:
        lines.append(Content(f" {waiting}"))
    return lines


def _curve(losses: Sequence[float], room: int, rows: int, unicode: bool) -> list[Content]:
    """The loss over the whole run as bars in `rows` rows, with its highest and lowest value."""
    high, low = max(losses), min(losses)
    span = (high - low) or 1.0
    steps = "▁▂▃▄▅▆▇█" if unicode else ".:#"
    wide = max(min((room - 12) // len(losses), 4), 1)
    heights = [1 + round((loss - low) / span * (rows * len(steps) - 1)) for loss in losses]
    lines = []
    for row in range(rows - 1, -1, -1):
        label = high if row == rows - 1 else low if row == 0 else None
        bars = "".join(_block(height - row * len(steps), steps) * wide for height in heights)
        number = "" if label is None else wording.number(label)
        axis = "┤" if unicode else "|"
        lines.append(Content.assemble((f" {number:>7} {axis}", "$text-muted"), (bars, "$accent")))
    return lines


def _block(height: int, steps: str) -> str:
    return " " if height <= 0 else steps[min(height, len(steps)) - 1]


def _remedy(run: Summary, resume_key: str) -> str:
    if run.status is Status.INTERRUPTED:
        if run.checkpoints:
            last = run.checkpoints[-1]
            return f"{resume_key} resumes it from its checkpoint of step {last}"
        if run.kind == SERVE:
            return f"{resume_key} serves it again"
        return f"{resume_key} starts it again from the beginning: there is no checkpoint"
    return run.remedy


def _waiting(run: Summary, now: float) -> str:
    """What a phase that is not training waits for, and for how long already."""
    if run.status is Status.TRAINING:
        return ""
    said = run.status.value.replace("_", " ")
    if run.since is not None and now > run.since:
        said += f" for {_patience(now - run.since)}"
    counted, facts = run.counted, []
    if counted is not None:
        text = wording.size if counted.unit == "bytes" else str
        of = f" of {text(counted.total)}" if counted.total else ""
        unit = "" if counted.unit == "bytes" else f" {counted.unit}"
        facts.append(f"{clean_line(counted.what)} {text(counted.done)}{of}{unit}")
    if run.detail and not any(run.detail in fact for fact in facts):
        facts.append(clean_line(run.detail))
    return f"{said}: {', '.join(facts)}" if facts else said


def _patience(seconds: float) -> str:
    """A time that changes ten times a minute at most: a second's tick is sent over the line."""
    return wording.duration(seconds if seconds < 10 else seconds // 6 * 6)


def _figures(run: Summary) -> Content:
    parts = []
    if run.trend and run.loss is not None and not living(run):
        parts.append(f"loss {wording.number(run.trend[0])} to {wording.number(run.loss)}")
    elif run.loss is not None:
        parts.append(f"loss {wording.number(run.loss)}")
    if run.eval_loss is not None:
        parts.append(f"eval {wording.number(run.eval_loss)}")
    if run.tokens_per_second is not None and living(run):
        parts.append(f"{wording.number(run.tokens_per_second)} tokens/s")
    if run.checkpoints:
        last = run.checkpoints[-1]
        many = len(run.checkpoints)
        parts.append(f"checkpoint {last}" if many == 1 else f"{many} checkpoints, last {last}")
    return Content(" " + "   ".join(parts))


def _wrapped(text: str, room: int) -> list[str]:
    """`text` in a few lines of at most `room` columns."""
    lines = [line.plain.rstrip() for line in Content(clean_line(text)).wrap(max(room, 20))]
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES - 1] = cut(f"{lines[_MOST_LINES - 1]} {lines[_MOST_LINES]}", room)
    return lines[:_MOST_LINES]

"""The columns of the list of runs: what each says of a run, and which have room in a width.

A narrow list leaves out what is least missed; a wide one first gives names and models their room,
then shows more. Widths follow from the terminal's alone, so that nothing moves when values change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qtui import wording
from qtui.runs.folder import SERVE
from qtui.runs.state import FINAL, Status
from qtui.runs.summary import Summary
from qtui.terminal import clean_line, columns, cut

LEAD = 3
"""Columns before the first: the mark and the cursor."""


@dataclass(frozen=True)
class Look:
    """What a cell depends on besides its run."""

    now: float
    """Unix seconds."""
    unicode: bool = True


Cell = tuple[str, str]
"""Text and style; an empty style is the row's own."""


@dataclass(frozen=True)
class Column:
    """One column: its widths in a cramped, a comfortable and a wide list."""

    title: str
    least: int
    usual: int
    most: int
    cell: Callable[[Summary, Look, int], Cell]
    right: bool = False
    extra: bool = False
    """Whether it is shown only where all others have their usual width."""


_STATE_STYLES: Mapping[Status, str] = {
    Status.QUEUED: "$text-muted",
    Status.COMPLETED: "$success",
    Status.STOPPED: "$text-muted",
    Status.FAILED: "$error",
    Status.INTERRUPTED: "$warning",
}


def living(run: Summary) -> bool:
    """Whether the run has a worker."""
    return run.status not in FINAL and run.status is not Status.QUEUED


def state_style(status: Status) -> str:
    """The style of a status; colour is never all that tells it."""
    return _STATE_STYLES.get(status, "$accent")


def seconds_left(run: Summary) -> float | None:
    """About how long a living run still trains."""
    if not living(run) or run.seconds_per_step is None or not run.total_steps:
        return None
    return max(run.total_steps - run.step, 0) * run.seconds_per_step


def _plain(text: Callable[[Summary], str]) -> Callable[[Summary, Look, int], Cell]:
    return lambda run, look, width: (text(run), "")


def _number(name: str) -> Callable[[Summary, Look, int], Cell]:
    return lambda run, look, width: (wording.number(getattr(run, name)), "")


def _state(run: Summary, look: Look, width: int) -> Cell:
    return wording.status(run.status.value, unicode=look.unicode), state_style(run.status)


def _step(run: Summary, look: Look, width: int) -> Cell:
    if not run.step and not run.total_steps:
        return "–", ""
    if run.kind == SERVE:
        return wording.requests(run.step), ""
    if not run.total_steps:
        return str(run.step), ""
    total = run.total_steps
    short = f"{total / 1e6:.3g}M" if total >= 1e6 else f"{total / 1e3:.3g}k"
    share = f"{run.step / total * 100:.0f} %"
    spelled = (f"{run.step}/{total}", f"{run.step}/{short}", share)
    return next((text for text in spelled if len(text) <= width), share), ""


def _trend(run: Summary, look: Look, width: int) -> Cell:
    return wording.trend(run.trend, width, unicode=look.unicode), "$accent"


def _left(run: Summary, look: Look, width: int) -> Cell:
    left = seconds_left(run)
    return ("" if left is None else wording.duration(left)), ""


def _epoch(run: Summary, look: Look, width: int) -> Cell:
    return ("–" if run.epoch is None else f"{run.epoch:.2f}"), ""


def _saved(run: Summary, look: Look, width: int) -> Cell:
    return (str(run.checkpoints[-1]) if run.checkpoints else ""), ""


def _age(run: Summary, look: Look, width: int) -> Cell:
    return (wording.age(look.now - run.created) if run.created else ""), "$text-muted"


COLUMNS: tuple[Column, ...] = (
    Column("RUN", 14, 19, 30, _plain(lambda run: clean_line(run.name))),
    Column("STATE", 13, 15, 18, _state),
    Column("MODEL", 11, 21, 34, _plain(lambda run: short_model(run.model))),
    Column("METHOD", 6, 6, 6, _plain(lambda run: run.method), extra=True),
    Column("STEP", 9, 9, 13, _step, right=True),
    Column("LEFT", 5, 6, 6, _left, right=True, extra=True),
    Column("EPOCH", 5, 5, 6, _epoch, right=True, extra=True),
    Column("LOSS", 6, 6, 7, _number("loss"), right=True),
    Column("EVAL", 6, 6, 7, _number("eval_loss"), right=True, extra=True),
    Column("TREND", 7, 8, 24, _trend),
    Column("TOK/S", 6, 6, 7, _number("tokens_per_second"), right=True, extra=True),
    Column("SAVED", 5, 6, 7, _saved, right=True, extra=True),
    Column("AGE", 4, 4, 4, _age, right=True),
)
"""In the order in which they stand."""

_RANK = (
    *("RUN", "STATE", "STEP", "AGE", "LOSS", "MODEL", "TREND"),
    *("EVAL", "LEFT", "TOK/S", "EPOCH", "SAVED", "METHOD"),
)
"""The most wanted first."""


def short_model(name: str) -> str:
    """A model's name without its owner or folder."""
    name = clean_line(name).rstrip("/")
    return name.rpartition("/")[2] or name


@dataclass(frozen=True)
class Placed:
    """A column at its place: `start` and `width` in terminal columns."""

    column: Column
    start: int
    width: int


def place(width: int) -> list[Placed]:
    """The columns that a list of `width` terminal columns shows, from left to right."""
    by_rank = sorted(COLUMNS, key=lambda column: _RANK.index(column.title))
    chosen: list[Column] = []
    for column in by_rank:
        cramped = LEAD + sum(c.least + 1 for c in chosen) + column.least
        roomy = LEAD + sum(c.usual + 1 for c in chosen) + column.usual
        if (roomy if column.extra else cramped) > width and chosen:
            break
        chosen.append(column)
    widths = _widths(chosen, width - LEAD - len(chosen) + 1)
    placed, start = [], LEAD
    for column in COLUMNS:
        if column in chosen:
            placed.append(Placed(column, start, widths[column.title]))
            start += widths[column.title] + 1
    return placed


def _widths(chosen: Sequence[Column], room: int) -> dict[str, int]:
    """Each column's width: grown in turns to the usual ones, then by rank to the widest."""
    widths = {column.title: min(column.least, max(room, 1)) for column in chosen}
    spare = room - sum(widths.values())
    growing = True
    while spare > 0 and growing:
        growing = False
        for column in chosen:
            if widths[column.title] < column.usual and spare > 0:
                widths[column.title] += 1
                spare -= 1
                growing = True
    for column in chosen:
        more = min(column.most - widths[column.title], max(spare, 0))
        widths[column.title] += max(more, 0)
        spare -= max(more, 0)
    return widths


def fit(text: str, width: int, *, right: bool = False, unicode: bool = True) -> str:
    """`text` cut or filled to exactly `width` columns."""
    text = cut(text, width, "…" if unicode else "~")
    filling = " " * (width - columns(text))
    return filling + text if right else text + filling

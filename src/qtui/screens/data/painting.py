"""Brings the widgets of the data screen up to date; what is the same is not sent again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.content import Content

from qtui import wording
from qtui.runs.preparing import Doing, doing
from qtui.screens.data import charts, drawing, facts, waiting
from qtui.screens.data.drawing import MUTED, Around
from qtui.screens.data.signs import Signs, Writer
from qtui.screens.data.state import State
from qtui.screens.data.subject import spoken
from qtui.widgets.marked_text import Laid, MarkedText
from qtui.widgets.readout import Readout

if TYPE_CHECKING:
    from qtui.screens.data.screen import DataScreen

PATIENCE = 2.0
"""Seconds without an answer from the disk after which that is said."""


def paint(screen: DataScreen) -> None:
    """Draw everything for the screen's state."""
    state, unicode = screen.state, screen.qtui.unicode
    whole = not state.opened or state.shows != "row"
    screen.set_class(whole, "-whole")
    screen.set_class(state.opened and state.shows == "batch", "-batch")
    around = Around(screen.size.width, unicode)
    _show(screen, "head", _head(state, around))
    twin = spoken(state.subject.command)
    _show(screen, "rule", [drawing.heading(_title(state), twin, around)])
    text = screen.query_one(MarkedText)
    if not state.opened:
        text.show(_waiting(screen, text.room), at=None)
    elif state.shows == "row":
        _row(screen, unicode)
    elif state.shows == "batch":
        _batch(screen, text, unicode)
    else:
        text.show(_page(state, text.room, unicode), at=None)
    screen.refresh_bindings()


def _show(screen: DataScreen, name: str, lines: list[Content]) -> None:
    screen.query_one(f"#data-{name}", Readout).show(*lines)


def _head(state: State, around: Around) -> list[Content]:
    subject = state.subject
    if not state.opened:
        name = subject.name or "Data"
        return [Content.styled(f" {name}", "bold"), Content.styled(f" {subject.origin}", MUTED)]
    lines = drawing.head(subject.name, subject.origin, state.rows, state.report, around)
    notes = []
    if state.slow > PATIENCE:
        notes.append(f"the disk has not answered for {state.slow:.0f} s")
    if count := state.pending():
        notes.append(f"{count:,} row{'s' if count != 1 else ''} to change: "
                     f"{'p prepares anew' if subject.file else 'see y'}")  # fmt: skip
    if notes:
        note = Content.styled("; ".join(notes), "bold $warning")
        lines[1] = drawing.beside(Content(f" {facts.parts_line(state.report)}"), note, around.width)
    return lines


def _title(state: State) -> str:
    if not state.opened:
        return ""
    if state.shows == "batch":
        return "the first batch, as the model gets it"
    return {"charts": "all rows", "sources": "sources"}.get(state.shows, "")


def _row(screen: DataScreen, unicode: bool) -> None:
    state = screen.state
    middle = screen.query_one("#data-row", Readout)
    around = Around(middle.size.width, unicode, state.root)
    foot, origin = (4, 2) if screen.size.height >= 34 else (2, 1)
    if state.page is None:
        why = "reading the first row"
        if not state.rows:
            why = "There are no rows: nothing could be read from the sources."
        if state.unreadable is not None:
            number, error = state.unreadable
            why = f"row {number + 1:,} of {state.rows:,}  cannot be shown"
            text = screen.query_one(MarkedText)
            text.show(waiting.trouble("", error, "", text.room, unicode=unicode))
        _show(screen, "row", [Content(f" {why}"), *[Content("")] * (origin + 1)])
        _show(screen, "foot", [Content("")] * foot)
    else:
        name = facts.FILTERS[state.filter][0]
        choice = state.choice_words(state.page.row.key)
        head = drawing.row_head(state.page, state.rows, name, choice, origin, around)
        _show(screen, "row", head)
        _show(screen, "foot", drawing.row_foot(state.page, foot, around))
    side = screen.query_one("#data-side", Readout)
    if side.size.width:
        beside = Around(side.size.width, unicode, state.root)
        lines = drawing.side(state.kinds, state.kind, _told(state, beside), state.report,
                             side.size.height, beside, reading=state.found is None)  # fmt: skip
        side.show(*lines)
    left = screen.query_one("#data-sources", Readout)
    if left.size.width:
        listed = facts.sources(state.report)
        left.show(*drawing.source_lines(listed, left.size.height, Around(left.size.width, unicode)))


def _told(state: State, around: Around) -> Content | None:
    kind = state.chosen_kind
    if state.told is None or state.place is None or kind is None:
        return None
    number = Content.styled(f" {state.place + 1:,} of {len(kind.rows):,}\n", MUTED)
    return Content.assemble(number, drawing.said(state.told, around, place=True))


def _batch(screen: DataScreen, text: MarkedText, unicode: bool) -> None:
    state = screen.state
    around = Around(screen.size.width, unicode)
    writer = Writer(Signs(unicode))
    view = state.batch
    if view is None or view.batch is None:
        _show(screen, "row", [Content("")])
        _show(screen, "foot", [Content("")])
        if view is None:
            writer.line("reading the first batch", MUTED)
        else:
            writer.line("There is no first batch here yet.", "bold")
            writer.line()
            writer.line("It is kept once a training run has been set up on these data:")
            writer.line("qtui train RUN_FILE, or ctrl+l on Configure.")
        text.show(writer.pen.lay_out(text.room))
        return
    height = max(screen.size.height - 6, 6)
    _show(screen, "row", view.head(height // 2, around))
    _show(screen, "foot", view.foot())
    laid = view.text(text.room, visible=state.look.visible, ids=state.look.ids, unicode=unicode)
    text.show(laid, at=None if laid.text == text.laid.text else 0)


def _page(state: State, width: int, unicode: bool) -> Laid:
    if state.shows == "charts":
        return charts.charts(state.report, state.kinds[1:], width, unicode=unicode)
    return charts.source_page(facts.sources(state.report), width, unicode=unicode)


def _waiting(screen: DataScreen, width: int) -> Laid:
    state, unicode = screen.state, screen.qtui.unicode
    cancel, prepare = screen.key("data.cancel"), screen.key("data.prepare")
    waited = time.monotonic() - state.since
    if state.trouble is not None:
        title, error = state.trouble
        keys = f"{prepare}: prepare once more   {screen.key('data.open')}: another run   esc: back"
        return waiting.trouble(title, error, keys, width, unicode=unicode)
    if state.history is not None:
        began = state.history.started
        waited = max(time.time() - began, 0.0) if began is not None else waited
        now = Doing(state.unavailable) if state.unavailable else doing(state.history)
        return waiting.progress(state.subject, now, waited,
                                cancel if state.may_cancel else "", width,
                                unicode=unicode)  # fmt: skip
    if state.busy == "starting the worker":
        return waiting.progress(state.subject, Doing(state.busy), waited, "", width,
                                unicode=unicode)  # fmt: skip
    if state.busy:
        writer = Writer(Signs(unicode))
        since = f" for {wording.duration(waited)}" if waited > PATIENCE else ""
        writer.line(f"{state.busy}{since}", MUTED)
        return writer.pen.lay_out(width)
    return waiting.nothing(state.subject, prepare, width, unicode=unicode)

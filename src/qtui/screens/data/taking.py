"""What the reader tells, taken into the state of the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtui.screens.data import facts
from qtui.screens.data.asked import (
    Failed,
    FirstBatch,
    Gathered,
    News,
    NoRow,
    Opened,
    Page,
    Told,
)
from qtui.screens.data.batches import BatchView
from qtui.screens.data.found import Found
from qtui.widgets.marked_text import MarkedText

if TYPE_CHECKING:
    from qtui.screens.data.screen import DataScreen


def take(screen: DataScreen, news: News) -> None:
    """Take `news` of the data that are shown; the caller draws."""
    state = screen.state
    match news:
        case Opened():
            state.opened, state.busy = True, ""
            state.rows, state.report = news.rows, news.report
            state.root = facts.root(news.report)
        case Page():
            _page(screen, news)
        case NoRow():
            _no_row(screen)
        case Gathered():
            state.found = news.found
            screen.seek()
            if state.page is not None and not state.steps:
                screen.again()  # with its findings
        case Told():
            state.told = news.finding
        case FirstBatch():
            state.batch = BatchView(news)
        case Failed(ask=None):
            screen.fail(f"{news.what} cannot be read", news.error)
            if state.opened and state.found is None and news.what == "The findings":
                state.found = Found()
                screen.seek()
        case Failed(ask=ask):
            if ask is state.ask:
                state.at, state.steps = news.number, 0
            state.page, state.unreadable = None, (news.number, news.error)


def _page(screen: DataScreen, page: Page) -> None:
    """Show the row, also when another one was asked for since: rows that fly by are seen."""
    state = screen.state
    shown = state.page
    same = shown is not None and shown.number == page.number
    same_view = shown is not None and shown.ask.look.view == page.ask.look.view
    state.page, state.unreadable = page, None
    if page.ask is state.ask:
        state.at, state.steps = page.number, 0
    if state.shows == "row":
        text = screen.query_one(MarkedText)
        text.show(page.laid, at=None if same and same_view else 0)


def _no_row(screen: DataScreen) -> None:
    """No row is of the part that is asked for: the next one of the parts then, or all."""
    state = screen.state
    if state.filter:
        screen.qtui.say(f"There are no rows of this part: {facts.FILTERS[state.filter][0]}.")
        state.filter = (state.filter + 1) % len(facts.FILTERS)
        screen.again()

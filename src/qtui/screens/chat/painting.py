"""Paints the chat screen: who talks, the conversation or what there is instead of it, and what is
waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from qtui.screens.chat import judging
from qtui.screens.chat.header import head, rule
from qtui.screens.chat.link import State
from qtui.screens.chat.opening import said
from qtui.screens.chat.sampling import summary
from qtui.screens.chat.transcript import Part, widths
from qtui.screens.chat.views import Look, error_rows
from qtui.widgets.readout import Readout

if TYPE_CHECKING:
    from qtui.screens.chat.screen import ChatScreen

_EMPTY = """There is no run to talk to yet.

{open:<12} talks to a base model, a run, or a server elsewhere
{new:<12} sets up a run

Without the dashboard: qtui chat MODEL"""


def paint(screen: ChatScreen) -> None:
    """Show what is there now; what reads as before is not drawn."""
    width, unicode = screen.size.width, screen.qtui.unicode
    session = screen.session
    sides = session.conversation.sides if session is not None else ()
    base = session.base if session is not None else ""
    raw = session is not None and session.raw
    screen.query_one("#chat-head", Readout).show(
        head(sides, base, summary(screen.draft), width, raw=raw)
    )
    line = "─" if unicode else "-"
    screen.query_one("#chat-rule", Readout).show(Content(line * width))
    _answers(screen, base)
    left, style = _state(screen)
    right = "" if session is None else judging.told(
        screen.judged, session.opened.place, screen.qtui.workspace
    )  # fmt: skip
    screen.query_one("#chat-state", Readout).show(
        rule(left, right if not left else "", width, unicode=unicode, style=style)
    )
    screen.input.answering = screen.transcript.answering = session is not None and session.busy


def _answers(screen: ChatScreen, base: str) -> None:
    session = screen.session
    room = screen.transcript.room
    parts: list[Part] = []
    if session is not None:
        here = screen.chosen if screen.focused is screen.transcript else None
        look = Look(
            room, screen.qtui.unicode, session.raw, base,
            "" if here is None else here.id, screen.chosen_side,
        )  # fmt: skip
        parts, screen.starts = screen.views.parts(
            session.conversation, session.answering, session.waiting, look
        )
    parts = parts or [_introduction(screen)]
    error = screen.trouble if session is None else session.link.error
    if error is not None:
        told = error_rows(
            f"{error.message}\n{error.remedy}", widths(room).whole, screen.qtui.unicode
        )
        way = f"{screen.key('chat.again')}: try again, on the CPU, or with another model"
        if session is None:
            away = screen.key("chat_input.leave")
            way = f"{away}, {screen.key('chat.open')}: talk to something else"
        parts = [*parts, [*told, Content.styled(way, "$text-muted")]]
    newest = list(screen.starts.values())[-1:]
    screen.transcript.show(
        parts,
        streaming=session is not None and session.busy,
        newest=newest[0] if newest else None,
    )


def _introduction(screen: ChatScreen) -> list[Content]:
    session = screen.session
    if session is None:
        if screen.opening or screen.trouble is not None:
            return [Content(screen.opening)]
        away = screen.key("chat_input.leave")
        empty = _EMPTY.format(
            open=f"{away}, {screen.key('chat.open')}", new=f"{away}, {screen.key('app.configure')}"
        )
        return [Content(row) for row in empty.split("\n")]
    base = session.base
    names = [said(side, base) for side in session.conversation.sides]
    who = " and ".join(names) if names else "whoever listens there"
    both = " answer the same prompt, side by side." if len(names) > 1 else " answers."
    of = f" The base is {said(base, '')}." if base else ""
    keys = [
        f"{screen.key('chat_input.send')} sends, "
        f"{screen.key('chat_input.newline')} begins a new line",
        f"{screen.key('chat_input.leave')} leads to the answers, where letters are keys",
    ]
    text = [f"{who}{both}{of}", "", *keys]
    rows: list[Content] = []
    for each in text:
        rows += Content(each).wrap(widths(screen.transcript.room).whole) or [Content("")]
    return rows


def _state(screen: ChatScreen) -> tuple[str, str]:
    """What is to be said above the line to type in, and its style."""
    session = screen.session
    if screen.opening:
        return screen.opening, ""
    if screen.changing:
        keys = f"{screen.key('chat_input.send')} sends it as a branch"
        return f"changing the prompt: {keys}, {screen.key('chat_input.leave')} leaves it", "bold"
    if session is None:
        return "", ""
    link = session.link
    queued = len(session.waiting) + len(session.queued)
    waiting = f"; {queued} prompt{'s' if queued != 1 else ''} waiting" if queued else ""
    if link.state is State.WAITING:
        return f"{link.words}{waiting}", "$accent"
    if link.state is State.FAILED:
        return f"no server: {screen.key('chat.again')} tries again{waiting}", "bold $warning"
    if link.state is State.APART:
        return "the model is loaded when you begin to type", ""
    speeds = [
        f"{said(each.ask.model, session.base)} {each.tokens_per_second:.0f} tok/s"
        for _, each in sorted(session.answering.items(), key=lambda one: one[0][1])
        if each.tokens > 1
    ]
    queued_here = [f"{len(session.queued)} queued behind this answer"] if session.queued else []
    return "   ".join([*queued_here, *speeds]), ""

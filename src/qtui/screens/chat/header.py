"""The lines around the conversation: who talks and how, what is waited for, what was judged."""

from __future__ import annotations

from textual.content import Content

from qtui.screens.chat.opening import said
from qtui.terminal import clean_line, columns, cut

_QUIET = "$text-muted"


def head(sides: tuple[str, ...], base: str, settings: str, width: int, *, raw: bool) -> Content:
    """Who is talked to on the left, the settings on the right."""
    names = [said(side, base) for side in sides]
    names.sort(key=lambda name: name == "base")
    who = " vs ".join(names) or "nobody yet"
    right = ("raw  " if raw else "") + settings
    room = width - 2 - columns(who) - 2
    right = cut(right, max(room, 0))
    gap = max(width - 2 - columns(who) - columns(right), 1)
    return Content.assemble(" ", (who, "bold"), " " * gap, (right, _QUIET))


def rule(left: str, right: str, width: int, *, unicode: bool, style: str = "") -> Content:
    """A line across with `left` and `right` in it; `left` is cut first."""
    line = "─" if unicode else "-"
    right = f" {clean_line(right)} " if right else ""
    right = cut(right, max(width - 8, 0))
    room = width - 6 - columns(right)
    left = f" {cut(clean_line(left), max(room, 0))} " if left and room > 8 else ""
    filling = line * max(width - 4 - columns(left) - columns(right), 0)
    return Content.assemble(line * 2, (left, style), filling, (right, _QUIET), line * 2)

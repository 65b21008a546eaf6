"""A row in its four views: raw, cleaned, template, tokens. Pure functions; called in a thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec

from qtui.runs.dataset import StoredRow, StoredTokens
from qtui.screens.data.changes import pieces
from qtui.screens.data.signs import MUTED, Signs, Writer
from qtui.terminal import clean_line
from qtui.widgets.marked_text import Laid

VIEWS = ("raw", "cleaned", "template", "tokens")
_ROLE = "bold $accent"
_TRAINED = "bold $accent"
_CHANGED = "bold underline $warning"


@dataclass(frozen=True)
class Look:
    """How a row is looked at: one of `VIEWS`, `ids` with the tokens, `before` cleaning."""

    view: str = "tokens"
    visible: bool = False
    ids: bool = False
    before: bool = False


def laid(
    row: StoredRow, tokens: StoredTokens | None, look: Look, width: int, *, unicode: bool
) -> Laid:
    """The row as `look` wants it, in lines of `width` columns."""
    writer = Writer(Signs(unicode, look.visible))
    if look.view == "raw":
        _raw(writer, row)
    elif look.view == "cleaned":
        _cleaned(writer, row, before=look.before)
    elif tokens is None:
        writer.line("This row is not used: the model never sees it.", MUTED)
        if row.error:
            writer.foreign(row.error, "$error")
    else:
        write(writer, tokens, look)
    if writer.left_out:
        writer.line(f"{writer.left_out:,} more characters are not shown here", "bold $warning")
    return writer.pen.lay_out(width)


def write(writer: Writer, tokens: StoredTokens, look: Look) -> None:
    """What the model sees of a row: as text, or (`tokens`) token by token."""
    if look.view == "template":
        _template(writer, tokens)
    else:
        _tokens(writer, tokens, ids=look.ids)


# ---- raw -----------------------------------------------------------------------------------------


def _raw(writer: Writer, row: StoredRow) -> None:
    if row.raw is None:
        writer.line("The record as it was read was not kept.", MUTED)
    elif isinstance(row.raw, str):
        writer.foreign(row.raw)
    else:
        writer.foreign(pretty(row.raw))


def pretty(value: Any) -> str:
    """A JSON value on several lines."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


# ---- cleaned -------------------------------------------------------------------------------------


def _cleaned(writer: Writer, row: StoredRow, *, before: bool) -> None:
    if row.error:
        writer.foreign(row.error, "$error")
        writer.line()
    changed = iter(row.before or ())
    if row.text is not None:
        _text(writer, row.text, next(changed, None), before=before)
    for message in row.messages:
        _message(writer, message, changed, before=before)
    if row.rejected:
        writer.line("The worse answer", "bold")
        for message in row.rejected:
            _message(writer, message, iter(()), before=before)
    if row.label is not None:
        writer.line(f"Label: {'good' if row.label else 'bad'}", "bold")
    if row.tools:
        writer.line("Tools", "bold")
        writer.foreign(pretty(row.tools), MUTED)


def _message(
    writer: Writer, message: dict[str, Any], changed: Iterator[str], *, before: bool
) -> None:
    writer.line(clean_line(str(message.get("role", "no role")), 60), _ROLE)
    content = message.get("content")
    if isinstance(content, str):
        _text(writer, content, next(changed, None), before=before)
    elif content is not None:
        writer.foreign(pretty(content))
    for name, value in message.items():
        if name in ("role", "content"):
            continue
        writer.line(clean_line(f"{name}:", 60), MUTED)
        writer.foreign(value if isinstance(value, str) else pretty(value))
    writer.line()


def _text(writer: Writer, after: str, old: str | None, *, before: bool) -> None:
    """The text after cleaning (or before it) with what differs marked, also without colours."""
    if old is None or old == after:
        writer.foreign(after)
        return
    # Changes are often white space.
    shown = Writer(Signs(writer.signs.unicode, visible=True), writer.pen)
    for piece in pieces(old, after):
        if piece.same:
            writer.foreign(piece.after)
        elif before:
            writer.own("[-", _CHANGED)
            shown.foreign(piece.before, _CHANGED)
            writer.own("-]", _CHANGED)
        elif piece.after:
            writer.own("{+", _CHANGED)
            shown.foreign(piece.after, _CHANGED)
            writer.own("+}", _CHANGED)
        else:
            writer.own("[-]", _CHANGED)


# ---- template and tokens -------------------------------------------------------------------------


def _template(writer: Writer, tokens: StoredTokens) -> None:
    ends = tokens.token_ends()
    cut = _cut_at(tokens, ends)
    for start, end, trained, begins, ceases in _stretches(tokens, cut, ()):
        if start == cut:
            _cut_line(writer, tokens, len(ends))
        _stretch(writer, tokens.text[start:end], trained, begins, ceases, seen=_seen(start, cut))
    if cut == len(tokens.text):
        _cut_line(writer, tokens, len(ends))


def _tokens(writer: Writer, tokens: StoredTokens, *, ids: bool) -> None:
    ends, numbers = tokens.token_ends(), tokens.token_ids()
    cut = _cut_at(tokens, ends)
    stretches = list(_stretches(tokens, cut, ends))
    at = start = 0
    for number, end in enumerate(ends):
        if number == tokens.kept:
            _cut_line(writer, tokens, len(ends))
        elif number:
            writer.own(writer.signs.border, MUTED)
        # Several tokens may make one character: all but the last end where they begin.
        end = max(end, start)
        while at < len(stretches) and stretches[at][1] <= end:
            first, last, trained, begins, ceases = stretches[at]
            text = tokens.text[first:last]
            _stretch(writer, text, trained, begins, ceases, seen=number < tokens.kept)
            at += 1
        if ids:
            left, right = ("‹", "›") if writer.signs.unicode else ("<", ">")
            writer.own(f"{left}{numbers[number]}{right}", MUTED)
        start = end
    for first, last, trained, begins, ceases in stretches[at:]:  # of no token: seen by nobody
        _stretch(writer, tokens.text[first:last], trained, begins, ceases, seen=_seen(first, cut))


def _stretches(
    tokens: StoredTokens, cut: int | None, borders: Iterable[int]
) -> Iterator[tuple[int, int, bool, bool, bool]]:
    """Start, end, whether it is learnt, whether that begins and ends here: the whole text, cut at
    `borders` and where learning begins and ends. Nothing is learnt from `cut` on."""
    whole = len(tokens.text)
    last_learnt = whole if cut is None else cut
    learnt = [(first, min(last, last_learnt)) for first, last in tokens.trained]
    starts = {first for first, last in learnt if last > first}
    stops = {last for first, last in learnt if last > first}
    places = sorted({0, whole, last_learnt, *borders, *starts, *stops})
    inside = False
    for start, end in pairwise(places):
        if not 0 <= start < end <= whole:
            continue
        inside = (inside and start not in stops) or start in starts
        yield start, end, inside, start in starts, inside and end in stops


def _stretch(
    writer: Writer, text: str, trained: bool, begins: bool, ceases: bool, *, seen: bool
) -> None:
    begin, end = writer.signs.trained
    if begins and trained:
        writer.own(begin, _TRAINED)
    style = MUTED if not seen else _TRAINED if trained else ""
    writer.template(text, style)
    if ceases:
        writer.own(end, _TRAINED)


def _cut_at(tokens: StoredTokens, ends: tuple[int, ...]) -> int | None:
    """The character from which on the model sees nothing; None where it sees all."""
    if tokens.kept >= len(ends):
        return None
    return max(ends[: tokens.kept], default=0)


def _seen(start: int, cut: int | None) -> bool:
    return cut is None or start < cut


def _cut_line(writer: Writer, tokens: StoredTokens, count: int) -> None:
    behind = count - tokens.kept
    what = f"{behind:,} token{'s' if behind != 1 else ''}"
    rule = writer.signs.rule
    words = f"{rule * 2} cut here: {what} behind max_seq_length are not seen {rule * 2}"
    writer.line(words, "bold $warning")

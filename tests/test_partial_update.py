"""Only the changed part of a line is sent, and the screen is then as if all had been."""

from __future__ import annotations

import io

import pyte
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate
from textual.strip import Strip

from qtui.partial_update import _render_segments, install
from qtui.terminal import columns

CONSOLE = Console(
    file=io.StringIO(), force_terminal=True, color_system="truecolor", legacy_windows=False
)
STYLES = (Style(color="red"), Style(bold=True))
pieces = st.lists(st.text("ab ·⣿日本", min_size=1, max_size=6), min_size=1, max_size=6)


def strip(texts: list[str]) -> Strip:
    return Strip(Segment(text, STYLES[number % 2]) for number, text in enumerate(texts))


def screen(width: int, *sent: str) -> list[str]:
    emulator = pyte.Screen(width, 3)
    stream = pyte.Stream(emulator)
    for part in sent:
        stream.feed(part)
    return list(emulator.display)


@given(before=pieces, part=pieces, after=pieces, other=pieces, data=st.data())
def test_the_screen_is_as_if_the_whole_line_had_been_sent(
    before: list[str], part: list[str], after: list[str], other: list[str], data: st.DataObject
) -> None:
    """A line changes in its middle; what is sent is for any span that covers the change."""
    width_of_part = columns("".join(part))
    old = strip([*before, "-" * width_of_part, *after])
    new = strip([*before, *part, *after])
    neighbour = strip(other)
    begin = columns("".join(before))
    first = data.draw(st.integers(0, begin))
    last = data.draw(st.integers(begin + width_of_part, new.cell_length))
    width = new.cell_length + neighbour.cell_length
    update = ChopsUpdate(
        [{0: None}, {0: new, new.cell_length: neighbour}],
        [(1, first, last)],
        [[width], [new.cell_length, width]],
    )
    shown = screen(
        width,
        f"\x1b[2;1H{old.render(CONSOLE)}{neighbour.render(CONSOLE)}",
        _render_segments(update, CONSOLE),
    )
    assert shown == screen(width, f"\x1b[2;1H{new.render(CONSOLE)}{neighbour.render(CONSOLE)}")


def test_a_cell_at_the_end_of_a_line_costs_a_cell() -> None:
    update = ChopsUpdate([{0: strip(["." * 200])}], [(0, 180, 181)], [[200]])
    install()
    sent = update.render_segments(CONSOLE)
    assert sent.count(".") == 1
    assert sent.startswith("\x1b[1;181H")

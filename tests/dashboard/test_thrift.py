"""Fewer bytes, the same picture: an emulator draws what Rich wrote and what is left of it."""

from __future__ import annotations

import io

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from textual.strip import Segment, Strip

from qtui.dashboard.thrift import thrifty

PLAIN = Style(color="#c0c0c0", bgcolor="#101010")
LOUD = Style(color="#ff0000", bgcolor="#101010")
BOLD = Style(color="#c0c0c0", bgcolor="#101010", bold=True)


def rich(pieces: list[tuple[int, int, str, Style]]) -> str:
    console = Console(
        file=io.StringIO(), force_terminal=True, color_system="truecolor", legacy_windows=False
    )
    assert console._color_system is ColorSystem.TRUECOLOR
    return "".join(
        f"\x1b[{y + 1};{x + 1}H" + Strip([Segment(text, style)]).render(console)
        for x, y, text, style in pieces
    )


def drawn(text: str) -> list[list[tuple[object, ...]]]:
    screen = pyte.Screen(30, 4)
    pyte.Stream(screen).feed(text)
    cells = [
        [tuple(screen.buffer[y][x]) for x in range(screen.columns)] for y in range(screen.lines)
    ]
    after = screen.cursor
    return [*cells, [(after.x, after.y, tuple(after.attrs))]]


def test_one_style_is_said_once() -> None:
    text = rich([(0, 0, "one", PLAIN), (5, 1, "two", PLAIN), (9, 2, "three", PLAIN)])
    short = thrifty(text)
    assert short.count("m") == 2, ascii(short)
    assert drawn(short) == drawn(text)


def test_only_the_colour_that_differs_is_said() -> None:
    short = thrifty(rich([(0, 0, "one", PLAIN), (3, 0, "two", LOUD)]))
    assert short.endswith("one\x1b[1;4H\x1b[38;2;255;0;0mtwo\x1b[0m")


def test_bold_ends() -> None:
    text = rich([(0, 0, "one", BOLD), (3, 0, "two", PLAIN)])
    assert drawn(thrifty(text)) == drawn(text)


@pytest.mark.parametrize(
    "text", ["\x1b]8;;http://x\x1b\\a\x1b[1mb\x1b[0m\x1b[1mc\x1b[0m", "\x1b7a"]
)
def test_what_it_does_not_know_stays(text: str) -> None:
    assert thrifty(text) == text


styles = st.builds(
    Style,
    color=st.sampled_from([None, "red", "bright_blue", "#102030", "color(99)", "default"]),
    bgcolor=st.sampled_from([None, "blue", "bright_red", "#302010", "color(17)", "default"]),
    bold=st.sampled_from([None, True]),
    italic=st.sampled_from([None, True]),
    reverse=st.sampled_from([None, True]),
    underline=st.sampled_from([None, True]),
)
pieces = st.tuples(
    st.integers(0, 25), st.integers(0, 3), st.sampled_from(["a", "  ", "bc"]), styles
)


@given(st.lists(pieces, max_size=12))
def test_every_picture_is_the_same(pieces: list[tuple[int, int, str, Style]]) -> None:
    text = rich(pieces)
    short = thrifty(text)
    assert drawn(short) == drawn(text)
    assert len(short) <= len(text)

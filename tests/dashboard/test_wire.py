"""Only changed cells are sent, and the terminal still shows what the dashboard means."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyte
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.drivers.headless_driver import HeadlessDriver
from textual.strip import Strip

from qtui.app import QtuiApp
from qtui.dashboard.wire import Sent
from tests.dashboard import run_folders
from tests.dashboard.harness import drive, on_screen, screen_text, until

CONSOLE = Console(color_system="truecolor", force_terminal=True, width=80)
RED, BLUE = Style(color="#ff0000"), Style(color="#0000ff")


def strip(*parts: tuple[str, Style | None]) -> Strip:
    return Strip([Segment(text, style) for text, style in parts])


def test_what_is_there_already_is_not_sent() -> None:
    sent = Sent()
    assert "hello" in sent.changes([(3, 1, strip(("hello", RED)))], CONSOLE)
    assert sent.changes([(3, 1, strip(("hello", RED)))], CONSOLE) == ""
    assert sent.changes([(3, 1, strip(("he", RED), ("llo", RED)))], CONSOLE) == ""
    assert sent.changes([(5, 1, strip(("l", RED)))], CONSOLE) == ""


def test_changes_are_sent_where_they_are() -> None:
    sent = Sent()
    sent.changes([(0, 0, strip(("loss 1.084", RED)))], CONSOLE)
    changed = sent.changes([(0, 0, strip(("loss 1.083", RED)))], CONSOLE)
    assert changed.startswith("\x1b[1;10H")
    assert "3" in changed
    assert "loss" not in changed


def test_far_changes_are_sent_apart_and_near_ones_together() -> None:
    sent = Sent()
    sent.changes([(0, 0, strip(("a" + "." * 40 + "b.c", RED)))], CONSOLE)
    changed = sent.changes([(0, 0, strip(("A" + "." * 40 + "B.C", RED)))], CONSOLE)
    assert changed.count("H") == 2
    assert "B.C" in changed


def test_another_colour_is_a_change_but_not_on_a_blank_nor_a_note_for_the_mouse() -> None:
    sent = Sent()
    sent.changes([(0, 0, strip(("ab  ", RED)))], CONSOLE)
    assert sent.changes([(0, 0, strip(("ab", RED), ("  ", BLUE)))], CONSOLE) == ""
    noted = RED + Style(meta={"@click": "open"})
    assert sent.changes([(0, 0, strip(("ab", noted)))], CONSOLE) == ""
    assert sent.changes([(0, 0, strip(("ab", BLUE)))], CONSOLE)
    assert sent.changes([(2, 0, strip(("  ", Style(underline=True))))], CONSOLE)
    assert sent.changes([(2, 0, strip(("  ", Style(bgcolor="#00ff00"))))], CONSOLE)


def test_text_of_doubtful_width_is_always_sent_whole() -> None:
    sent = Sent()
    for text in ("日本語", "👩‍🔬 x", "e\u0301", "\u200bx"):
        for _ in range(2):
            assert text in sent.changes([(0, 0, strip((text, RED)))], CONSOLE)
    sent.changes([(0, 1, strip(("abcdef", RED)))], CONSOLE)
    sent.changes([(0, 1, strip(("日", RED)))], CONSOLE)
    assert "cdef" in sent.changes([(2, 1, strip(("cdef", RED)))], CONSOLE)


def test_what_was_forgotten_is_sent_again() -> None:
    sent = Sent()
    sent.changes([(0, 0, strip(("hello", RED)))], CONSOLE)
    sent.forget()
    assert "hello" in sent.changes([(0, 0, strip(("hello", RED)))], CONSOLE)


class Drawn(HeadlessDriver):
    """Writes to an emulator, as if it were a terminal."""

    size = (80, 24)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.screen = pyte.Screen(*self.size)
        self.stream = pyte.Stream(self.screen)
        self.bytes = 0

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        self.bytes += len(data)
        self.stream.feed(data)

    @property
    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self.screen.display)


SCRIPT = """
    down down o o space down space x m left left plus 0 escape question_mark pagedown j k escape
    colon t h e escape 2 down right down e c slash p a c k enter e 9 down g ctrl+t ctrl+t ctrl+t
    1 s escape enter l l v i f f m escape o space escape ctrl+g escape question_mark 1 q n f5 ctrl+c
"""


@on_screen
async def test_after_every_key_the_terminal_shows_the_screen(tmp_path: Path) -> None:
    with (
        run_folders.every_state(tmp_path),
        patch("textual.drivers.headless_driver.HeadlessDriver", Drawn),
    ):
        async with drive(tmp_path) as pilot:
            driver: Any = pilot.app._driver
            await until(pilot, lambda: "quiet-otter" in driver.text)
            for key in SCRIPT.split():
                await pilot.press(key)
                await until(pilot, lambda: driver.text == screen_text(pilot.app))


@on_screen
async def test_the_same_drawn_again_costs_nothing(tmp_path: Path) -> None:
    with (
        run_folders.every_state(tmp_path),
        patch("textual.drivers.headless_driver.HeadlessDriver", Drawn),
    ):
        async with drive(tmp_path) as pilot:
            app: QtuiApp = pilot.app  # type: ignore[assignment]
            driver: Any = app._driver
            await until(pilot, lambda: "quiet-otter" in driver.text)
            await until(pilot, lambda: driver.text == screen_text(app))
            await pilot.pause(0.5)
            before = driver.bytes
            for _ in range(3):
                app.refresh(layout=True)
                await pilot.pause()
            assert driver.bytes == before
            app.draw_anew()
            await until(pilot, lambda: driver.bytes > before + 80 * 24)


@on_screen
async def test_a_key_puts_right_what_somebody_else_wrote(tmp_path: Path) -> None:
    with patch("textual.drivers.headless_driver.HeadlessDriver", Drawn):
        async with drive(tmp_path) as pilot:
            driver: Any = pilot.app._driver
            await until(pilot, lambda: driver.text == screen_text(pilot.app))
            driver.stream.feed("\x1b[5;10HBroadcast message from root")
            assert driver.text != screen_text(pilot.app)
            await pilot.press("f5")
            await until(pilot, lambda: driver.text == screen_text(pilot.app))

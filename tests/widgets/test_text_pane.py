"""A pane of text: wrapped to its width, at its end while it grows, where it was moved to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from textual.app import App, ComposeResult
from textual.content import Content
from textual.pilot import Pilot

from qtui.widgets.text_pane import TextPane


class Shown(App[None]):
    CSS = "TextPane { height: 4; }"

    def compose(self) -> ComposeResult:
        yield TextPane()


def driven(test: Callable[[Pilot[None], TextPane], Awaitable[None]]) -> Callable[[], None]:
    async def scenario() -> None:
        app = Shown()
        async with app.run_test(size=(20, 8)) as pilot:
            await pilot.pause()
            await test(pilot, app.query_one(TextPane))

    def run() -> None:
        asyncio.run(scenario())

    return run


def rows(pane: TextPane) -> list[str]:
    return [pane.render_line(y).text.rstrip() for y in range(pane.size.height)]


def numbered(first: int, last: int) -> list[Content]:
    return [Content(f"line {number}") for number in range(first, last + 1)]


@driven
async def test_it_stays_at_its_end_while_it_grows(pilot: Pilot[None], pane: TextPane) -> None:
    pane.show(numbered(1, 3), end=True)
    await pilot.pause()
    assert rows(pane) == ["line 1", "line 2", "line 3", ""]
    pane.add(numbered(4, 9))
    await pilot.pause()
    assert rows(pane) == ["line 6", "line 7", "line 8", "line 9"]


@driven
async def test_who_scrolled_up_is_left_in_peace(pilot: Pilot[None], pane: TextPane) -> None:
    pane.show(numbered(1, 9), end=True)
    await pilot.pause()
    pane.scroll_up(animate=False)
    await pilot.pause()
    assert rows(pane)[0] == "line 5"
    pane.add(numbered(10, 20))
    await pilot.pause()
    assert rows(pane)[0] == "line 5"
    pane.update(numbered(1, 30))
    await pilot.pause()
    assert rows(pane)[0] == "line 5"
    pane.show(numbered(1, 40), end=True)
    await pilot.pause()
    assert rows(pane)[-1] == "line 40"


@driven
async def test_what_comes_above_moves_nothing(pilot: Pilot[None], pane: TextPane) -> None:
    pane.show(numbered(5, 20))
    await pilot.pause()
    pane.update(numbered(4, 20), above=True)
    assert rows(pane)[0] == "line 4"  # at the top the newest is what is wanted
    pane.scroll_down(animate=False)
    await pilot.pause()
    pane.update(numbered(1, 20), above=True)
    await pilot.pause()
    assert rows(pane)[0] == "line 5"


@driven
async def test_long_paragraphs_are_wrapped_and_wrapped_again(
    pilot: Pilot[None], pane: TextPane
) -> None:
    pane.show([Content("one two three four five six"), Content("[INST] stays\nas it is")])
    await pilot.pause()
    assert rows(pane) == ["one two three four", "five six", "[INST] stays", "as it is"]
    await pilot.resize_terminal(13, 8)
    await pilot.pause()
    assert rows(pane) == ["one two", "three four", "five six", "[INST] stays"]
    assert pane.text == "one two three four five six\n[INST] stays\nas it is"


@driven
async def test_the_end_stays_in_sight_in_another_size(pilot: Pilot[None], pane: TextPane) -> None:
    pane.show(numbered(1, 9), end=True)
    await pilot.pause()
    pane.styles.height = 2
    await pilot.pause()
    assert rows(pane) == ["line 8", "line 9"]
    pane.styles.height = 6
    await pilot.pause()
    pane.add(numbered(10, 10))
    await pilot.pause()
    assert rows(pane)[-1] == "line 10"


@driven
async def test_the_same_text_again_draws_nothing(pilot: Pilot[None], pane: TextPane) -> None:
    pane.show(numbered(1, 9))
    await pilot.pause()
    asked: list[object] = []
    pane.refresh = lambda *regions, **_: asked.append(regions) or pane  # type: ignore[method-assign]
    pane.show(numbered(1, 9))
    pane.update(numbered(1, 9))
    pane.add([])
    assert not asked

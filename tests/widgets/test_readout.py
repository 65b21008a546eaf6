"""A readout draws the cells that changed, and no others."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.content import Content
from textual.geometry import Region

from qtui.terminal import columns
from qtui.widgets.readout import GAP, Readout, changed

LINES = st.text("ab 日e\u0301", max_size=30)


@given(LINES, LINES)
def test_every_cell_that_differs_lies_in_a_stretch(before: str, after: str) -> None:
    stretches = list(changed(Content(before), Content(after)))
    assert stretches == sorted(stretches)
    assert (not stretches) == (_padded(before, 60) == _padded(after, 60))
    inside = {cell for start, end in stretches for cell in range(start, end)}
    pairs = zip(_padded(before, 60), _padded(after, 60), strict=True)
    assert {at for at, (old, new) in enumerate(pairs) if old != new} <= inside
    assert all(later[0] - end > GAP for (_, end), later in itertools.pairwise(stretches))


def _padded(text: str, length: int) -> list[str]:
    cells: list[str] = []
    for character in text:
        width = columns(character)
        if width == 0 and cells:
            cells[-1] += character
        else:
            cells += [character, *[""] * (width - 1)]
    return cells + [" "] * (length - len(cells))


def test_a_wide_character_is_taken_whole() -> None:
    assert list(changed(Content("a日b"), Content("a本b"))) == [(1, 3)]
    assert list(changed(Content("a日b"), Content("axyb"))) == [(1, 3)]


def test_a_change_of_style_alone_is_a_change() -> None:
    plain, red = Content("value 17"), Content.assemble("value ", ("17", "red"))
    assert list(changed(plain, red)) == [(6, 8)]
    assert not list(changed(red, Content.assemble("value ", ("17", "red"))))


class Shown(App[None]):
    def compose(self) -> ComposeResult:
        yield Readout(Content("step 41 of 1200"), Content("loss 1.084"))


def test_only_what_changed_is_refreshed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        app = Shown()
        async with app.run_test(size=(40, 5)) as pilot:
            readout = app.query_one(Readout)
            await pilot.pause()
            asked: list[tuple[Region, ...]] = []
            monkeypatch.setattr(readout, "refresh", lambda *regions, **_: asked.append(regions))
            readout.show(Content("step 41 of 1200"), Content("loss 1.084"))
            assert not asked
            readout.show(Content("step 42 of 1200"), Content("loss 1.083"))
            assert asked == [(Region(6, 0, 1, 1), Region(9, 1, 1, 1))]

    asyncio.run(scenario())


def test_rows_come_and_go_with_the_lines() -> None:
    async def scenario() -> None:
        app = Shown()
        async with app.run_test(size=(20, 6)) as pilot:
            readout = app.query_one(Readout)
            await pilot.pause()
            assert readout.size.height == 2
            readout.show()
            await pilot.pause()
            assert readout.size.height == 0
            readout.show(*(Content(f"row {n} that is far too long for it") for n in range(3)))
            await pilot.pause()
            assert readout.size.height == 3
            assert readout.render_line(1).text == "row 1 that is far t…"

    asyncio.run(scenario())

"""A dialog closes once, however often it is told to."""

from __future__ import annotations

import asyncio
from pathlib import Path

from qtui.screens.dialogs import Ask
from tests.dashboard.harness import drive, until


def test_two_enters_at_once_close_one_dialog(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with drive(tmp_path) as pilot:
            app = pilot.app
            answers: list[str | None] = []
            app.push_screen(Ask("One?", "", "a"), answers.append)
            app.push_screen(Ask("Two?", "", "b"), answers.append)
            await until(pilot, lambda: app.focused is not None)
            above = app.screen
            assert isinstance(above, Ask)
            above.dismiss("b")
            above.dismiss("b")
            await until(pilot, lambda: app.screen is not above)
            assert isinstance(app.screen, Ask)
            assert answers == ["b"]
            below = app.screen
            below.dismiss(None)
            below.dismiss(None)
            await pilot.pause()
            assert app.current_mode == "home"

    asyncio.run(asyncio.wait_for(scenario(), 60))

"""Keys that come together take effect in their order."""

from __future__ import annotations

import asyncio

from textual import events
from textual.app import App, ComposeResult
from textual.widgets import Input

from qtui.widgets.text_line import TextLine


class Typed(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def compose(self) -> ComposeResult:
        yield TextLine("130")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.said.append(event.value)

    def key_f5(self) -> None:
        self.said.append("f5")


def typed(*keys: tuple[str, str | None]) -> list[str]:
    """What is submitted when all `keys` come at one moment, and what comes after."""

    async def scenario() -> list[str]:
        app = Typed()
        async with app.run_test() as pilot:
            await pilot.pause()
            for key, character in keys:
                app.post_message(events.Key(key, character))
            while len(app.said) < sum(key in ("enter", "f5") for key, _ in keys):
                await pilot.pause()
            return app.said

    return asyncio.run(asyncio.wait_for(scenario(), 60))


def test_keys_of_the_field_and_letters_keep_their_order() -> None:
    assert typed(
        ("backspace", "\x7f"), ("4", "4"), ("0", "0"), ("left", None), ("7", "7"), ("enter", "\r")
    ) == ["470"]


def test_keys_that_are_not_the_fields_own_go_on_to_the_application() -> None:
    said = typed(("f5", None), ("5", "5"), ("end", None), ("enter", "\r"))
    assert sorted(said) == ["5", "f5"]

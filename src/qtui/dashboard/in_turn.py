"""Keys in their turn: one is handed over when the one before has been dealt with.

Over a slow line several keys come at once. Textual gives all of them to what has the focus at that
moment, before the first has done anything: of `/quiet` the letters went to the list and not to the
field that `/` opens, where `q` asks whether to leave. So each key is followed by a message that
takes the same way, down to the focus and up again to the application; when it is back, the key has
done its work, and once the screen is drawn the next key may come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from qtui.app import QtuiApp


class InTurn(Message):
    """Follows a key; `then` is called when the key has been dealt with."""

    def __init__(self, then: Callable[[], object], *, returning: bool = False) -> None:
        super().__init__()
        self.then = then
        self.returning = returning


def pass_on(app: QtuiApp, message: InTurn) -> None:
    """Send `message`, which has reached the application, down; or, when it is back, end it."""
    if message.returning:
        app.screen.call_after_refresh(message.then)
    else:
        (app.focused or app.screen).post_message(InTurn(message.then, returning=True))

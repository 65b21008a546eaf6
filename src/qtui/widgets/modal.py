"""What all dialogs are: screens over the screen, which close once."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

Result = TypeVar("Result")


class Modal(ModalScreen[Result]):
    """A `ModalScreen` that a second enter, or a double click, does not close twice.

    Textual would take whatever lies under it off the stack, or crash where nothing does.
    """

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Close with `result`; does nothing once it is closed."""
        return super().dismiss(result) if self.is_current else AwaitComplete()

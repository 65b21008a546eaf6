"""Lists to pick from of which entries can be removed: saved prompts, conversations."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from textual import work

from qtui import keymap, wording
from qtui.chat.history import History
from qtui.dashboard.background import off_loop
from qtui.errors import QtuiError
from qtui.screens.picker import NOTHING, PICKED, Entry, Picker
from qtui.terminal import clean_line

NEW = "new"
"""Value of the entry that begins a new conversation."""


class RemovingPicker(Picker):
    """A `Picker` whose entry under the cursor can be removed: `remove` does it, in a thread."""

    CSS_PATH = "../picker.tcss"
    BINDINGS = [*keymap.bindings("chat_list")]

    def __init__(
        self,
        title: str,
        gather: Callable[[], Sequence[Entry]],
        remove: Callable[[str], None],
        *,
        kept: Sequence[Entry] = (),
        hint: str,
    ) -> None:
        super().__init__(title, kept, hint=hint, gather=gather)
        self._remove = remove
        self._fixed = {entry.value for entry in kept}

    @work
    async def action_remove(self) -> None:
        """Remove the entry under the cursor for good."""
        value = self._list.key.removeprefix(PICKED)
        if self._list.key == NOTHING or value in self._fixed:
            return
        try:
            await off_loop(lambda: self._remove(value))
        except (QtuiError, OSError) as error:
            self.notify(clean_line(str(error), 200), severity="error", markup=False)
            return
        self._entries = [entry for entry in self._entries if entry.value != value]
        self._fill()


def conversations(history: History) -> list[Entry]:
    """The conversations that were kept, newest first. Reads the disk."""
    now = time.time()
    return [
        Entry(
            kept.id,
            clean_line(kept.title or "without a title", 44),
            f"{kept.count} prompt{'s' if kept.count != 1 else ''}, "
            f"{wording.age(now - kept.created)} ago",
        )
        for kept in history.list()
    ]


def prompts(history: History) -> list[Entry]:
    """The prompts that were kept, newest first. Reads the disk."""
    return [Entry(text, clean_line(text.strip(), 66)) for text in history.prompts()]

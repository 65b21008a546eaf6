"""The keys of choosing from a list, and of putting one together."""

from __future__ import annotations

from qtui.keymap.key import Key

KEYS = (
    Key("picker.up", "up", "move(-1)", "up", "The entry above.", bar=False),
    Key("picker.down", "down", "move(1)", "down", "The entry below.", bar=False),
    Key("picker.page_up", "pageup", "move(-12)", "page up", "A page of entries up.", bar=False),
    Key("picker.page_down", "pagedown", "move(12)", "page down", "A page down.", bar=False),
    Key("picker.leave", "escape", "leave", "cancel", "Choose nothing.", bar=False),
    Key("list.up", "up", "move(-1)", "up", "The entry above.", bar=False),
    Key("list.down", "down", "move(1)", "down", "The entry below.", bar=False),
    Key("list.done", "ctrl+s", "done", "done", "Take the list as it is now.", bar=False),
    Key("list.leave", "escape", "leave", "cancel", "Leave the list as it was.", bar=False),
)

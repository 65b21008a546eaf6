"""All keys of the dashboard in one table: what binds them, what shows them, what the help says.

A screen takes its bindings from here with `bindings("home")`; the help screen, the bottom line and
the user's remapping (`[keys]` in the config file) use the same entries, so they cannot disagree.
The entries stand in a module for each screen.
"""

from __future__ import annotations

from textual.binding import Binding

from qtui.keymap import chat, choosing, configure, data, everywhere, home, monitor, system
from qtui.keymap.key import EVERYWHERE as EVERYWHERE
from qtui.keymap.key import Key as Key

TABLE: tuple[Key, ...] = (
    *everywhere.KEYS,
    *home.KEYS,
    *monitor.KEYS,
    *configure.KEYS,
    *data.KEYS,
    *chat.KEYS,
    *choosing.KEYS,
    *system.KEYS,
)


def bindings(screen: str) -> list[Binding]:
    """The bindings of `screen` (`EVERYWHERE` for the application's own)."""
    return [
        Binding(
            key.keys,
            key.action,
            key.label,
            show=key.bar,
            id=key.id,
            tooltip=key.help,
            priority=key.priority,
        )
        for key in TABLE
        if key.screen == screen
    ]


def find(id: str) -> Key:
    """The entry with that id. Raises `KeyError` when there is none."""
    for key in TABLE:
        if key.id == id:
            return key
    raise KeyError(id)

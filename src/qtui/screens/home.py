"""All runs of the workspace."""

from __future__ import annotations

from qtui import keymap
from qtui.screens.frame import Frame


class HomeScreen(Frame):
    """The list of runs."""

    PLACE = "home"
    BINDINGS = [*keymap.bindings("home")]

"""The keys of System."""

from __future__ import annotations

from qtui.keymap.key import Key

KEYS = (
    Key("system.again", "r", "again", "look again", "Look for what is missing once more."),
    Key("system.copy", "y", "copy", "copy command", "Copy the command that mends the finding."),
    Key("system.gpu", "g", "next_gpu", "next GPU", "Show the details of the next GPU."),
    Key("system.up", "up,k", "move(-1)", "up", "The finding above.", bar=False),
    Key("system.down", "down,j", "move(1)", "down", "The finding below.", bar=False),
    Key("system.page_up", "pageup", "move(-5)", "page up", "Five findings up.", bar=False),
    Key("system.page_down", "pagedown", "move(5)", "page down", "Five findings down.", bar=False),
    Key("system.top", "home", "move(-1000)", "top", "To the first finding.", bar=False),
    Key("system.end", "end", "move(1000)", "end", "To the last finding.", bar=False),
)

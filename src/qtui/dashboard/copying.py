"""Copies a command to where it can be pasted from: the terminal's clipboard, and always a file.

The clipboard is asked by an escape code (OSC 52) that many terminals, tmux and screen ignore
without a word; the file is there whatever they do.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qtui.dashboard.background import off_loop
from qtui.terminal import clean, clean_line

if TYPE_CHECKING:
    from qtui.app import QtuiApp


def command_file() -> Path:
    """Where the command that was copied last lies."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    above = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    return above / "qtui" / "command.sh"


async def copy_command(app: QtuiApp, command: str) -> None:
    """Copy `command`, and say where it is."""
    safe = clean(command)
    app.copy_to_clipboard(safe)
    path = command_file()
    shown = clean_line(str(path).replace(str(Path.home()), "~", 1))

    def write() -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(safe + "\n")

    try:
        await off_loop(write)
    except OSError as error:
        app.say(f"Sent to the clipboard; {shown} could not be written: {error.strerror}", "warning")
        return
    app.say(f"Copied. If your terminal has no clipboard: {shown}")

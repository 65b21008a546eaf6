"""What the terminal on the other end can show, as far as the environment tells."""

from __future__ import annotations

import locale
import os
import shutil
import sys
from collections.abc import Mapping

import msgspec

from qtui.terminal import clean_line


class TerminalAbilities(msgspec.Struct, frozen=True, kw_only=True):
    """Size in cells, colours as a count (0: none wanted or none there), and what lies between."""

    is_terminal: bool
    columns: int
    lines: int
    term: str
    colours: int
    unicode: bool
    encoding: str
    multiplexer: str
    """tmux, screen, zellij or empty."""
    ssh: bool


def terminal_abilities(environment: Mapping[str, str] = os.environ) -> TerminalAbilities:
    """The abilities of the terminal that standard output goes to."""
    # Not `sys.stdout`: while the dashboard is up that is Textual's own, which is no terminal.
    stdout = sys.__stdout__
    is_terminal = stdout is not None and stdout.isatty()
    size = shutil.get_terminal_size()
    encoding = getattr(stdout, "encoding", None) or locale.getpreferredencoding(False)
    return TerminalAbilities(
        is_terminal=is_terminal,
        columns=size.columns,
        lines=size.lines,
        term=clean_line(environment.get("TERM", ""), 40),
        colours=colours(environment),
        unicode=encoding.lower().replace("-", "").replace("_", "") == "utf8",
        encoding=encoding,
        multiplexer=multiplexer(environment),
        ssh=bool(environment.get("SSH_CONNECTION") or environment.get("SSH_TTY")),
    )


def colours(environment: Mapping[str, str] = os.environ) -> int:
    """How many colours the terminal has: 0, 8, 16, 256 or 16,777,216.

    By the customs of NO_COLOR (no-color.org, when not empty), COLORTERM and TERM's suffixes.
    """
    term = environment.get("TERM", "")
    if environment.get("NO_COLOR") or term in ("", "dumb"):
        return 0
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit") or "direct" in term:
        return 1 << 24
    if "256color" in term:
        return 256
    if term.startswith(("vt100", "vt102", "vt220")):
        return 0
    return 8 if term.startswith(("linux", "ansi", "screen")) else 16


def multiplexer(environment: Mapping[str, str] = os.environ) -> str:
    """The terminal multiplexer that this runs in, or an empty string."""
    for variable, name in (("TMUX", "tmux"), ("ZELLIJ", "zellij"), ("STY", "screen")):
        if environment.get(variable):
            return name
    return ""

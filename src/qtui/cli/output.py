"""The one sink: everything that a command shows goes through here and comes out safe.

`guard` puts a `SafeStream` in the place of sys.stdout and sys.stderr, so that whatever is
printed in this process (by us, by argparse, by a library, as a traceback) is cleaned of control
characters on its way out, whether or not its author thought of it. Colour and the live status
line are the only control codes that leave, and only `Output` writes them, around text that was
cleaned before. Results go to stdout, everything else to stderr; with --json stdout carries JSON
in ASCII and nothing else. Without a UTF-8 locale everything is ASCII: in an 8-bit terminal the
middle bytes of a UTF-8 character would be control bytes.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from qtui import wording
from qtui.cli import table
from qtui.cli.table import Cell, Column, Part, Style, Styled
from qtui.terminal import clean, clean_line, columns, cut

__all__ = ["Cell", "Column", "Output", "Part", "SafeStream", "Style", "Styled", "guard"]

_SGR: Mapping[str, str] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}

# How the few typographic characters of our own texts read in ASCII.
_STATUS: Mapping[str, Style] = {
    "queued": "dim",
    "completed": "green",
    "stopped": "yellow",
    "failed": "red",
    "interrupted": "yellow",
}
"""Colours of the states; those of a living run share one."""

_IN_ASCII = str.maketrans(
    {"–": "-", "—": "-", "…": "...", "→": "->", "·": "-", "×": "x", "≥": ">=", "≤": "<=", "°": ""}
)


class SafeStream(io.TextIOBase):
    """A text stream that replaces every control character but newline and tab.

    It offers no `buffer`: there is no way round it by accident.
    """

    def __init__(self, raw: TextIO) -> None:
        super().__init__()
        self.raw = raw
        self.ascii_only = not _utf8(raw)
        if isinstance(raw, io.TextIOWrapper):
            raw.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        """Write `text`, cleaned; returns the number of characters given."""
        self.raw.write(self._encodable(clean(text)))
        return len(text)

    def write_control(self, code: str) -> None:
        """Write one of qtui's own control codes; never foreign text."""
        self.raw.write(code)

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        self.raw.flush()

    def isatty(self) -> bool:
        """Whether a terminal is at the other end."""
        return self.raw.isatty()

    def fileno(self) -> int:
        """The file descriptor behind the stream."""
        return self.raw.fileno()

    def writable(self) -> bool:
        """Always true."""
        return True

    def _encodable(self, text: str) -> str:
        if not self.ascii_only:
            return text
        return text.translate(_IN_ASCII).encode("ascii", "replace").decode("ascii")


def _utf8(stream: TextIO) -> bool:
    encoding = (stream.encoding or "").lower().replace("-", "")
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or ""
    return encoding == "utf8" and (not locale or "utf" in locale.lower())


def guard() -> tuple[SafeStream, SafeStream]:
    """Make sys.stdout and sys.stderr safe for the rest of the process; returns both."""
    if not isinstance(sys.stdout, SafeStream):
        sys.stdout = SafeStream(sys.stdout)
    if not isinstance(sys.stderr, SafeStream):
        sys.stderr = SafeStream(sys.stderr)
    return sys.stdout, sys.stderr


class Output:
    """What a command shows with. `json`: stdout carries JSON documents only."""

    def __init__(self, stdout: SafeStream, stderr: SafeStream, *, json: bool = False) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.json = json
        self.unicode = not stdout.ascii_only
        self._status = ""
        self._block = 0

    @property
    def width(self) -> int:
        """Columns of the terminal (or of $COLUMNS); 80 where that is not known."""
        return max(shutil.get_terminal_size((80, 24)).columns, 20)

    @property
    def live(self) -> bool:
        """Whether a status line makes sense: stderr is a terminal that can move its cursor."""
        return self.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")

    def line(self, *parts: Part) -> None:
        """A line of the result, on stdout."""
        self._write(self.stdout, parts)

    def note(self, *parts: Part) -> None:
        """A line about the result (progress, advice, a warning), on stderr."""
        self._write(self.stderr, parts)

    def document(self, value: Any) -> None:
        """`value` as JSON on one line of stdout; a number that JSON cannot hold becomes null."""
        text = json.dumps(_plain(value), ensure_ascii=True, allow_nan=False)
        self._write(self.stdout, (text,))

    def table(self, header: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
        """Aligned columns on stdout, fitted to the width of a terminal; whole in a pipe."""
        room = self.width - 1 if self.stdout.isatty() else None
        for line in table.lines(header, rows, room, ellipsis=self.sign("…", "~")):
            self._write(self.stdout, line, flush=False)
        self.stdout.flush()

    def status(self, text: str) -> None:
        """Replace the live line on stderr; an empty text removes it. Off a terminal: nothing."""
        if not self.live or text == self._status:
            return
        self._erase()
        self._status = text
        self._draw()

    def block(self, lines: Sequence[Sequence[Part]]) -> None:
        """Show `lines` on stdout, over the block shown before where stdout is a terminal."""
        over = self.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
        if over and self._block:
            self.stdout.write_control(f"\x1b[{self._block}F\x1b[J")
        for line in lines:
            self.line(*(self._fit(line) if over else line))
        self._block = len(lines)

    def sign(self, fancy: str, plain: str) -> str:
        """`fancy` where the terminal shows Unicode, else `plain`."""
        return fancy if self.unicode else plain

    def run_status(self, value: str) -> Styled:
        """A run's status as sign, word and colour."""
        return Styled(wording.status(value, unicode=self.unicode), _STATUS.get(value, "cyan"))

    def flush(self) -> None:
        """Hand everything to the operating system; raises BrokenPipeError if nobody reads."""
        self.stdout.flush()
        self.stderr.flush()

    def _write(self, stream: SafeStream, parts: Sequence[Part], *, flush: bool = True) -> None:
        status = self._status
        self._erase()
        if _colour(stream):
            for part in parts:
                if isinstance(part, str):
                    stream.write(part)
                else:
                    stream.write_control(f"\x1b[{_SGR[part.style]}m")
                    stream.write(part.text)
                    stream.write_control("\x1b[0m")
            stream.write("\n")
        else:
            stream.write("".join(map(table.text_of, parts)) + "\n")
        if flush:
            stream.flush()
        if status:
            self._status = status
            self._draw()

    def _erase(self) -> None:
        if self._status:
            self.stderr.write_control("\r\x1b[K")
            self.stderr.flush()
            self._status = ""

    def _draw(self) -> None:
        # One column stays free: a full last column makes some terminals wrap.
        self.stderr.write(clean_line(self._status, self.width - 1))
        self.stderr.flush()

    def _fit(self, line: Sequence[Part]) -> list[Part]:
        fitted: list[Part] = []
        room = self.width - 1
        for part in map(table.safe, line):
            text = part if isinstance(part, str) else part.text
            short = cut(text, room, self.sign("…", "~"))
            fitted.append(short if isinstance(part, str) else Styled(short, part.style))
            room -= columns(short)
            if short != text:
                break
        return fitted


def _colour(stream: SafeStream) -> bool:
    # https://no-color.org: set and not empty means none.
    return (
        stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") not in ("", "dumb")
    )


def _plain(value: Any) -> Any:
    """`value` as what json.dumps takes: structs become dicts, NaN and infinity null."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if value is None or isinstance(value, str | int | bool):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    import msgspec

    return _plain(msgspec.to_builtins(value))

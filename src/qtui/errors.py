"""Every error a user can meet, and the exit code each one ends a command with.

An error names the thing (`message`), the reason (part of the message) and the way out
(`remedy`). Each class is also its nearest built-in ancestor, so library code that catches
`ValueError` or `FileNotFoundError` keeps working.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_GATE = 3
EXIT_IMPOSSIBLE = 4
EXIT_STOPPED = 130


class QtuiError(Exception):
    """Something went wrong at run time; the root of all errors shown to a user."""

    exit_code: ClassVar[int] = EXIT_FAILED

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class InputError(QtuiError, ValueError):
    """What the user gave (a file, a path, a flag, a setting) cannot be used as it is."""

    exit_code = EXIT_INPUT


class NotFoundError(InputError, FileNotFoundError):
    """A run, file or folder that was named does not exist."""

    def __str__(self) -> str:
        return self.message


class ImpossibleError(QtuiError):
    """Not possible on this machine: no GPU, a missing package, too little disk or memory."""

    exit_code = EXIT_IMPOSSIBLE


class GateError(QtuiError):
    """A quality gate said no."""

    exit_code = EXIT_GATE


class StoppedError(QtuiError):
    """The user stopped it; not a failure."""

    exit_code = EXIT_STOPPED


class CorruptError(QtuiError):
    """A file that qtui wrote is damaged: a manifest, a checkpoint, an event log."""

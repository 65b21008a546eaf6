"""How the world asks something of a worker: lines appended to the run's `commands.jsonl`.

The worker reads them at every step boundary. A command asks; the answer is what the event log
shows next. Commands of an earlier life of the run are not obeyed by the next one: `launch` tells
the worker where the file ended when it was started. A worker that executes itself anew is still
in the same life, and reads that life's commands from their beginning: a stop is never missed.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from qtui.errors import InputError
from qtui.runs import durable
from qtui.runs.events import Command, command_decoder
from qtui.runs.state import FINAL, Status, settled

if TYPE_CHECKING:
    from qtui.runs.folder import Run

COMMANDS_FROM = "QTUI_COMMANDS_FROM"
"""Environment variable with the byte at which this life's commands begin."""

OVERRIDES = "QTUI_OVERRIDES"
"""Environment variable with the settings that a resumed run changes: a JSON object, key to value.

Only there when a resume changes something. The worker writes them down as a `resumed` event, so
that later resumes keep them."""


def send(run: Run, command: Command) -> None:
    """Ask `command` of the run's worker, from any process.

    Raises `InputError` when the run is over or was never started: nobody would read it.
    """
    now = settled(run)
    if now in FINAL:
        raise InputError(
            f"run {run.id} is {now.value}: there is no worker to ask", remedy="see `qtui runs list`"
        )
    if now is Status.QUEUED:
        raise InputError(
            f"run {run.id} has not started yet: there is no worker to ask",
            remedy="ask again when it runs, or delete it",
        )
    append(run.commands, command)


def append(path: Path, command: Command) -> None:
    """Write one command line to `path`; a torn line before it is ended first."""
    command = msgspec.structs.replace(command, time=time.time())
    line = msgspec.json.encode(command) + b"\n"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise durable.write_error(path, len(line), error) from error
    try:
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            line = b"\n" + line
        durable.append(fd, line, path)
    finally:
        os.close(fd)


class CommandReader:
    """The worker's end. Lines that are no command are counted in `ignored` and passed over."""

    def __init__(self, path: Path, offset: int | None = None) -> None:
        """Begin at byte `offset`; none: where `launch` said this life begins, else at the start."""
        self.path = path
        self.ignored = 0
        started = os.environ.get(COMMANDS_FROM, "")
        self.offset = offset if offset is not None else int(started) if started.isdecimal() else 0

    def poll(self) -> list[Command]:
        """The commands that came since the last call, oldest first; cheap when there are none."""
        try:
            if self.path.stat().st_size <= self.offset:
                return []
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                new = file.read()
        except FileNotFoundError:
            return []
        whole = new[: new.rfind(b"\n") + 1]
        self.offset += len(whole)
        commands: list[Command] = []
        for line in whole.split(b"\n"):
            if not line:
                continue
            try:
                commands.append(command_decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self.ignored += 1
        return commands

"""What the configure screen leaves on the disk: run files, commands, and runs.

All of this waits for the disk and belongs in a thread.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from pathlib import Path

from qtui.config.form import Form
from qtui.config.load import resolve_dict
from qtui.config.models import FineTuneConfig
from qtui.dashboard.copying import command_file
from qtui.errors import QtuiError
from qtui.runs import durable, folder, launch
from qtui.runs.folder import Run
from qtui.terminal import clean_line

DEFAULT_NAME = "run.yaml"


def exists(path: Path) -> bool:
    """Whether there is something of that name, also a link that leads nowhere."""
    return os.path.lexists(path)


def named(text: str, workspace: Path) -> Path:
    """The file that somebody means who typed `text`; relative ones lie in the workspace."""
    # pathlib's own raises for a user who is not there.
    return workspace.absolute() / os.path.expanduser(text.strip())  # noqa: PTH111


def write(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all. Raises QtuiError saying why not."""
    try:
        part = path.with_name(f".{path.name}.part")
        part.write_text(text, encoding="utf-8")
        try:
            part.replace(path)
        except OSError:
            part.unlink()
            raise
    except OSError as error:
        raise durable.write_error(path, len(text), error) from error
    except ValueError as error:
        raise QtuiError(f"{clean_line(str(path))} is no file name") from error


def command(form: Form, run_file: Path, workspace: Path) -> list[str]:
    """The words that start the run of `form`, which is written to `run_file` where it has to be.

    A form that its own file tells in full is named by that file; one on a preset needs no file.
    """
    if form.path is not None and not form.unsaved:
        words = ["qtui", "train", str(form.path.absolute())]
    elif form.preset is not None:
        words = form.command()
    else:
        words = ["qtui", "train", str(run_file)]
    here = workspace.absolute() == Path.cwd()
    return words if here else [*words, "--workspace", str(workspace.absolute())]


def write_command(form: Form, workspace: Path) -> tuple[str, Path]:
    """Write the command of `form` to a file of its own; returns it, quoted, and the file."""
    path = command_file()
    place = path.parent
    text = form.rebased(place).yaml()
    # Named by what it says, so that an older command keeps meaning what it meant.
    run_file = place / f"run-{hashlib.sha256(text.encode()).hexdigest()[:8]}.yaml"
    words = command(form, run_file, workspace)
    line = shlex.join(words)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise durable.write_error(place, 4096, error) from error
    if str(run_file) in words:
        write(run_file, text)
    write(path, f"#!/bin/sh\ncd {shlex.quote(str(Path.cwd()))} &&\n{line}\n")
    return line, path


def start(form: Form, config: FineTuneConfig, workspace: Path) -> Run:
    """Make the run of `config` and start its worker. Raises QtuiError when it does not start."""
    run = folder.create(
        workspace,
        kind="train",
        config=resolve_dict(config),
        command=command(form, Path(DEFAULT_NAME), workspace),
        name=config.training.run_name,
    )
    launch.launch(run)
    return run

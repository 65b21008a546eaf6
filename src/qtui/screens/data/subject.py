"""What the data screen is opened on: a run and its data, or settings whose data nobody prepared.

All of this reads the disk and belongs in a thread. Which run file stands behind a run is known
only from its command: it counts when it is still there and names the same data.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtui.errors import QtuiError
from qtui.runs import data_choices, folder, preparing
from qtui.runs.data_choices import Choices
from qtui.runs.folder import Run
from qtui.runs.state import Status, status
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from qtui.config.form import Form

SAME_DATA = 50
"""Runs that are looked through for the data of a form."""
_BEFORE = (
    Status.INITIALIZING,
    Status.LOADING_DATASET,
    Status.LOADING_MODEL,
    Status.CONFIGURING_LORA,
)
_TAKE_A_FILE = ("train", "prepare-data", "validate")


@dataclass(frozen=True)
class Subject:
    """The run (none: nothing is prepared), and the settings that a new preparation takes: those of
    the run `file`, else of the `form`, else of the run.

    `origin` is what the data come from; `frozen` and `wanted` are the rows to drop and keep as this
    preparation had them and as the run file says now; `trouble` why the run file cannot be read.
    """

    run: Run | None = None
    status: Status | None = None
    kind: str = ""
    ready: bool = False
    form: Form | None = None
    file: Path | None = None
    origin: str = ""
    command: tuple[str, ...] = ()
    frozen: Choices = field(default_factory=Choices)
    wanted: Choices = field(default_factory=Choices)
    trouble: str = ""
    sought: bool = False
    """Whether the run file was looked for."""

    @property
    def name(self) -> str:
        """How the run is called."""
        return clean_line(self.run.name) if self.run is not None else ""

    @property
    def living(self) -> bool:
        """Whether a worker is about to prepare the data."""
        return self.run is not None and not self.ready and self.status in _BEFORE

    @property
    def failed(self) -> bool:
        """Whether this is a preparation that came to nothing: its log says why."""
        ended = self.status in (Status.FAILED, Status.STOPPED, Status.INTERRUPTED)
        return self.kind == preparing.KIND and not self.ready and ended


def of_run(run: Run, workspace: Path, file: Path | None = None) -> Subject:
    """The data of `run`, which may have none yet; `file` is the run file it was made from, if that
    is known: else it is not looked for. Raises QtuiError for a run that cannot be read."""
    spec = run.spec
    frozen = data_choices.of_config(spec.config)
    found = Subject(
        run=run,
        status=status(run),
        kind=spec.kind,
        ready=preparing.prepared(run),
        origin=_origin(spec.config),
        command=_twin(spec.command, None, workspace),
        frozen=frozen,
        wanted=frozen,
    )
    return found if file is None else _with(found, file, workspace)


def with_file(found: Subject, workspace: Path) -> Subject:
    """`found` with its run file, where there is one: takes longer than to read the data."""
    if found.sought or found.run is None:
        return found
    try:
        spec = found.run.spec
        return _with(found, _file_of(spec.config, spec.command, workspace), workspace)
    except (QtuiError, OSError):  # the run is gone; its data may still be open
        return replace(found, sought=True)


def _with(found: Subject, file: Path | None, workspace: Path) -> Subject:
    if file is None:
        return replace(found, sought=True)
    wanted, trouble = found.frozen, ""
    try:
        wanted = data_choices.read(file)
    except QtuiError as error:
        trouble = str(error)
    twin = _twin([], file, workspace)
    return replace(found, file=file, sought=True, command=twin, wanted=wanted, trouble=trouble)


def newest(workspace: Path) -> Subject:
    """The data that were prepared last; without any, a subject without a run."""
    run = preparing.newest_prepared(workspace)
    return Subject() if run is None else of_run(run, workspace)


def of_run_or_newest(run: Run, workspace: Path) -> Subject:
    """The data of `run`; the newest ones where it has none and is not about to have some."""
    found = of_run(run, workspace)
    if found.ready or found.living:
        return found
    other = newest(workspace)
    return other if other.run is not None else found


def of_form(form: Form, workspace: Path) -> Subject:
    """The data that were prepared with just these settings; else a subject without a run."""
    from qtui.config.load import resolve_dict

    file = form.path if form.path is not None and not form.unsaved else None
    if form.config is None:
        return Subject(form=form, file=file)
    config = resolve_dict(form.config)
    for run in folder.all_runs(workspace)[:SAME_DATA]:
        try:
            if preparing.prepared(run) and _same(run.spec.config, config):
                return of_run(run, workspace, file)
        except QtuiError:  # a run that cannot be read has no data either
            continue
    frozen = data_choices.of_config(config)
    words = form.command() if file is None and form.preset is not None else []
    return Subject(
        form=form,
        file=file,
        origin=_origin(config),
        command=_twin(words, file, workspace),
        frozen=frozen,
        wanted=frozen,
        sought=True,
    )


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    from qtui.screens.configure.data import MATTERS

    return all(_value(one, key) == _value(other, key) for key in MATTERS)


def _value(config: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    found = config.get(section)
    return found.get(name) if isinstance(found, dict) else None


def _origin(config: Mapping[str, Any]) -> str:
    given = _value(config, "data.input_path")
    paths = given if isinstance(given, list) else [given]
    return clean_line(", ".join(Path(str(path)).name or str(path) for path in paths))


def _file_of(config: Mapping[str, Any], words: list[str], workspace: Path) -> Path | None:
    """The run file that the command names, where it still names the data of `config`."""
    from qtui.config import run_file
    from qtui.config.load import load

    if len(words) < 3 or words[1] not in _TAKE_A_FILE:
        return None
    named = [word for word in words[2:] if word.endswith((".yaml", ".yml"))]
    for path in (base / named[0] for base in (workspace, Path.cwd()) if named):
        if not path.is_file() or run_file.read(path).problems:
            continue
        try:
            data = load(path, environ={}).data
        except QtuiError:
            continue
        if data.input_path == _value(config, "data.input_path"):
            return path.absolute()
    return None


def _twin(words: list[str], file: Path | None, workspace: Path) -> tuple[str, ...]:
    """The command that prepares the same in a terminal; empty where none is known."""
    here = () if workspace.absolute() == Path.cwd() else ("--workspace", str(workspace.absolute()))
    if file is not None:
        shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
        return ("qtui", "prepare-data", str(shown), *here)
    if len(words) > 2 and words[1] in _TAKE_A_FILE:
        return ("qtui", "prepare-data", *words[2:])
    return ()


def spoken(command: tuple[str, ...]) -> str:
    """A command as it is typed; with `RUN_FILE` where it is not known which."""
    return clean_line(shlex.join(command or ("qtui", "prepare-data", "RUN_FILE")))

"""A run is a folder, and this is the folder: made, opened, found, listed, deleted.

Everything about a run lies in it and nothing in it is absolute, so that a copy opens on another
machine. `run.json` is written once, atomically, and makes the folder a run; whatever else lies in
`runs/` is left alone. No reference to a run can lead out of the workspace.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from qtui.errors import CorruptError, InputError, NotFoundError, QtuiError
from qtui.runs import durable, naming
from qtui.terminal import clean_line

SCHEMA_VERSION = 1
FOLDER = "runs"
TRASH = ".trash-"
SPEC = "run.json"
SERVE = "serve"
"""`RunSpec.kind` of a server's run."""
_HIDDEN = re.compile(r"^\.")


class RunSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What was wanted, and where from: the content of `run.json`. Never changes."""

    schema_version: int
    id: str
    kind: str
    """train, prepare or serve."""
    created: float
    """Unix time in seconds."""
    config: dict[str, Any]
    """The resolved run file."""
    versions: dict[str, str] = {}
    git: dict[str, Any] | None = None
    host: dict[str, Any] = {}
    command: list[str] = []
    """The command line, secrets masked."""


class _Version(msgspec.Struct):
    schema_version: int


_version = msgspec.json.Decoder(_Version)
_spec = msgspec.json.Decoder(RunSpec)


@dataclass(frozen=True)
class Run:
    """A run's folder at `path`; opening one reads nothing until it is asked."""

    path: Path

    @property
    def id(self) -> str:
        """The folder's name, `20261120-154210-quiet-otter`."""
        return self.path.name

    @property
    def name(self) -> str:
        """The id without its time, `quiet-otter`."""
        return naming.name_of(self.id)

    @cached_property
    def spec(self) -> RunSpec:
        """`run.json`. Raises `NotFoundError` when absent, `CorruptError` when unreadable."""
        return _read_spec(self.path / SPEC)

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def commands(self) -> Path:
        return self.path / "commands.jsonl"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def worker_log(self) -> Path:
        return self.path / "worker.log"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def data(self) -> Path:
        return self.path / "data"


def _read_spec(path: Path) -> RunSpec:
    shown = clean_line(str(path))
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(
            f"{shown} does not exist: this folder is no run", remedy="see `qtui runs list`"
        ) from error
    except OSError as error:
        raise CorruptError(f"{shown} cannot be read: {error.strerror}") from error
    try:
        version = _version.decode(text).schema_version
        if version > SCHEMA_VERSION:
            raise CorruptError(
                f"{shown} was written by a newer qtui (layout {version}; this one knows "
                f"{SCHEMA_VERSION})",
                remedy="update qtui: pip install --upgrade qtui",
            )
        return _spec.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptError(
            f"{shown} is damaged: {clean_line(str(error))}",
            remedy="restore the file from a copy; the run's other files can be read without it",
        ) from error


def create(
    workspace: Path,
    *,
    kind: str,
    config: Mapping[str, Any],
    command: Sequence[str],
    name: str | None = None,
) -> Run:
    """Make the folder of a new run and freeze what is wanted in its `run.json`.

    `config` is the resolved run file as plain JSON types. Two that are made at the same moment
    never share a folder: making it is the test. Raises `InputError` for a name of which nothing
    can be kept, `QtuiError` when the disk is full or the workspace cannot be written.
    """
    from qtui.runs import provenance

    wanted = naming.safe_name(name) if name is not None else None
    created = time.time()
    parent = workspace / FOLDER
    try:
        parent.mkdir(parents=True, exist_ok=True)
        path = _new_folder(parent, naming.stamp(created), wanted)
    except OSError as error:
        raise durable.write_error(parent, 4096, error) from error
    spec = RunSpec(
        schema_version=SCHEMA_VERSION,
        id=path.name,
        kind=kind,
        created=created,
        config=dict(config),
        versions=provenance.versions(),
        git=provenance.git(workspace),
        host=dict(provenance.host()),
        command=provenance.mask(command),
    )
    try:
        text = msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n"
        durable.write_once(path / SPEC, text)
        durable.sync_folder(parent)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return Run(path)


def _new_folder(parent: Path, stamp: str, name: str | None) -> Path:
    """Make a folder that was not there. A wanted name that is taken this second gets a number."""
    for attempt in range(1, 1000):
        if name is None:
            chosen = naming.random_name()
            if attempt > 20:  # hundreds within one second
                import secrets

                chosen += f"-{secrets.token_hex(3)}"
        else:
            chosen = name if attempt == 1 else f"{name}-{attempt}"
        path = parent / f"{stamp}-{chosen}"
        try:
            path.mkdir(mode=0o755)
        except FileExistsError:
            continue
        return path
    raise QtuiError(f"{clean_line(str(parent))} has no free name left for this second")


def all_runs(workspace: Path) -> list[Run]:
    """The workspace's runs, newest first; what is no run is ignored, links that leave too."""
    parent = workspace / FOLDER
    try:
        entries = list(os.scandir(parent))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise QtuiError(
            f"{clean_line(str(parent))} cannot be read: {error.strerror}",
            remedy="check the folder's permissions",
        ) from error
    runs = [
        Run(parent / entry.name)
        for entry in entries
        if not _HIDDEN.match(entry.name)
        and (not entry.is_symlink() or _inside(parent, parent / entry.name))
        and os.path.isfile(f"{entry.path}/{SPEC}")  # noqa: PTH113 (a thousand of them: 3x faster)
    ]
    return _newest_first(runs)


def _newest_first(runs: list[Run]) -> list[Run]:
    stamps: dict[str, int] = {}
    for run in runs:
        stamps[_stamp(run)] = stamps.get(_stamp(run), 0) + 1
    # Names tell seconds apart; `run.json` is opened only where two runs share one.
    keys = {run: (_stamp(run), _created(run) if stamps[_stamp(run)] > 1 else 0.0) for run in runs}
    return sorted(runs, key=lambda run: (*keys[run], run.id), reverse=True)


def _stamp(run: Run) -> str:
    match = naming.ID.fullmatch(run.id)
    if match:
        return match["stamp"]
    try:
        return naming.stamp(_created(run))
    except (OverflowError, OSError, ValueError):  # damaged: no calendar has such a time
        return naming.stamp(0.0)


def _created(run: Run) -> float:
    try:
        return run.spec.created
    except QtuiError:  # damaged: it is still listed, as older than its second's others
        return 0.0


def _inside(parent: Path, path: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(parent.resolve(strict=True))
    except (OSError, RuntimeError):
        return False


def find(workspace: Path, ref: str) -> Run:
    """The run that `ref` means: a folder's name, an unambiguous beginning of it or of the name
    after the time, or `latest`.

    Raises `InputError` for a reference that is a path or fits several runs, `NotFoundError` for
    one that fits none.
    """
    shown = clean_line(ref, 80)
    if not ref or ref in (".", "..") or "\0" in ref or re.search(r"[/\\]", ref):
        raise InputError(
            f"{shown!r} is not a run's name",
            remedy=f"give the name of a folder in {FOLDER}/, its beginning, or `latest`",
        )
    parent = workspace / FOLDER
    if not _HIDDEN.match(ref) and (parent / ref).is_symlink() and not _inside(parent, parent / ref):
        raise InputError(
            f"run {shown!r} is a link that leaves the workspace",
            remedy=f"move the folder itself into {FOLDER}/, or use --workspace where it lies",
        )
    if not _HIDDEN.match(ref) and (parent / ref / SPEC).is_file():
        return Run(parent / ref)
    runs = all_runs(workspace)
    if ref == "latest" and runs:
        return runs[0]
    fitting = [run for run in runs if run.name == ref] or [
        run for run in runs if run.id.startswith(ref) or run.name.startswith(ref)
    ]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        some = ", ".join(clean_line(run.id) for run in fitting[:5])
        more = f" and {len(fitting) - 5} more" if len(fitting) > 5 else ""
        raise InputError(
            f"{shown!r} fits {len(fitting)} runs: {some}{more}", remedy="give more of the name"
        )
    raise NotFoundError(f"there is no run {shown!r} in {_shown(parent)}", remedy=_hint(ref, runs))


def _shown(path: Path) -> str:
    return clean_line(str(path))


def _hint(ref: str, runs: list[Run]) -> str:
    import difflib

    if not runs:
        return "there are no runs here yet; start one with `qtui train`, or give --workspace"
    by_word = {word.lower(): run for run in reversed(runs) for word in (run.id, run.name)}
    close = difflib.get_close_matches(ref.lower(), by_word, n=1, cutoff=0.5)
    if close:
        return f"did you mean {clean_line(by_word[close[0]].id)}?"
    return f"see `qtui runs list`; the latest is {clean_line(runs[0].id)}"


def delete(run: Run) -> None:
    """Remove the run for good. Raises `InputError` while its worker lives.

    It leaves the list at once and whole: the folder is renamed, then emptied. What an earlier
    deletion could not finish is finished by the next one.
    """
    import secrets

    from qtui.runs.lock import HeldError, RunLock

    lock = RunLock(run.lock)
    try:
        lock.acquire(timeout=0.5)
    except HeldError as error:
        raise InputError(
            f"run {clean_line(run.id)} has a living worker and is not deleted",
            remedy=f"stop it first: qtui runs stop {clean_line(run.id)}",
        ) from error
    with lock:
        trash = run.path.with_name(f"{TRASH}{run.id}-{secrets.token_hex(3)}")
        run.path.rename(trash)
    for left in run.path.parent.glob(f"{TRASH}*"):
        shutil.rmtree(left, ignore_errors=True)

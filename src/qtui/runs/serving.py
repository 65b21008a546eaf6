"""Serving as a run of its own: what is to be served, begun, found again, and where it listens.

What `qtui serve`, `qtui chat` and the chat screen share. A server is a run like any other: it is
stopped, attached to and listed like one, and whoever began it may leave.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtui.config.serve import (
    GGUF,
    KEY_VARIABLE,
    Quantization,
    ServeConfig,
    ServedAdapter,
    ServedModel,
)
from qtui.errors import ImpossibleError, InputError, NotFoundError, QtuiError
from qtui.runs import folder, state
from qtui.runs.events import ArtifactEvent, FailedEvent, FinishedEvent, PhaseEvent
from qtui.runs.folder import Run
from qtui.runs.log import EventReader
from qtui.terminal import clean_line

SERVER = "server"
"""`ArtifactEvent.kind` by which a server says where it listens: `detail` has `url` and, for a
Unix socket, `socket`."""


_SHORTEST_KEY = 16


@dataclass(frozen=True)
class Address:
    """Where a server listens: `url` without a path; through `socket` where there is one."""

    url: str
    socket: str | None = None


@dataclass(frozen=True)
class Subject:
    """What is to be talked to: a base model and adapters of it."""

    model: ServedModel
    adapters: tuple[ServedAdapter, ...] = ()


def subject(
    workspace: Path, refs: Sequence[str], *, quantization: Quantization | None = None
) -> Subject:
    """What `refs` name: runs, checkpoints (`RUN@STEP`, `RUN@last`), or one base model.

    A run stands for its adapter, or for its newest checkpoint while it has none. The base is the
    one that the runs were trained on, held as it was then unless `quantization` says otherwise. A
    base is a folder, a .gguf file, a hub id or `builtin:tiny`.

    Raises:
        NotFoundError: there is no such run, and nothing else of that name.
        InputError: a run has nothing to talk to yet, or the refs are of different bases.
    """
    found = [_one(workspace, ref, quantization) for ref in refs]
    first = found[0]
    for ref, other in zip(refs, found, strict=True):
        if _base(other.model) != _base(first.model):
            raise InputError(
                f"{clean_line(ref)} is of the base {_base(other.model)}, but "
                f"{clean_line(refs[0])} of {_base(first.model)}",
                remedy="one server has one base model: start a second one for the other",
            )
    return Subject(first.model, tuple(_apart(each for one in found for each in one.adapters)))


def _apart(adapters: Iterable[ServedAdapter]) -> list[ServedAdapter]:
    """Each adapter once, and no two under one name: runs may have the same."""
    names: dict[str, str] = {}
    for each in adapters:
        if each.path in names.values():
            continue
        name, number = each.name, 2
        while name in names:
            name, number = f"{each.name}-{number}", number + 1
        names[name] = each.path
    return [ServedAdapter(name=name, path=path) for name, path in names.items()]


def _base(model: ServedModel) -> str:
    at = f" at {model.revision}" if model.revision else ""
    return clean_line(f"{model.model_name}{at}")


def _one(workspace: Path, ref: str, quantization: Quantization | None) -> Subject:
    name, _, wanted = ref.partition("@")
    try:
        run = find(workspace, name)
    except (NotFoundError, InputError) as error:
        if _is_model(ref):
            return Subject(_model(ref, quantization))
        if "/" in ref or "\\" in ref:
            raise NotFoundError(
                f"{clean_line(ref)} is neither a run nor a model's folder",
                remedy="give a run (qtui runs list), a folder with config.json, a .gguf file or "
                "a hub id such as Qwen/Qwen2.5-0.5B-Instruct",
            ) from error
        raise
    return of_run(workspace, run, wanted or None, quantization)


def find(workspace: Path, name: str) -> Run:
    """The run that `name` means to who wants to talk to it: `latest` is the newest that trains,
    however many servers came after it. Raises as `folder.find` does."""
    if name == "latest":
        for run in folder.all_runs(workspace):
            with suppress(QtuiError):
                if run.spec.kind == "train":
                    return run
    return folder.find(workspace, name)


def _model(ref: str, quantization: Quantization | None) -> ServedModel:
    # The worker is at home in the workspace, which need not be where this was said.
    name = os.path.abspath(ref) if Path(ref).exists() else ref  # noqa: PTH100 (no ./)
    if not name.lower().endswith(GGUF):
        return ServedModel(model_name=name, quantization=quantization or "nf4")
    if quantization is not None:
        raise InputError(
            f"{clean_line(ref)} is quantised already, and not anew as {quantization}",
            remedy="leave --quantization out, or take another .gguf file",
        )
    return ServedModel(model_name=name, quantization="none")


def _is_model(ref: str) -> bool:
    path = Path(ref)
    if ref.startswith("builtin:") or path.is_dir():
        return True
    if ref.lower().endswith(GGUF):
        return path.is_file()
    # A hub id: ORG/NAME, where nothing of that name lies here.
    return ref.count("/") == 1 and not ref.startswith((".", "/", "~")) and not path.exists()


def of_run(
    workspace: Path, run: Run, step: str | None = None, quantization: Quantization | None = None
) -> Subject:
    """The base and the adapter of `run`: its result, or the checkpoint of `step` (a number or
    `last`).

    Raises InputError when the run has none, or is of a kind that trains nothing.
    """
    config = run.spec.config
    if run.spec.kind == folder.SERVE:
        if step is not None:
            raise InputError(
                f"{clean_line(run.id)} is a server: it has no checkpoints",
                remedy="name the training run; see qtui runs list",
            )
        served = ServeConfig.model_validate(config)
        held_as = {"quantization": quantization or served.model.quantization}
        return Subject(served.model.model_copy(update=held_as), tuple(served.adapters))
    model = config.get("model")
    if run.spec.kind != "train" or not isinstance(model, dict):
        raise InputError(
            f"{clean_line(run.id)} is a run of kind {clean_line(run.spec.kind)}: it has no model",
            remedy="name a training run; see qtui runs list",
        )
    name, path = _weights(run, step)
    full = bool(model.get("full_finetuning"))
    held = quantization or ("nf4" if model.get("use_qlora", True) and not full else "none")
    base = ServedModel(
        model_name=str(path) if full else str(model["model_name"]),
        revision=None if full else model.get("revision"),
        trust_remote_code=bool(model.get("trust_remote_code", False)),
        quantization=held,
    )
    if full:
        return Subject(base)
    inside = path.is_relative_to(workspace)
    shown = path.relative_to(workspace) if inside else path
    return Subject(base, (ServedAdapter(name=name, path=str(shown)),))


def _weights(run: Run, step: str | None) -> tuple[str, Path]:
    """The name to serve them under, and their folder."""
    result = run.adapter if run.adapter.is_dir() else run.path / "model"
    if step is None and result.is_dir():
        return run.name, result
    steps = checkpoint_steps(run)
    if not steps:
        raise InputError(
            f"{clean_line(run.id)} has no adapter and no checkpoint yet",
            remedy=f"qtui runs save {clean_line(run.id)} asks for one at the next step"
            if state.worker_lives(run)
            else f"qtui runs resume {clean_line(run.id)} goes on with it",
        )
    if step is None or step == "last":
        number = steps[-1]
    elif step.isdecimal() and int(step) in steps:
        number = int(step)
    else:
        raise NotFoundError(
            f"{clean_line(run.id)} has no checkpoint of step {clean_line(step)}",
            remedy="it has those of " + ", ".join(str(each) for each in steps[-8:]),
        )
    return f"{run.name}@{number}", run.checkpoints / f"step-{number:06d}"


def checkpoint_steps(run: Run) -> list[int]:
    """Steps of the checkpoints that are complete, ascending."""
    found = run.checkpoints.glob("step-*/manifest.json")
    names = [path.parent.name[5:] for path in found]
    return sorted(int(name) for name in names if name.isdecimal())


def create(
    workspace: Path, config: ServeConfig, command: Sequence[str], *, name: str | None = None
) -> Run:
    """Make the folder of the run that is to serve `config`; `launch.launch` starts its worker."""
    frozen: dict[str, Any] = config.model_dump(mode="json")
    return folder.create(workspace, kind=folder.SERVE, config=frozen, command=command, name=name)


def address(run: Run) -> Address | None:
    """Where `run` listens; none while it does not yet, or no longer."""
    found: Address | None = None
    for event in EventReader(run.events).poll():
        if isinstance(event, ArtifactEvent) and event.kind == SERVER:
            socket = event.detail.get("socket")
            found = Address(str(event.detail["url"]), str(socket) if socket else None)
        elif isinstance(event, FinishedEvent | FailedEvent) or (
            isinstance(event, PhaseEvent) and event.phase == "initializing"
        ):
            found = None
    return found if found is not None and state.worker_lives(run) else None


def living(workspace: Path) -> list[Run]:
    """The servers of this workspace that live, newest first; some may not listen yet."""
    found = []
    for run in folder.all_runs(workspace):
        with suppress(QtuiError):
            if run.spec.kind == folder.SERVE and state.worker_lives(run):
                found.append(run)
    return found


def serves(run: Run, wanted: Subject) -> bool:
    """Whether `run` can answer for `wanted`: the same base, held alike.

    Adapters need not have been named at its start: a server loads those of its workspace's runs
    when they are first asked for.
    """
    config = ServeConfig.model_validate(run.spec.config)
    return (
        config.model.model_name == wanted.model.model_name
        and config.model.revision == wanted.model.revision
        and config.model.quantization == wanted.model.quantization
    )


def checked(values: dict[str, Any]) -> ServeConfig:
    """A server's settings from plain values, every problem named. Raises InputError."""
    from pydantic import ValidationError

    try:
        return ServeConfig.model_validate(values)
    except ValidationError as error:
        problems = [
            ": ".join(filter(None, (".".join(map(str, found["loc"])), found["msg"])))
            for found in error.errors()
        ]
        raise InputError("; ".join(problems), remedy="see qtui serve --help") from error


def check_key(config: ServeConfig, key: str | None) -> None:
    """Raise InputError for a server that would be open to others, or a key that is none.

    A server that began with a key does not serve again without one.
    """
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise InputError(
            f"the key in {KEY_VARIABLE} has characters that no HTTP header can carry",
            remedy=f'export {KEY_VARIABLE}="$(openssl rand -hex 24)" makes a good one',
        )
    if key is None and config.keyed:
        raise InputError(
            "this server asked for a key, and there is none now",
            remedy=f"export {KEY_VARIABLE} as it was, or start another with qtui serve",
        )
    if config.socket or is_loopback(config.host):
        return
    shown = clean_line(config.host)
    if key is None:
        raise InputError(
            f"listening on {shown} needs a key: others can reach it",
            remedy=f'export {KEY_VARIABLE}="$(openssl rand -hex 24)", or listen on 127.0.0.1',
        )
    if len(key) < _SHORTEST_KEY:
        raise InputError(
            f"the key in {KEY_VARIABLE} has {len(key)} characters; listening on {shown} needs "
            f"{_SHORTEST_KEY}",
            remedy=f'export {KEY_VARIABLE}="$(openssl rand -hex 24)" makes a good one',
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    import ipaddress

    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def ended_by(end: FailedEvent) -> QtuiError:
    """The error that ended a server, as an error of whoever waits for it."""
    kinds = (InputError, ImpossibleError)
    kind = next((kind for kind in kinds if kind.exit_code == end.exit_code), QtuiError)
    return kind(end.message, remedy=end.remedy)


def key() -> str | None:
    """The key that a server asks for, or that a client sends; from the environment alone."""
    return os.environ.get(KEY_VARIABLE) or None

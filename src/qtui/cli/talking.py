"""What `chat` and `generate` share: whom to ask, the server that is needed, how answers are drawn.

A server that was started for a command ends with it, however that ends, unless --keep is given or
somebody else talks to it by then; any other is left alone. Should the command be killed, the server
ends by itself some minutes later.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtui.chat import server
from qtui.chat.asks import Settings
from qtui.chat.client import Client, parse_url
from qtui.cli.interruption import all_as_ctrl_c, interruptible
from qtui.cli.output import Output, Styled
from qtui.cli.serve import chat_template
from qtui.errors import InputError, QtuiError
from qtui.runs import folder, serving
from qtui.runs.serving import Address
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from argparse import Namespace

    from qtui.runs.folder import Run
    from qtui.runs.serving import Subject

ORPHAN_MINUTES = 10.0
"""After how long without a request a server ends whose command was killed."""

_BASE = ""
_LIMITS: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_k": (-1, math.inf),
    "min_p": (0, 1),
    "repetition_penalty": (0, 10),
    "seed": (-(2**63), 2**63 - 1),
    "max_tokens": (1, math.inf),
}
"""What makes sense of each setting that is a number; the server has the last word."""


@dataclass(frozen=True)
class Whom:
    """Who is to be asked; known before there is a server."""

    models: tuple[str, ...]
    """Ids of models; an empty one is the base, whatever the server calls it. Empty: the first."""
    address: Address | None = None
    """Of a server elsewhere."""
    refs: tuple[str, ...] = ()
    subject: Subject | None = None
    """What a server here has to have; none for one elsewhere."""


@dataclass(frozen=True)
class Talk:
    """A server that listens."""

    address: Address
    run: Run | None = None
    """The server's run, where it is one of this workspace."""

    @property
    def name(self) -> str:
        """The server as a document names it."""
        return self.run.id if self.run is not None else self.address.url

    def ended(self) -> QtuiError | None:
        """Why the server's worker has ended; none while it lives, or where that is not known."""
        return None if self.run is None else server.ended(self.run)


def settings(arguments: Namespace) -> Settings:
    """How answers are drawn: what was given, else the usual."""
    given: dict[str, Any] = {
        name: value for name in _LIMITS if (value := getattr(arguments, name)) is not None
    }
    for name, value in given.items():
        least, most = _LIMITS[name]
        # Before a server is started for it, which takes its time. NaN is in no range.
        if not least <= value <= most:
            at_most = f" and at most {most:g}" if math.isfinite(most) else ""
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} is at least {least:g}{at_most}, not {value:g}")
    if "" in arguments.stop:
        raise InputError("--stop is empty", remedy="give the text before which the answer ends")
    if arguments.stop:
        given["stop"] = tuple(arguments.stop)
    if arguments.json_schema is not None:
        given["json_schema"] = _schema(arguments.json_schema)
    return Settings(**given)


def _schema(path: str) -> dict[str, Any]:
    shown = clean_line(path)
    try:
        found = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{shown} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{shown} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError(
            f"{shown} is no JSON Schema: it is not an object", remedy="{} means any JSON object"
        )
    return found


def whom(arguments: Namespace, out: Output, *, base: bool = False) -> Whom:
    """Who is meant; `base`: the base as well. Raises InputError for what does not go together,
    NotFoundError for what is not there."""
    if arguments.url is not None:
        return _elsewhere(arguments, base=base)
    if arguments.models:
        raise InputError(
            "--model is for a server at --url", remedy="name runs and models without it"
        )
    workspace = arguments.workspace
    refs = tuple(arguments.subjects) or (newest(workspace, out),)
    subject = serving.subject(workspace, refs, quantization=arguments.quantization)
    return Whom(_names(workspace, refs, base=base), None, refs, subject)


@contextmanager
def talk(whom: Whom, arguments: Namespace, out: Output) -> Iterator[Talk]:
    """The server to talk to, found or started and listening; stopped at the end if it was started.

    Raises QtuiError as `chat.server` does.
    """
    if whom.address is not None:
        yield Talk(whom.address)
        return
    assert whom.subject is not None
    template = arguments.chat_template and chat_template(arguments.chat_template)
    with all_as_ctrl_c():
        run, ours = server.begin(
            arguments.workspace, whom.subject, ["qtui", "serve", *whom.refs],
            idle_minutes=None if arguments.keep else ORPHAN_MINUTES,
            device=arguments.device, chat_template=template,
        )  # fmt: skip
        try:
            address = interruptible(server.ready(run, _Waiting(run, out).say))
            out.status("")
            yield Talk(address, run)
        finally:
            if ours and not arguments.keep:
                _end(run, out)
            out.status("")
        if ours and arguments.keep:
            out.note(f"{run.id} goes on serving; qtui runs stop {run.id} ends it")


def _end(run: Run, out: Output) -> None:
    if server.in_use(run):
        minutes = f"{ORPHAN_MINUTES:.0f} minutes"
        out.note(f"another qtui talks to {run.id}: it goes on, and ends when unused for {minutes}")
        return
    out.status(f"stopping {run.id}")
    server.stop(run)


class _Waiting:
    """Says what is waited for: on a terminal by the second, elsewhere when it is something else."""

    def __init__(self, run: Run, out: Output) -> None:
        self._run, self._out = run, out
        self._words = ""

    def say(self, words: str) -> None:
        shown = f"waiting for {self._run.id}: {words}"
        if self._out.live:
            self._out.status(shown)
        elif (what := words.rpartition(", ")[0]) != self._words:
            self._words = what
            self._out.note(shown)


def _elsewhere(arguments: Namespace, *, base: bool) -> Whom:
    for name in ("device", "quantization", "chat_template", "keep"):
        if getattr(arguments, name):
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} is for a server that is started here, not for --url")
    wanted = tuple(dict.fromkeys([*arguments.subjects, *arguments.models]))
    return Whom((_BASE, *wanted) if base else wanted, parse_url(arguments.url))


def newest(workspace: Path, out: Output) -> str:
    """The newest run that can be talked to. Raises InputError where there is none."""
    for run in folder.all_runs(workspace):
        try:
            if run.spec.kind == "train":
                serving.of_run(workspace, run)
                out.note(f"asking {clean_line(run.id)}")
                return run.id
        except (QtuiError, ValueError, KeyError):
            continue
    raise InputError(
        "no run of this workspace has anything to talk to yet",
        remedy="name a model (builtin:tiny, a folder, a hub id), or a server with --url",
    )


def _names(workspace: Path, refs: Sequence[str], *, base: bool) -> tuple[str, ...]:
    """The base first, then what the refs stand for, as the server names it."""
    each = [serving.subject(workspace, [ref]) for ref in refs]
    names = [one.adapters[-1].name if one.adapters else _BASE for one in each]
    return tuple(dict.fromkeys([_BASE, *names] if base else names))


@asynccontextmanager
async def connected(
    found: Talk, whom: Whom, out: Output
) -> AsyncIterator[tuple[Client, tuple[str, ...]]]:
    """A client of the server, and the ids of the models that are asked."""
    client = Client(found.address, name="" if found.run is None else found.run.id)
    try:
        if client.warning:
            out.note(Styled("warning: ", "yellow"), client.warning)
        yield client, await _ids(client, whom.models, out)
    finally:
        await client.aclose()


async def _ids(client: Client, wanted: tuple[str, ...], out: Output) -> tuple[str, ...]:
    if wanted and _BASE not in wanted:
        return wanted
    models = await client.models()
    if not models:
        raise QtuiError(f"{client.host} has no model", remedy="name one with --model")
    base = next((model.id for model in models if model.parent is None), models[0].id)
    if not wanted:
        if len(models) > 1:
            others = ", ".join(clean_line(model.id, 60) for model in models[:8])
            out.note(f"asking {clean_line(base)}; --model chooses another of: {others}")
        return (base,)
    return tuple(dict.fromkeys(name or base for name in wanted))

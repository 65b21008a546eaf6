"""`qtui serve`: a run, a checkpoint or a base model behind an OpenAI-compatible address."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtui.cli.output import Output, Styled
from qtui.cli.session import start_and_follow
from qtui.config.serve import KEY_VARIABLE, ServeConfig
from qtui.errors import EXIT_DONE, EXIT_STOPPED, InputError
from qtui.runs import launch, serving, state
from qtui.runs.lock import is_held
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from argparse import Namespace

    from qtui.runs.folder import Run

_OPTIONS = (
    *("engine", "device", "chat_template", "max_context", "host", "port", "socket"),
    *("allowed_hosts", "allowed_origins", "max_concurrent", "max_queue", "max_body_bytes"),
    *("max_prompt_tokens", "max_adapters", "idle_minutes", "log_contents"),
)
_MODEL_OPTIONS = ("revision", "trust_remote_code", "attn_implementation", "dtype")


def serve(arguments: Namespace, out: Output) -> int:
    """`serve`: a server as a run of its own, followed unless --detach is given."""
    config = configured(arguments)
    for sentence in _warnings(config):
        out.note(Styled("warning: ", "yellow"), sentence)
    command = ["qtui", *sys.argv[1:]]
    run = serving.create(arguments.workspace, config, command, name=arguments.name)
    if not arguments.detach:
        return start_and_follow(run, lambda: launch.launch(run), out, detached=False)
    code = start_and_follow(run, lambda: launch.launch(run), out, detached=True)
    return code if code != EXIT_DONE else _until_it_listens(run, out)


def configured(arguments: Namespace) -> ServeConfig:
    """The server that a command line asks for.

    Raises InputError for values that are refused and for a key that is lacking, NotFoundError for
    what is not there.
    """
    wanted = serving.subject(
        arguments.workspace, arguments.subjects, quantization=arguments.quantization
    )
    model = wanted.model.model_dump() | _given(arguments, _MODEL_OPTIONS)
    settings = _given(arguments, _OPTIONS)
    if template := settings.get("chat_template"):
        settings["chat_template"] = chat_template(template)
    adapters = [adapter.model_dump() for adapter in wanted.adapters]
    key = serving.key()
    settings["keyed"] = key is not None
    config = serving.checked({"model": model, "adapters": adapters, **settings})
    serving.check_key(config, key)
    return config


def _given(arguments: Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    """The options that were given; the others have their defaults."""
    values = {name: getattr(arguments, name) for name in names}
    return {
        name: value
        for name, value in values.items()
        if value is not None and value is not False and value != []
    }


def chat_template(given: str) -> str:
    """`chatml` as it is; a file by its whole path, for the worker is at home elsewhere."""
    if given == "chatml":
        return given
    path = Path(given).absolute()
    if not path.is_file():
        raise InputError(
            f"there is no file {clean_line(given)}",
            remedy="--chat-template wants a Jinja template's file, or chatml",
        )
    return str(path)


def _warnings(config: ServeConfig) -> list[str]:
    said = []
    if config.model.trust_remote_code:
        said.append(
            "trust_remote_code is on: Python code that comes with "
            f"{clean_line(config.model.model_name)} will run as you"
        )
    if serving.key() and not config.socket and not serving.is_loopback(config.host):
        said.append(
            f"{clean_line(config.host)} is reached without encryption: the key of {KEY_VARIABLE} "
            "and all texts can be read on the way; an ssh tunnel or a proxy with https hides them"
        )
    return said


def _until_it_listens(run: Run, out: Output) -> int:
    """Wait for the address, so that a script can go on to use it."""
    from qtui.runs import series
    from qtui.runs.events import FailedEvent
    from qtui.runs.preparing import doing

    try:
        while (found := serving.address(run)) is None:
            if state.settled(run) in state.FINAL and not is_held(run.lock):
                end = series.load(run).end
                if isinstance(end, FailedEvent):
                    raise serving.ended_by(end)
                out.note(f"{run.id} was stopped before it listened")
                return EXIT_STOPPED
            out.status(str(doing(series.load(run))))
            time.sleep(0.2)
    except KeyboardInterrupt:
        out.note(f"{run.id} goes on with its start; qtui runs stop {run.id} ends it")
        return EXIT_STOPPED
    finally:
        out.status("")
    if out.json:
        out.document({"type": "address", "id": run.id, "url": found.url, "socket": found.socket})
    else:
        out.line("listens at  ", clean_line(found.socket or f"{found.url}/v1"))
    return EXIT_DONE

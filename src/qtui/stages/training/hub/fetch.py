"""From `model.model_name` to a folder with config, tokenizer and safetensors.

Promises: what is called back is called in the caller's own thread, progress at most five times a
second; a stop is obeyed within a second, whatever the network does; a killed worker leaves no
process behind; no token is in a sentence, an error or an argument list. Downloads: see
`download`.
"""

from __future__ import annotations

import difflib
import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from qtui import builtin, errors
from qtui.errors import InputError, NotFoundError, QtuiError, StoppedError
from qtui.stages.training import weights
from qtui.stages.training.hub.messages import (
    Fetched,
    Message,
    Progressed,
    Refused,
    Request,
    Said,
    decode,
)
from qtui.terminal import clean_line

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds between attempts when the hub or the line fails; about a minute in all."""

_BUILTIN = "builtin:"
_LOOK = 0.2
"""Seconds between two looks at `stopped`."""


def fetch(
    model_name: str,
    *,
    revision: str | None,
    trust_remote_code: bool,
    progress: Callable[[int, int], None],
    log: Callable[[str], None],
    stopped: Callable[[], bool],
    waits: Sequence[float] = WAITS,
) -> Path:
    """The folder of a base model: built in, local, or from the hub's cache or the hub.

    `progress` gets bytes done and in all. A model that is whole in the hub's cache is used
    without any request, also where there is no network: the revision is then the one that was
    downloaded.

    Raises:
        StoppedError: `stopped` said so.
        InputError, NotFoundError: no such model, no access to it, or one that is refused.
        ImpossibleError: the disk is too small, or the cache cannot be written.
        QtuiError: the hub could not be reached, or sent damaged files.
    """
    local = _builtin(model_name) or _folder(model_name)
    if local is not None:
        if revision is not None:
            log(f"model.revision {clean_line(revision)} has no meaning for a local folder")
        weights.check(local, trust_remote_code=trust_remote_code)
        return local
    request = Request(
        model=model_name,
        revision=revision,
        trust_remote_code=trust_remote_code,
        waits=tuple(waits),
    )
    with closing(_conversation(request, stopped)) as messages:
        for message in messages:
            match message:
                case Said(sentence):
                    log(sentence)
                case Progressed(done, total):
                    progress(done, total)
                case Fetched(path):
                    return Path(path)
                case Refused(error, text, remedy):
                    if error == NotFoundError.__name__ and (close := _close(model_name)):
                        remedy = f"did you mean the folder {close}? Otherwise: {remedy}"
                    raise getattr(errors, error)(text, remedy=remedy)
    raise QtuiError(
        f"the process that downloads {clean_line(model_name)} died",
        remedy="worker.log in the run's folder has its last words; resume the run to go on",
    )


def _builtin(model_name: str) -> Path | None:
    if not model_name.startswith(_BUILTIN):
        return None
    return builtin.model_path(model_name.removeprefix(_BUILTIN))


def _folder(model_name: str) -> Path | None:
    """The local folder that `model_name` means; none when it can only be a hub id.

    Raises:
        InputError: it is a file.
        NotFoundError: it is written as a path, and there is no such folder.
    """
    path = Path(model_name).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.is_file():
        kind = weights.OTHER_FORMATS.get(path.suffix, "")
        raise InputError(
            f"{clean_line(model_name)} is a file" + (f" in the format {kind}" if kind else ""),
            remedy="model.model_name wants the folder with config.json and model.safetensors",
        )
    if model_name.startswith((".", "/", "~")) or "\\" in model_name or model_name.count("/") > 1:
        close = _close(model_name)
        raise NotFoundError(
            f"there is no folder {clean_line(model_name)}",
            remedy=f"did you mean {close}?"
            if close
            else "check model.model_name; a hub id is written ORGANISATION/NAME",
        )
    return None


def _close(model_name: str) -> str | None:
    """A folder that is really there and has almost this name; safe to show."""
    path = Path(model_name).expanduser()
    if not path.parent.is_dir():
        return None
    beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
    close = difflib.get_close_matches(path.name, beside, n=1)
    return clean_line(str(path.parent / close[0])) if close else None


def _conversation(request: Request, stopped: Callable[[], bool]) -> Generator[Message, None, None]:
    """Start the downloading process and pass on what it says until it ends or is stopped."""
    child = subprocess.Popen(
        [sys.executable, "-m", "qtui.stages.training.hub.download"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_environment(),
        bufsize=0,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        # Kept open: the child ends when it closes, so it cannot outlive a killed worker.
        with suppress(BrokenPipeError):  # dead already: the loop below sees its silence
            child.stdin.write(msgspec.json.encode(request) + b"\n")
        waiting = b""
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while True:
                if stopped():
                    raise StoppedError("stopped while the model was downloaded; it can go on later")
                if not selector.select(_LOOK):
                    continue
                received = os.read(child.stdout.fileno(), 65536)
                if not received:
                    return
                *lines, waiting = (waiting + received).split(b"\n")
                for line in lines:
                    yield decode(line)
    finally:
        child.kill()
        child.stdin.close()
        child.stdout.close()
        child.wait()


def _environment() -> dict[str, str]:
    """The worker's environment, with what the hub's library reads when it is imported."""
    return dict(os.environ) | {
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONUNBUFFERED": "1",
    }

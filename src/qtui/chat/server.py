"""The server that a conversation needs: found, started, waited for, stopped.

On top of `runs.serving`, for the screen and the commands. Two that start at once get one server:
whoever comes second finds the first one's. What was started here listens on a Unix socket that
nobody else can open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from qtui.chat.alone import alone
from qtui.chat.in_use import held
from qtui.config.serve import ServeConfig
from qtui.errors import InputError, QtuiError
from qtui.runs import commands, durable, folder, launch, serving, state
from qtui.runs.events import FailedEvent, Stop
from qtui.runs.folder import Run
from qtui.runs.log import EventReader
from qtui.runs.preparing import doing
from qtui.runs.series import History
from qtui.runs.serving import Address, Subject
from qtui.runs.state import Status
from qtui.terminal import clean, clean_line

STOP_SECONDS = 20.0
_POLL_SECONDS = 0.05
_TAIL = 2000


def find(
    workspace: Path,
    subject: Subject,
    *,
    device: str | None = None,
    chat_template: str | None = None,
) -> Run | None:
    """A living server that answers for `subject`, the newest; it may not listen yet.

    `device` and `chat_template`: only one that was started with these; none: whatever it has.
    """
    for run in serving.living(workspace):
        # One that is of a newer qtui, or damaged, is not ours to use.
        with suppress(QtuiError, ValueError):
            if state.status(run) is Status.STOPPING or not serving.serves(run, subject):
                continue
            config = ServeConfig.model_validate(run.spec.config)
            if device is not None and config.device != device:
                continue
            if chat_template is None or config.chat_template == chat_template:
                return run
    return None


def begin(
    workspace: Path,
    subject: Subject,
    command: Sequence[str],
    *,
    idle_minutes: float | None = None,
    device: str | None = None,
    chat_template: str | None = None,
) -> tuple[Run, bool]:
    """The server that answers for `subject`, and whether it was started by this call.

    `idle_minutes`: it ends by itself when nobody has asked for so long. Returns when its worker
    lives; `ready` waits until it listens.

    Raises:
        QtuiError: it does not start; then no folder is left. A KeyboardInterrupt leaves no server.
    """
    lock = workspace / folder.FOLDER / ".chat-server.lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise durable.write_error(lock.parent, 4096, error) from error
    with alone(lock, "starting a server", launch.START_SECONDS + 10):
        found = find(workspace, subject, device=device, chat_template=chat_template)
        if found is not None:
            return found, False
        config = serving.checked(
            {
                "model": subject.model.model_dump(),
                "adapters": [adapter.model_dump() for adapter in subject.adapters],
                "socket": True,
                "device": device or "auto",
                "chat_template": chat_template,
                "idle_minutes": idle_minutes,
            }
        )
        run = serving.create(workspace, config, command)
        try:
            launch.launch(run)
        except QtuiError:
            with suppress(QtuiError):
                folder.delete(run)
            raise
        except BaseException:
            # The worker goes on with its start: what it finds there is that it is not wanted.
            commands.append(run.commands, Stop(save=False))
            raise
        return run, True


async def ready(run: Run, say: Callable[[str], None]) -> Address:
    """Where `run` listens, once it does; `say` gets what it waits for and for how long.

    Raises:
        QtuiError: it ended instead, for its own reason.
    """
    began = time.monotonic()
    reader, history = EventReader(run.events), History()
    said = ""
    while True:
        address, ended = await asyncio.to_thread(_look, run, reader, history)
        if address is not None:
            return address
        if ended is not None:
            raise ended
        words = f"{clean_line(str(doing(history)), 200)}, {time.monotonic() - began:.0f} s"
        if words != said:
            said = words
            say(words)
        await asyncio.sleep(_POLL_SECONDS)


def _look(
    run: Run, reader: EventReader, history: History
) -> tuple[Address | None, QtuiError | None]:
    lives = state.worker_lives(run)
    history.feed(reader.poll())
    if (why := _why_ended(run, history, lives=lives)) is not None:
        return None, why
    if any(artifact.kind == serving.SERVER for artifact in history.artifacts):
        return serving.address(run), None
    return None, None


def ended(run: Run) -> QtuiError | None:
    """Why a server has ended, as an error of whoever needs it; none while it lives."""
    lives = state.worker_lives(run)
    history = History()
    history.feed(EventReader(run.events).poll())
    return _why_ended(run, history, lives=lives)


def _why_ended(run: Run, history: History, *, lives: bool) -> QtuiError | None:
    shown = clean_line(run.id)
    if isinstance(history.end, FailedEvent):
        return serving.ended_by(history.end)
    if history.end is not None:
        told = f": {clean_line(history.end.message)}" if history.end.message else ""
        return QtuiError(
            f"the server {shown} has ended{told}", remedy="ask again, and another one is started"
        )
    if lives:
        return None
    return QtuiError(
        f"the server {shown} is gone without a word (killed, or out of memory)" + _last_words(run),
        remedy=f"qtui runs logs {shown} --worker    shows all that it printed",
    )


def _last_words(run: Run) -> str:
    try:
        text = clean(run.worker_log.read_bytes()[-_TAIL:].decode("utf-8", "replace")).strip()
    except OSError:
        return ""
    return f"; its last words:\n{text}" if text else ""


def in_use(run: Run) -> bool:
    """Whether anybody talks to a server that was started here."""
    address = serving.address(run)
    return address is not None and address.socket is not None and held(address.socket)


def stop(run: Run, *, wait: bool = True) -> None:
    """End a server, with all that it is answering; does nothing when it is over.

    `wait`: return when it is gone. Raises QtuiError when it does not go.
    """
    try:
        launch.request_stop(run, save=False)
    except InputError:
        return
    if not wait:
        return
    launch.wait(run, timeout=STOP_SECONDS)
    if state.worker_lives(run):
        shown = clean_line(run.id)
        raise QtuiError(
            f"the server {shown} has not stopped within {STOP_SECONDS:.0f} s",
            remedy=f"it was asked to; see whether it has: qtui runs show {shown}",
        )

"""The way to the server: found or started, waited for, talked to, lost, started again.

Knows nothing of the screen. It never blocks: what reads the disk or starts processes is a thread's.
A server that was started here may be stopped here; any other is left alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from qtui.dashboard.background import off_loop
from qtui.errors import QtuiError
from qtui.runs import serving, state
from qtui.runs.folder import Run
from qtui.runs.serving import Address, Subject
from qtui.screens.chat.opening import Opened

if TYPE_CHECKING:
    from qtui.chat.asks import Model
    from qtui.chat.client import Client

IDLE_MINUTES = 30.0
"""A server that was started here and left running ends when nobody has asked it for so long."""


class State(StrEnum):
    """Where the link is."""

    APART = "apart"
    """No server that will do lives, and none was asked for yet."""
    WAITING = "waiting"
    READY = "ready"
    FAILED = "failed"


class Link:
    """One server for what was opened. `changed` is called when anything below is another."""

    def __init__(
        self,
        workspace: Path,
        opened: Opened,
        changed: Callable[[], None],
        started: set[Path] | None = None,
    ) -> None:
        """`started`: folders of the servers that this dashboard has started; one is added."""
        self._workspace = workspace
        self._started = set() if started is None else started
        self._opened = opened
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self.state = State.APART
        self.words = ""
        """What is waited for."""
        self.since = 0.0
        """Since when, by `time.monotonic`."""
        self.error: QtuiError | None = None
        self.run: Run | None = None
        """The server's run; none for one elsewhere."""
        self.client: Client | None = None
        self.models: Sequence[Model] = ()
        self.device = opened.talk.device
        """Where it has to compute; none: where it likes."""
        self.chat_template = opened.talk.chat_template
        """The chat template it is started with; none: the model's own."""

    @property
    def mine(self) -> bool:
        """Whether the server was started by this dashboard."""
        return self.run is not None and self.run.path in self._started

    # -- opening ---------------------------------------------------------------------------------

    def look(self) -> None:
        """Take a server that lives already; start none."""
        self._begin(self._look())

    def connect(self) -> None:
        """Take a server that lives, or start one. Does nothing while one is being waited for."""
        if self.state in (State.APART, State.FAILED):
            self._begin(self._connect())

    def _begin(self, work: object) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.get_running_loop().create_task(self._watched(work))

    async def _watched(self, work: object) -> None:
        try:
            await work  # type: ignore[misc]
        except (QtuiError, OSError) as error:
            self.fail(error if isinstance(error, QtuiError) else QtuiError(str(error)))

    async def _look(self) -> None:
        subject = self._opened.subject
        if subject is None:
            await self._connect()
            return
        found = await off_loop(lambda: _find(self._workspace, subject))
        if found is not None:
            self.run = found
            await self._connect()

    async def _connect(self) -> None:
        self.error = None
        self._say("looking for a server")
        address = self._opened.talk.address or await self._found()
        self._say("asking the server what it has")
        client = await off_loop(lambda: _client(address))
        try:
            self.models = await client.models()
        except BaseException:
            await client.aclose()
            raise
        self.client, self.state, self.words = client, State.READY, ""
        self._changed()

    async def _found(self) -> Address:
        """Where a server for the subject listens; one is started when there is none."""
        from qtui.chat import server

        subject, workspace = self._opened.subject, self._workspace
        assert subject is not None
        if self.run is None:
            self._say("starting a server")
            device, template = self.device, self.chat_template
            command = ["qtui", "serve", *self._opened.talk.refs]
            command += ["--device", device] if device else []
            command += ["--chat-template", template] if template else []
            self.run, begun = await off_loop(
                lambda: _begin(workspace, subject, command, device, template)
            )
            if begun and self.run is not None:
                self._started.add(self.run.path)
        assert self.run is not None
        return await server.ready(self.run, self._say)

    def _say(self, words: str) -> None:
        if self.state is not State.WAITING:
            self.state, self.since = State.WAITING, time.monotonic()
        if words != self.words:
            self.words = words
            self._changed()

    # -- losing and ending -----------------------------------------------------------------------

    def fail(self, error: QtuiError) -> None:
        """There is no server any more, or there was none."""
        self.state, self.error, self.words = State.FAILED, error, ""
        self._drop()
        self.run = None
        self._changed()

    async def look_after(self, error: QtuiError) -> None:
        """An answer ended with `error`: see whether the server lives, and say so if it does not."""
        run = self.run
        if run is None or self.state is not State.READY:
            return
        why = await off_loop(lambda: _why_gone(run))
        if why is not None and self.run is run:
            self.fail(why)

    async def stop(self) -> None:
        """Stop the server that was started here."""
        run = self.run
        if run is None or not self.mine:
            return
        from qtui.chat import server

        self.close()
        await off_loop(lambda: server.stop(run))
        self.run, self.state = None, State.APART
        self._changed()

    def stop_now(self) -> None:
        """The same without waiting: the dashboard is being left."""
        if self.run is not None and self.mine:
            from qtui.chat import server

            with suppress(QtuiError, OSError):
                server.stop(self.run, wait=False)

    def close(self) -> None:
        """Let go of the server; it goes on."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._drop()
        self.state = State.APART

    def _drop(self) -> None:
        client, self.client = self.client, None
        if client is not None:
            closing = asyncio.get_running_loop().create_task(client.aclose())
            _CLOSING.add(closing)
            closing.add_done_callback(_CLOSING.discard)


_CLOSING: set[asyncio.Task[None]] = set()
"""Clients that are being closed: the loop itself keeps no hold of its tasks."""


def _client(address: Address) -> Client:
    # Takes a while: httpx is imported, and reads the certificates of this machine.
    from qtui.chat.client import Client

    return Client(address, serving.key())


def _find(workspace: Path, subject: Subject) -> Run | None:
    from qtui.chat import server

    return server.find(workspace, subject)


def _begin(
    workspace: Path,
    subject: Subject,
    command: Sequence[str],
    device: str | None,
    chat_template: str | None,
) -> tuple[Run, bool]:
    from qtui.chat import server

    return server.begin(
        workspace,
        subject,
        command,
        idle_minutes=IDLE_MINUTES,
        device=device,
        chat_template=chat_template,
    )


def _why_gone(run: Run) -> QtuiError | None:
    """Why the server's worker has ended; none while it lives."""
    if state.worker_lives(run):
        return None
    from qtui.runs.summary import summarize

    summary = summarize(run)
    told = f": {summary.message}" if summary.message else f" ({summary.status})"
    return QtuiError(f"the server {run.name} has ended{told}", remedy=summary.remedy)

"""The process behind one browser tab: started when the tab connects, ended when it is gone.

textual-serve's service is the base; it knows the packets. It trusts its program, though, and waits
for it. Here the process is ended for certain, a program that reads nothing holds nobody up, and
what it says on standard error is kept short. Runs are processes of their own and know nothing of
it.
"""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress

from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from qtui.dashboard.browser import tab

_QUIT_WITHIN = 3.0  # seconds, more than the dashboard takes when something hangs in it
_TERMINATE_WITHIN = _KILL_WITHIN = 2.0
_INPUT = 1024 * 1024  # bytes that may wait for a program that reads nothing
_ERRORS = 4096  # bytes of standard error that are kept
_START = b"__GANGLION__\n"


class Session(AppService):
    """`program` is the command line of a dashboard, run in a session of its own."""

    def __init__(
        self, program: Sequence[str], websocket: web.WebSocketResponse, downloads: DownloadManager
    ) -> None:
        super().__init__(
            "",
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=self._say_nothing,
            download_manager=downloads,
        )
        self._program = program
        self._said = b""
        self._errors: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()
        """Set when the program writes no more."""

    @property
    def process_id(self) -> int | None:
        """Of the program; None before it is started."""
        return self._process.pid if self._process else None

    @property
    def failure(self) -> str:
        """After `stop`: what the program said last when it did not end well, else nothing."""
        code = self._process.returncode if self._process else None
        if not code:
            return ""
        return self._said.decode("utf-8", "replace").strip() or f"exit code {code}"

    async def _say_nothing(self) -> None:
        """The program says that it is leaving; the end of its output is what counts."""

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        # Its own session: Ctrl-C in the terminal of `qtui web` is for `qtui web`, which ends it.
        self._process = await asyncio.create_subprocess_exec(
            *self._program,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=tab.environment(*tab.fitted(width, height)),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._stdin = self._process.stdin
        return self._process

    async def send_bytes(self, data: bytes) -> bool:
        """Give the program what was typed; nothing when it does not read. Never waits."""
        return self._give(b"D", data)

    async def send_meta(self, data: dict[str, str | int | bool | None]) -> bool:
        """Give the program other news of the tab. Never waits."""
        return self._give(b"M", json.dumps(data).encode())

    def _give(self, kind: bytes, data: bytes) -> bool:
        transport = self.stdin.transport
        if transport.is_closing() or transport.get_write_buffer_size() > _INPUT:
            return False
        self.stdin.write(self.encode_packet(kind, data))  # type: ignore[arg-type]
        return True

    async def set_terminal_size(self, width: int, height: int) -> None:
        """Tell the program the tab's size, or the nearest that it may have."""
        await super().set_terminal_size(*tab.fitted(width, height))

    async def on_meta(self, data: bytes) -> None:
        """Pass on what the program asks of the browser; links only to where one can surf."""
        asked = json.loads(data)
        link = str(asked.get("url", "")).lower()
        if asked["type"] != "open_url" or link.startswith(("http://", "https://")):
            await super().on_meta(data)

    async def run(self) -> None:
        """Pass on what the program draws, until it ends or the tab takes nothing any more."""
        assert self._process is not None
        assert self._process.stdout is not None
        read = self._process.stdout.readexactly
        self._errors = asyncio.create_task(self._keep_errors())
        takers = {b"D": self.on_data, b"M": self.on_meta, b"P": self.on_packed}
        try:
            # The program may print before it is a dashboard; after that nothing comes between.
            await self._process.stdout.readuntil(_START)
            while True:
                head = await read(5)
                await takers[head[:1]](await read(int.from_bytes(head[1:], "big")))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, KeyError, ConnectionError):
            pass  # it has ended, it is no dashboard, or the tab is gone
        finally:
            self.ended.set()

    async def _keep_errors(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(_ERRORS):
            self._said = (self._said + data)[-_ERRORS:]

    async def stop(self) -> None:
        """End the program: it is asked to leave, then told, then made to."""
        process, task = self._process, self._task
        if process is None or task is None:
            return
        self._task = None
        await self._download_manager.cancel_app_downloads(app_service_id=self.app_service_id)
        await self.send_meta({"type": "quit"})
        self.stdin.close()
        task.cancel()
        await asyncio.wait((task,))
        # What it still draws has to be read, or its pipe fills and it cannot leave.
        draining = asyncio.create_task(_drain(process))
        if not await _ends(process, _QUIT_WITHIN):
            process.terminate()
            if not await _ends(process, _TERMINATE_WITHIN):
                process.kill()
                await _ends(process, _KILL_WITHIN)
        draining.cancel()
        if self._errors is not None:
            await asyncio.wait((self._errors,), timeout=1.0)
            self._errors.cancel()


async def _ends(process: Process, seconds: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), seconds)
    return process.returncode is not None


async def _drain(process: Process) -> None:
    assert process.stdout is not None
    while await process.stdout.read(65536):
        pass

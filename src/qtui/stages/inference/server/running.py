"""Runs the server on a thread with an event loop of its own; the main thread keeps the signals.

`stop` lets running answers go on for a short grace, then ends them; no connection outlives it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from contextlib import suppress

import uvicorn

from qtui.errors import QtuiError
from qtui.stages.inference.server.app import Service
from qtui.stages.inference.server.connection import Patience, with_patience
from qtui.stages.inference.server.listening import BACKLOG, Listener

GRACE_SECONDS = 3.0


class _Server(uvicorn.Server):
    """uvicorn's server; at its end answers are stopped politely, and connections are closed."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self.grace = GRACE_SECONDS

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        answers = self._service.answers
        answers.stopping = True
        timer = asyncio.get_running_loop().call_later(self.grace, answers.stop_all)
        await super().shutdown(sockets)
        timer.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class Running:
    """A server that listens, from `start` to `stop`."""

    def __init__(
        self, service: Service, listener: Listener, patience: Patience | None = None
    ) -> None:
        self.service, self.listener = service, listener
        patience = patience or Patience()
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # worker.log is for faults
        config = uvicorn.Config(
            service.asgi,
            loop="asyncio",
            http=with_patience(patience),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # anybody may write X-Forwarded-For
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=patience.idle_seconds,
        )
        self._server = _Server(config, service)
        self.ended = threading.Event()
        """Set when the thread has ended, for whatever reason."""
        self._thread = threading.Thread(target=self._run, name="qtui-http", daemon=True)

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """End: no new requests; running ones may go on for `grace` seconds."""
        self._server.grace = grace
        self._server.config.timeout_graceful_shutdown = int(grace) + 2
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(grace + 10)
        self.service.answers.close()
        self.listener.close()
        if self._thread.is_alive():
            raise QtuiError(
                "the server's thread did not end", remedy="end the worker: qtui runs stop"
            )

    def _run(self) -> None:
        try:
            with suppress(SystemExit):
                self._server.run(sockets=[self.listener.socket])
        finally:
            self.ended.set()

"""The real server in front of an engine without a model, on a thread of the test's own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from qtui.config.serve import ServeConfig, ServedModel
from qtui.stages.inference.engine import Engine
from qtui.stages.inference.server.app import Service
from qtui.stages.inference.server.connection import Patience
from qtui.stages.inference.server.doors import doors
from qtui.stages.inference.server.listening import Listener, on_port, on_socket
from qtui.stages.inference.server.request_log import NAME, RequestLog
from qtui.stages.inference.server.running import Running
from tests.stages.inference.fake_engine import BASE


@dataclass
class FakeServer:
    """A server that runs. `socket` is the path of its Unix socket, if it listens on one."""

    running: Running
    url: str
    socket: str | None
    key: str | None

    @property
    def service(self) -> Service:
        return self.running.service

    def client(self, **settings: Any) -> httpx.Client:
        """An HTTP client of it, with its key."""
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        transport = httpx.HTTPTransport(uds=self.socket)
        return httpx.Client(
            base_url=self.url, transport=transport, headers=headers, timeout=20, **settings
        )


@contextmanager
def serving(
    engine: Engine,
    folder: Path | None = None,
    *,
    key: str | None = None,
    host: str = "127.0.0.1",
    socket: bool = False,
    patience: Patience | None = None,
    body_seconds: float = 30.0,
    **settings: Any,
) -> Iterator[FakeServer]:
    """A server of `engine` on a free port, or on a Unix socket in `folder`.

    `settings` are those of `ServeConfig`. With a `folder` it keeps its request log there. Neither
    server nor engine outlives the block.
    """
    config = ServeConfig(model=ServedModel(model_name=BASE), host=host, socket=socket, **settings)
    listener: Listener
    if socket:
        assert folder is not None, "a Unix socket lies in a folder"
        listener = on_socket(folder)
    else:
        listener = on_port(host, 0)
    log = RequestLog(folder / NAME) if folder is not None else None
    at = doors(
        host,
        unix=socket,
        key=key,
        hosts=config.allowed_hosts,
        origins=config.allowed_origins,
    )
    service = Service(engine, config, at, log, body_seconds)
    running = Running(service, listener, patience)
    running.start()
    path = str(listener.path) if listener.path else None
    try:
        yield FakeServer(running, listener.url, path, key)
    finally:
        running.stop(grace=0.2)
        engine.close()
        if log is not None:
            log.close()

"""One client's connection: uvicorn's, with limits on how long a client may keep it waiting.

uvicorn waits for ever for the rest of a request's head, and for a client that does not read. Here
a head has to come within `head_seconds`, and a client that takes nothing for `write_seconds` while
its answer waits is cut off, which ends its job as for any client that goes away. What is no HTTP
gets an error of OpenAI's shape like all else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from qtui.stages.inference.server.errors import Refusal


@dataclass(frozen=True)
class Patience:
    """Seconds that clients are waited for, and how many may be connected."""

    head_seconds: float = 20.0
    write_seconds: float = 30.0
    idle_seconds: int = 65
    """Between two requests on a connection."""
    connections: int = 4096


class Connection(H11Protocol):
    """See the module. `patience` comes by `with_patience`."""

    def __init__(self, *args: Any, patience: Patience, **named: Any) -> None:
        super().__init__(*args, **named)
        self._patience = patience
        self._head: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._patience.connections:
            transport.abort()
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self._not_stuck()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head_came()
        elif self._head is None:
            self._expect_head()

    def on_response_complete(self) -> None:
        # From here on uvicorn's own timer counts, until the next request begins.
        self._head_came()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stuck is None:
            self._stuck = self.loop.call_later(self._patience.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._not_stuck()

    def send_400_response(self, msg: str) -> None:
        body = Refusal(400, msg, "bad_http").body
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        try:
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            pass  # in the middle of an answer: there is nothing to be said any more
        self.transport.close()

    def _expect_head(self) -> None:
        self._head = self.loop.call_later(self._patience.head_seconds, self.transport.abort)

    def _head_came(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _not_stuck(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None


def with_patience(patience: Patience) -> Callable[..., Connection]:
    """What makes connections with these limits, for uvicorn's `http`."""
    return partial(Connection, patience=patience)

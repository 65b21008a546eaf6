"""What every request passes before a route sees it, and every answer on its way out.

In this order: Host, Origin, key (`doors`), kind and size of the body. The body is read here,
counted while it comes, and handed on whole. The gate gives each request its id, notes its status,
and sees to it that no exception leaves without an answer. Plain ASGI: it adds nothing to a
streamed token but one call.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qtui.stages.inference.server.doors import Doors
from qtui.stages.inference.server.errors import ApiError, Refusal, refusal, refused
from qtui.stages.inference.server.trace import KEY, Trace

POSTED = ("/v1/chat/completions", "/v1/completions")
"""The routes that have a body."""

MOST_NODES = 100_000
"""Lists and objects in a body. Reading a million of them would hold up everybody for a second."""

BODY_SECONDS = 30.0
"""How long a request's body may take to arrive."""


@dataclass
class Gate:
    """Stands before `app`; `noted` gets the trace of each request when it is over."""

    app: ASGIApp
    doors: Doors
    max_body_bytes: int
    route_of: Callable[[str], str]
    """The template of the route that a path belongs to, or an empty text."""
    noted: Callable[[Trace], None]
    contents: bool = False
    body_seconds: float = BODY_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        trace = Trace(scope["method"], self.route_of(scope["path"]), self.contents)
        scope.setdefault("state", {})[KEY] = trace
        headers: dict[bytes, bytes] = dict(scope["headers"])
        extra = [(b"x-request-id", trace.id.encode())]
        started = finished = False

        async def noting(message: Message) -> None:
            nonlocal started, finished
            if message["type"] == "http.response.start":
                started = True
                trace.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *extra]
            elif not message.get("more_body", False):
                finished = True
            await send(message)

        try:
            if stop := self.doors.stranger(headers):
                raise ApiError(stop)
            extra += self.doors.cors(headers)
            if scope["method"] == "OPTIONS" and (preflight := self.doors.preflight(headers)):
                await noting({"type": "http.response.start", "status": 204, "headers": preflight})
                await noting({"type": "http.response.body"})
                return
            if stop := self.doors.key_missing(headers, scope["path"]):
                raise ApiError(stop)
            if scope["method"] == "POST" and trace.route in POSTED:
                receive = await self._read(headers, receive)
            await self.app(scope, receive, noting)
        except _GoneError:
            trace.gone = True
        except Exception as error:
            answer = refusal(error)
            trace.error = answer.code
            if answer.status == 500:
                traceback.print_exception(error)
            if not started:
                await send_refusal(answer, noting)
            elif not finished:
                raise
        finally:
            self.noted(trace)

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            message = "the body is to be JSON: send it with Content-Type: application/json"
            raise refused(415, message, "unsupported_media_type")
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self.max_body_bytes:
            raise self._too_large()
        try:
            async with asyncio.timeout(self.body_seconds):
                body = await self._whole(receive)
        except TimeoutError:
            message = f"the body did not arrive within {self.body_seconds:g} seconds"
            closing = {"connection": "close"}
            raise ApiError(Refusal(408, message, "timeout", headers=closing)) from None
        if body.count(b"[") + body.count(b"{") > MOST_NODES:  # brackets in texts count: so be it
            message = f"the request has more than {MOST_NODES:,} lists and objects in it"
            raise refused(400, message, "too_complex")
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        return replay

    async def _whole(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message: Any = await receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.max_body_bytes:
                raise self._too_large()
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_large(self) -> ApiError:
        message = f"the request is larger than {self.max_body_bytes:,} bytes"
        return refused(413, message, "body_too_large")


class _GoneError(Exception):
    """The client went away while it was being read."""


async def send_refusal(answer: Refusal, send: Send) -> None:
    """Answer with an error."""
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    headers += [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer.body)).encode()),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})

"""A model server that says exactly what a test wants, byte by byte, right or wrong.

For what no well-behaved server does. It knows of each request what came, and of each connection
whether the client has closed it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from qtui.runs.serving import Address

CLOSE = b""
"""In a script: break the connection off here, without an end of the answer."""


@dataclass
class Request:
    """What came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Script = Callable[[Request], AsyncIterator[bytes]]


@dataclass
class Scripted:
    """The server while it runs."""

    address: Address
    requests: list[Request] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client closed a connection on which an answer was being sent."""


@asynccontextmanager
async def server(script: Script, socket: Path | None = None) -> AsyncIterator[Scripted]:
    """Serve `script`, which yields the bytes of one answer, head included."""
    scripted = Scripted(Address("http://localhost", str(socket) if socket else None))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _request(reader)
            scripted.requests.append(request)
            closed = asyncio.ensure_future(reader.read(1))
            answer = script(request)
            sending = asyncio.ensure_future(_send(answer, writer))
            await asyncio.wait({closed, sending}, return_when=asyncio.FIRST_COMPLETED)
            if closed.done() and not sending.done():
                scripted.gone.set()
            sending.cancel()
            closed.cancel()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    if socket:
        served = await asyncio.start_unix_server(connected, path=socket)
    else:
        served = await asyncio.start_server(connected, "127.0.0.1", 0)
        port = served.sockets[0].getsockname()[1]
        scripted.address = Address(f"http://127.0.0.1:{port}")
    try:
        yield scripted
    finally:
        served.close()
        await asyncio.sleep(0)


@contextmanager
def elsewhere(script: Script) -> Iterator[str]:
    """The address of a server that follows `script` on a thread of its own."""
    loop, stop, found = asyncio.new_event_loop(), asyncio.Event(), Future[str]()

    async def serve() -> None:
        async with server(script) as scripted:
            found.set_result(scripted.address.url)
            await stop.wait()

    thread = Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield found.result(30)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body)


async def _send(answer: AsyncIterator[bytes], writer: asyncio.StreamWriter) -> None:
    async for each in answer:
        if each == CLOSE:
            return
        writer.write(each)
        await writer.drain()
        await asyncio.sleep(0)


def head(status: int = 200, kind: str = "text/event-stream", **headers: str) -> bytes:
    """The head of an answer that ends when the connection does."""
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def whole(value: Any, status: int = 200, **headers: str) -> bytes:
    """A whole answer in JSON."""
    body = json.dumps(value).encode()
    length = {"content_length": str(len(body))}
    return head(status, "application/json", **headers, **length) + body


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    """One event of a streamed chat answer."""
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices, **more}).encode() + b"\n\n"


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"


def answers(*parts: bytes) -> Script:
    """A script that says the same to everybody."""

    async def script(request: Request) -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return script

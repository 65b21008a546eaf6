"""A client of OpenAI's protocol: asks one model server, over TCP or a Unix socket.

Made for qtui's own server and for others that speak the protocol. An answer comes in pieces as the
model writes it; whoever stops listening (`aclose`, a cancelled task) closes the connection at once,
by which the server knows. No failure is passed on as a library's: all are `QtuiError`s that say
what happened. The key goes to the address that it was given for and nowhere else: redirects are
not followed.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from qtui.chat import in_use
from qtui.chat.answer_reading import Reading, decoded
from qtui.chat.asks import Answered as Answered
from qtui.chat.asks import Ask as Ask
from qtui.chat.asks import Delta as Delta
from qtui.chat.asks import Model as Model
from qtui.chat.asks import Prompted as Prompted
from qtui.chat.asks import Settings as Settings
from qtui.chat.asks import body_of, path_of
from qtui.chat.failures import (
    CutOffError,
    SilentError,
    UnreachableError,
    not_understood,
    refused,
)
from qtui.chat.failures import ServerError as ServerError
from qtui.chat.sse import EventStream
from qtui.errors import InputError, QtuiError
from qtui.runs import serving
from qtui.runs.serving import Address
from qtui.terminal import clean_line

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 10.0
SILENT_SECONDS = 120.0
"""How long nothing at all may come."""

MAX_BODY = 32 << 20
"""Bytes of the longest answer that comes in one piece."""

_CAN_DO_WITHOUT = ("stream_options", "max_tokens")
_DOES_NOT_KNOW = (
    "unsupported",
    "not supported",
    "not permitted",
    "unrecognized",
    "unknown",
    "extra",
)


def parse_url(text: str) -> Address:
    """The address that a person means by `text`: with or without `/v1` and `http://`, or
    `unix:/path/of/socket`.

    Raises:
        InputError: it is none, or has a key in it.
    """
    shown = clean_line(text, 200)
    if text.startswith("unix:"):
        socket = text.removeprefix("unix:").removeprefix("//")
        if not socket or "\0" in socket:
            raise InputError(f"{shown!r} names no socket", remedy="such as unix:/path/of/socket")
        return Address("http://localhost", socket)
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{shown!r} is no address: {error}", remedy=_EXAMPLE) from error
    if parts.username is not None or parts.query or parts.fragment:
        raise InputError(
            "the address has a name, a key or a query in it",
            remedy="give only where the server is; its key goes into QTUI_API_KEY",
        )
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() for c in url):
        raise InputError(f"{shown!r} is no address of a server", remedy=_EXAMPLE)
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return Address(f"{parts.scheme}://{parts.netloc}{path}")


_EXAMPLE = "such as https://HOST/v1 or http://127.0.0.1:8000"


def is_local(address: Address) -> bool:
    """Whether what is sent to `address` stays on this machine."""
    if address.socket:
        return True
    host = urlsplit(address.url).hostname or ""
    return host.endswith(".localhost") or serving.is_loopback(host)


def exposed_key(address: Address, key: str | None) -> str:
    """A warning when the key would cross a network that anybody on it can read; else empty."""
    if not key or is_local(address) or address.url.startswith("https:"):
        return ""
    host = clean_line(urlsplit(address.url).netloc)
    return f"the key goes to {host} unencrypted: use https:// or a tunnel (ssh -L) if you can"


class Client:
    """One server at `address`. Any number of requests at once; close it at the end."""

    def __init__(
        self,
        address: Address,
        key: str | None = None,
        *,
        name: str = "",
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        """`key`: what is sent with each request; none: the one of the environment, if any. `name`:
        what messages call the server; none: by its address."""
        import httpx

        self.address = address
        self.host = clean_line(name or address.socket or urlsplit(address.url).netloc, 100)
        self._key = key or serving.key()
        self._silent = silent_seconds
        # A transport of our own is not sent through the proxies of the environment.
        transport = None
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        if address.socket or is_local(address):
            transport = httpx.AsyncHTTPTransport(uds=address.socket, limits=limits)
        headers = {"accept": "application/json, text/event-stream", "user-agent": "qtui"}
        if self._key:
            headers["authorization"] = f"Bearer {_in_header(self._key)}"
        self._http = httpx.AsyncClient(
            headers=headers,
            transport=transport,
            limits=limits,
            timeout=httpx.Timeout(silent_seconds, connect=CONNECT_SECONDS, pool=None),
        )
        self._hold = in_use.hold(address.socket) if address.socket else None
        self._without: set[str] = set()  # what this server has refused to know

    @property
    def warning(self) -> str:
        """What the user has to know before anything is sent; empty when all is well."""
        return exposed_key(self.address, self._key)

    async def models(self) -> list[Model]:
        """What may be asked, in the server's order."""
        async with self._answer("GET", "/v1/models") as response:
            body = await self._whole(response)
        value = decoded(body)
        listed = value.get("data") if isinstance(value, dict) else None
        if not isinstance(listed, list):
            raise not_understood(self.host, response.headers.get("content-type", ""), body)
        return [_model(each) for each in listed if isinstance(each, dict) and "id" in each]

    async def health(self) -> None:
        """Return when the server says that it is well; raise with its reason when not."""
        try:
            async with self._answer("GET", "/health"):
                return
        except ServerError as error:
            if error.status not in (404, 405):
                raise
        await self.models()  # OpenAI itself, and some others, have no /health

    async def ask(self, ask: Ask) -> AsyncGenerator[Prompted | Delta | Answered, None]:
        """The answer to `ask` as it is written: at most one `Prompted`, `Delta`s, one `Answered`.

        Closing the generator, or cancelling the task that reads it, ends the server's work.
        """
        body = body_of(ask)
        while True:
            try:
                async with aclosing(self._asked(path_of(ask), self._as_known(body))) as answer:
                    async for each in answer:
                        yield each
                return
            except ServerError as error:
                # `max_tokens` is the most that is wanted: where the context leaves less, that is
                # asked for. Of a prompt that is itself too long the server says so again.
                if error.code == "context_length_exceeded" and body.pop("max_tokens", None):
                    continue
                if not self._learn(error):
                    raise

    async def aclose(self) -> None:
        """Close all connections."""
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None
        await self._http.aclose()

    def _as_known(self, body: dict[str, Any]) -> dict[str, Any]:
        """`body` without what this server has refused to know."""
        known = {name: value for name, value in body.items() if name not in self._without}
        if "max_tokens" in self._without and "max_tokens" in body:
            known["max_completion_tokens"] = body["max_tokens"]
        return known

    def _learn(self, error: ServerError) -> bool:
        """Whether `error` is about a field that can be left out; then it is, from now on."""
        if error.status not in (400, 422):
            return False
        said = f"{error.code} {error.message}".lower()
        if not any(word in said for word in _DOES_NOT_KNOW):
            return False
        for name in _CAN_DO_WITHOUT:
            if name not in self._without and (error.param == name or name in said):
                self._without.add(name)
                return True
        return False

    async def _asked(
        self, path: str, body: dict[str, Any]
    ) -> AsyncGenerator[Prompted | Delta | Answered, None]:
        reading = Reading(self.host)
        async with self._answer("POST", path, body) as response:
            kind = response.headers.get("content-type", "")
            if not kind.startswith("text/event-stream"):
                whole = await self._whole(response)
                for each in reading.whole(whole, kind):
                    yield each
                return
            stream = EventStream()
            async for chunk in self._chunks(response):
                for event in stream.feed(chunk):
                    for each in reading.event(event.name, event.data):
                        yield each
                if reading.done:
                    break
            else:
                for event in stream.end():
                    for each in reading.event(event.name, event.data):
                        yield each
            yield reading.end()

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """An answer whose status is good; what is not read of it is closed."""
        import httpx

        try:
            # Not `json=`: a lone surrogate in a prompt must reach the server as it is.
            content = None if body is None else json.dumps(body, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise InputError(f"the request is no JSON: {error}") from error
        headers = {} if content is None else {"content-type": "application/json"}
        request = self._http.build_request(
            method, self.address.url + path, content=content, headers=headers
        )
        try:
            response = await self._http.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._unreachable(error) from error
        except httpx.TimeoutException as error:
            raise self._silence() from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._cut_off(error, "before it answered") from error
        try:
            if response.status_code >= 300:
                told = await self._whole(response)
                raise refused(
                    self.host, response.status_code, response.headers, told, keyed=bool(self._key)
                )
            yield response
        finally:
            await response.aclose()

    async def _whole(self, response: httpx.Response) -> bytes:
        found = bytearray()
        async for chunk in self._chunks(response):
            found += chunk
            if len(found) > MAX_BODY:
                raise not_understood(self.host, f"more than {MAX_BODY:,} bytes", b"")
        return bytes(found)

    async def _chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        import httpx

        try:
            async for chunk in response.aiter_bytes():
                yield chunk
        except httpx.TimeoutException as error:
            raise self._silence() from error
        except httpx.HTTPError as error:
            raise self._cut_off(error, "in mid-answer") from error

    def _unreachable(self, error: Exception) -> QtuiError:
        why = clean_line(str(error), 200) or "no connection within 10 s"
        return UnreachableError(
            f"no server answers at {self.host}: {why}",
            remedy="is it running, and is the address right? qtui runs list shows your servers",
        )

    def _silence(self) -> QtuiError:
        return SilentError(
            f"{self.host} has sent nothing for {self._silent:.0f} s",
            remedy="the server may be overloaded or stuck: ask again, or look into its log",
        )

    def _cut_off(self, error: Exception, when: str) -> QtuiError:
        why = clean_line(str(error), 200)
        return CutOffError(
            f"the connection to {self.host} broke off {when}" + (f": {why}" if why else ""),
            remedy="the server, or the line to it, has gone: look into its log, then ask again",
        )


def _model(value: dict[str, Any]) -> Model:
    parent, context = value.get("parent"), value.get("max_model_len")
    return Model(
        str(value["id"]),
        parent if isinstance(parent, str) else None,
        context if isinstance(context, int) else None,
    )


def _in_header(key: str) -> str:
    if not key.isascii() or not key.isprintable():
        raise InputError(
            "the key has characters that cannot be sent",
            remedy="look at QTUI_API_KEY: a key is one line of plain letters and digits",
        )
    return key

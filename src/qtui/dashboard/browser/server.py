"""`qtui web`'s server: textual-serve's page and websocket, behind a gate, with limits.

Every route needs the cookie that a one-time token was exchanged for, a Host that is ours, and, for
the websocket, an Origin that is ours. A tab is a process; when the tab is gone, closed or lost
without a word, so is the process, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp_jinja2
from aiohttp import WSCloseCode, web
from textual_serve.server import Server, to_int

from qtui.dashboard.browser import pages
from qtui.dashboard.browser.gate import Gate
from qtui.dashboard.browser.origins import Origins
from qtui.dashboard.browser.session import Session
from qtui.terminal import clean_line

_PAGE = Path(__file__).with_name("page")
_ROOM_WITHIN = 3.0  # seconds: a tab that is reloaded connects before its old process has ended
_FAREWELL_WITHIN = 2.0  # seconds for a tab to answer that it is closed
_FONT_SIZES = range(8, 49)
_CLOSE_TEXT = 120  # bytes that a websocket may say when it is closed, RFC 6455 5.5
_WEB_FAULTS = (ValueError, TypeError, LookupError, AttributeError, AssertionError)
_TOO_MANY, _PROGRAM_ENDED = 4001, 4002

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BrowserServer(Server):
    """Serves the dashboard `program` (a command line) to at most `sessions` tabs at once.

    `say` is told what the user should know (foreign text may be in it); `heartbeat` is how many
    seconds a tab may be silent until it is asked whether it is there; it has half of them to
    answer.
    """

    def __init__(
        self,
        program: Sequence[str],
        gate: Gate,
        origins: Origins,
        *,
        sessions: int,
        say: Callable[[str], None],
        heartbeat: float = 15.0,
    ) -> None:
        super().__init__("", title="qtui", templates_path=_PAGE)
        self._program = program
        self._gate = gate
        self._origins = origins
        self._limit = sessions
        self._room = asyncio.Semaphore(sessions)
        self._say = say
        self._heartbeat = heartbeat
        self._open: dict[Session, asyncio.Task[None]] = {}
        self._leaving = False

    async def application(self) -> web.Application:
        """The application; whoever runs it calls `end` before it is shut down."""
        app = await self._make_app()
        app.router.add_static("/page", _PAGE / "static")
        app.middlewares.append(self._check)
        app.on_response_prepare.append(self._add_rules)
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Prints nothing, where textual-serve would print its name."""

    async def end(self) -> None:
        """End every dashboard, and part with its tab while that is still heard."""
        self._leaving = True
        tabs = dict(self._open)
        await asyncio.gather(*(session.stop() for session in tabs))
        if tabs:
            await asyncio.wait(tabs.values(), timeout=_FAREWELL_WITHIN)

    # -- who may ----------------------------------------------------------------------------------

    @web.middleware
    async def _check(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if self._origins.of_request(host) is None:
            return pages.unknown_host(host)
        origin = request.headers.get("Origin", "")
        socket = request.path == "/ws"
        if (origin or socket) and not self._origins.may_connect(origin, host):
            return web.Response(status=403, text="Pages of other sites may not connect to qtui.")
        known = self._gate.knows(request.cookies.get(self._gate.cookie_name, ""))
        token = request.query.get("token", "")
        if token and request.path == "/" and request.method == "GET":
            return self._exchange(token, known, host)
        if not known:
            return pages.denied(token_given=False)
        return await handler(request)

    def _exchange(self, token: str, known: bool, host: str) -> web.Response:
        cookie = self._gate.exchange(token)
        if cookie is None:
            # Whoever comes back by the address in the browser's history is let in all the same.
            return pages.let_in() if known else pages.denied(token_given=True)
        answer = pages.let_in()
        origin = self._origins.of_request(host) or ""
        answer.set_cookie(
            self._gate.cookie_name,
            cookie,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=origin.startswith("https://"),
        )
        self._say("The address was opened, and works no more.")
        return answer

    async def _add_rules(self, request: web.Request, response: web.StreamResponse) -> None:
        origin = self._origins.of_request(request.headers.get("Host", "")) or ""
        stored = request.path.startswith(("/static/", "/page/")) and response.status < 400
        response.headers.update(pages.rules(origin, stored=stored))

    # -- the page and its terminal ----------------------------------------------------------------

    @aiohttp_jinja2.template("dashboard.html")
    async def handle_index(self, request: web.Request) -> dict[str, Any]:
        """The page; its websocket is where the page itself is."""
        origin = self._origins.of_request(request.headers["Host"]) or ""
        size = to_int(request.query.get("fontsize", ""), 15)
        return {
            "websocket": origin.replace("http", "ws", 1) + "/ws",
            "font_size": min(max(size, _FONT_SIZES[0]), _FONT_SIZES[-1]),
        }

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """A tab, from when it connects until it is gone or its dashboard has ended."""
        websocket = web.WebSocketResponse(heartbeat=self._heartbeat, timeout=_FAREWELL_WITHIN)
        await websocket.prepare(request)
        try:
            await asyncio.wait_for(self._room.acquire(), _ROOM_WITHIN)
        except TimeoutError:
            open_now = "1 dashboard is" if self._limit == 1 else f"{self._limit} dashboards are"
            text = f"{open_now} open, the most here. Close one and open again."
            await _close(websocket, _TOO_MANY, text)
            return websocket
        session = Session(self._program, websocket, self.download_manager)
        width = to_int(request.query.get("width", ""), 80)
        height = to_int(request.query.get("height", ""), 24)
        self._open[session] = asyncio.create_task(self._serve(session, websocket, width, height))
        try:
            await self._open[session]
        finally:
            del self._open[session]
            self._room.release()
        return websocket

    async def _serve(
        self, session: Session, websocket: web.WebSocketResponse, width: int, height: int
    ) -> None:
        if self._leaving:
            return
        try:
            await session.start(width, height)
            tab = asyncio.create_task(self._until_gone(websocket, session))
            program = asyncio.create_task(session.ended.wait())
            await asyncio.wait((tab, program), return_when=asyncio.FIRST_COMPLETED)
            tab.cancel()
            program.cancel()
        except OSError as error:  # there may be no more processes
            text = f"The dashboard cannot be started: {error.strerror}"
            self._say(text)
            await _close(websocket, _PROGRAM_ENDED, text)
        finally:
            by_itself = session.ended.is_set()
            await session.stop()
        if not websocket.closed:
            await self._part(websocket, session, by_itself)

    async def _until_gone(self, websocket: web.WebSocketResponse, session: Session) -> None:
        """Pass on what the tab says, until it is gone or says what no page of ours would."""
        with suppress(ConnectionError, *_WEB_FAULTS):
            await self._process_messages(websocket, session)

    async def _part(
        self, websocket: web.WebSocketResponse, session: Session, by_itself: bool
    ) -> None:
        if self._leaving:
            await _close(websocket, WSCloseCode.GOING_AWAY, "")
        elif by_itself:
            if session.failure:
                self._say(f"A dashboard ended: {session.failure}")
            first = clean_line(session.failure.partition("\n")[0])
            await _close(websocket, _PROGRAM_ENDED, first)
        else:  # the tab said something that cannot be understood
            await _close(websocket, WSCloseCode.UNSUPPORTED_DATA, "")


async def _close(websocket: web.WebSocketResponse, code: int, text: str) -> None:
    cut = text.encode()[:_CLOSE_TEXT].decode(errors="ignore").encode()
    await websocket.close(code=code, message=cut)

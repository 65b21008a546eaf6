"""The server in this process, over real connections and with real processes behind the tabs."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, CookieJar, WSMsgType, web
from yarl import URL

from qtui.dashboard.browser import session as session_module
from qtui.dashboard.browser.gate import Gate
from qtui.dashboard.browser.origins import Origins
from qtui.dashboard.browser.server import BrowserServer

PROGRAM = Path(__file__).with_name("program.py")
PUBLIC = "https://pod-8080.proxy.example"
SECONDS = 60.0


@dataclass
class Served:
    """A server on a free port of loopback, and a browser with a cookie of it."""

    base: str
    gate: Gate
    browser: ClientSession
    server: BrowserServer
    said: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return self.base.removeprefix("http://")

    async def let_in(self) -> None:
        async with self.browser.get(f"{self.base}/?token={self.gate.new_token()}") as answer:
            assert answer.status == 200

    async def tab(self, size: str = "width=100&height=30") -> ClientWebSocketResponse:
        return await self.browser.ws_connect(f"{self.base}/ws?{size}", origin=self.base)

    async def status(self, path: str, **headers: str) -> int:
        async with self.browser.get(self.base + path, headers=headers) as answer:
            return answer.status


def serving(
    test: Callable[[Served], Coroutine[object, object, None]],
    way: str = "echo",
    *,
    sessions: int = 4,
    heartbeat: float = 15.0,
    public: str = "",
) -> None:
    """Run `test` against a server whose tabs are `program.py WAY`; no process may be left."""

    async def run() -> None:
        async with served(way, sessions=sessions, heartbeat=heartbeat, public=public) as one:
            await test(one)

    asyncio.run(asyncio.wait_for(run(), SECONDS))
    left = [child for child in psutil.Process().children() if PROGRAM.name in str(child.cmdline())]
    assert left == []


@asynccontextmanager
async def served(
    way: str, *, sessions: int, heartbeat: float, public: str
) -> AsyncIterator[Served]:
    gate = Gate()
    said: list[str] = []
    server = BrowserServer(
        (sys.executable, str(PROGRAM), way),
        gate,
        Origins("127.0.0.1", public),
        sessions=sessions,
        say=said.append,
        heartbeat=heartbeat,
    )
    runner = web.AppRunner(await server.application(), access_log=None, shutdown_timeout=5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    # Cookies of numeric hosts are not kept unless that is asked for.
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser:
        try:
            yield Served(f"http://127.0.0.1:{runner.addresses[0][1]}", gate, browser, server, said)
        finally:
            await server.end()
            await runner.cleanup()


async def shown(tab: ClientWebSocketResponse, wanted: str) -> str:
    """What the tab has drawn when `wanted` is in it."""
    text = ""
    while wanted not in text:
        message = await tab.receive(SECONDS)
        assert message.type is WSMsgType.BINARY, (message, text)
        text += message.data.decode()
    return text


async def closed(tab: ClientWebSocketResponse) -> tuple[int | None, str]:
    """Code and reason with which the server closed the tab."""
    while True:
        message = await tab.receive(SECONDS)
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED):
            return tab.close_code, message.extra or ""


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if PROGRAM.name in str(child.cmdline())]


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


# -- who may ------------------------------------------------------------------------------------


def test_every_route_needs_the_cookie() -> None:
    async def test(one: Served) -> None:
        paths = ("/", "/ws", "/static/js/textual.js", "/page/dashboard.js", "/download/x", "/none")
        for path in paths:
            assert await one.status(path, Origin=one.base) == 403, path
        await one.let_in()
        found = [await one.status(path) for path in ("/", *paths[2:])]
        assert found == [200, 200, 200, 404, 404]

    serving(test)


def test_a_token_is_exchanged_once_for_a_cookie_that_scripts_and_other_sites_do_not_get() -> None:
    async def test(one: Served) -> None:
        address = f"{one.base}/?token={one.gate.new_token()}"
        # Programs that only look at a link (a chat's preview) do not use it up.
        async with one.browser.head(address) as answer:
            assert answer.status == 403
        async with one.browser.get(address) as answer:
            cookie = answer.headers["Set-Cookie"]
            assert "token=" not in await answer.text()
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Secure" not in cookie  # plain http, which would not send it back
        assert one.said == ["The address was opened, and works no more."]
        assert await one.status(f"/?{address.partition('?')[2]}") == 200  # from the history
        one.browser.cookie_jar.clear()
        async with one.browser.get(address) as answer:
            assert answer.status == 403
            assert "press Enter" in await answer.text()
        wrong = f"/?token={'x' * 43}"
        assert await one.status(wrong) == 403

    serving(test)


def test_under_https_the_cookie_is_for_https_alone() -> None:
    async def test(one: Served) -> None:
        headers = {"Host": PUBLIC.removeprefix("https://")}
        address = f"{one.base}/?token={one.gate.new_token()}"
        async with one.browser.get(address, headers=headers) as answer:
            cookie = answer.cookies[one.gate.cookie_name]
            assert cookie["secure"]
        headers["Cookie"] = f"{cookie.key}={cookie.value}"
        async with one.browser.get(one.base + "/", headers=headers) as answer:
            assert f'"{PUBLIC.replace("https", "wss")}/ws"' in await answer.text()
            assert "wss://pod-8080" in answer.headers["Content-Security-Policy"]

    serving(test, public=PUBLIC)


def test_another_name_or_another_sites_page_gets_nothing_even_with_the_cookie() -> None:
    async def test(one: Served) -> None:
        await one.let_in()
        token = one.gate.new_token()
        assert await one.status(f"/?token={token}", Host="rebound.example") == 421
        assert await one.status("/static/js/textual.js", Host="rebound.example") == 421
        assert await one.status("/", Origin="https://evil.example") == 403
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        assert await one.status("/ws", **upgrade) == 403
        assert await one.status("/ws", **upgrade, Origin="https://evil.example") == 403
        assert await one.status("/ws", **upgrade, Origin="null") == 403
        assert await one.status("/ws", **upgrade, Origin="http://127.0.0.1:1") == 403
        assert children() == []
        assert one.gate.exchange(token)  # it was not used up by those

    serving(test)


def test_pages_come_with_rules_and_name_no_other_place() -> None:
    async def test(one: Served) -> None:
        await one.let_in()
        for path in ("/", "/none", f"/?token={one.gate.new_token()}", "/static/js/textual.js"):
            async with one.browser.get(one.base + path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "frame-ancestors 'none'" in policy
                assert "script-src 'self';" in policy
                assert f"ws://{one.host};" in policy
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert "aiohttp" not in answer.headers["Server"]
        async with one.browser.get(one.base + "/?fontsize=1000") as answer:
            text = await answer.text()
        assert f'"ws://{one.host}/ws"' in text
        assert 'data-font-size="48"' in text
        assert text.count("://") == 1  # the websocket's, and nothing else is elsewhere

    serving(test)


# -- tabs and their processes -------------------------------------------------------------------


def test_a_tab_is_a_process_of_its_size_that_hears_what_is_typed() -> None:
    async def test(one: Served) -> None:
        await one.let_in()
        tab = await one.tab("width=100&height=30")
        assert "100x30 xterm-256color" in await shown(tab, "xterm")
        await tab.send_json(["stdin", "hé\x1b[A"])
        assert "heard D hé\x1b[A" in await shown(tab, "[A")
        await tab.send_json(["resize", {"width": 90, "height": 20}])
        await shown(tab, '"width": 90, "height": 20')
        await tab.send_json(["resize", {"width": 10**9, "height": -5}])
        await shown(tab, '"width": 500, "height": 6')
        await tab.send_json(["focus"])
        await shown(tab, "focus")
        assert len(children()) == 1
        await tab.close()
        await until(lambda: not children())
        assert one.said[1:] == []

    serving(test)


@pytest.mark.parametrize(
    ("size", "given"),
    [("", "80x24"), ("width=x&height=", "80x24"), ("width=99999999999&height=-1", "500x6")],
)
def test_a_tab_without_a_size_gets_one(size: str, given: str) -> None:
    async def test(one: Served) -> None:
        await one.let_in()
        tab = await one.tab(size)
        assert (await shown(tab, "xterm")).split()[1] == given
        await tab.close()

    serving(test)


@pytest.mark.parametrize(
    "said", ["", "[]", "{}", "[1", '["stdin"]', '["stdin", 5]', '["resize", {}]', '["resize", 1]',
             '["resize", {"width": "x", "height": 1}]', "null"],
)  # fmt: skip
def test_what_no_page_of_ours_says_ends_the_tab_and_nothing_else(said: str) -> None:
    async def test(one: Served) -> None:
        await one.let_in()
        other, tab = await one.tab(), await one.tab()
        await shown(tab, "xterm")
        await tab.send_str(said)
        assert await closed(tab) == (1003, "")
        await other.send_json(["stdin", "still here"])
        await shown(other, "still here")

    serving(test)


def test_one_tab_too_many_is_told_so_until_another_is_closed() -> None:
    async def test(one: Served) -> None:
        await one.let_in()
        first, second = await one.tab(), await one.tab()
        await shown(first, "xterm")
        await shown(second, "xterm")
        third = await one.tab()
        code, reason = await closed(third)
        assert code == 4001
        assert reason.startswith("2 dashboards are open")
        assert len(children()) == 2
        # A page that is loaded again connects before the server knows that the old one is gone.
        again = asyncio.create_task(one.tab())
        await second.close()
        await shown(await again, "xterm")

    serving(test, sessions=2)


def test_a_tab_that_is_gone_without_a_word_is_found() -> None:
    async def test(one: Served) -> None:
        await one.let_in()
        cookie = one.browser.cookie_jar.filter_cookies(URL(one.base))[one.gate.cookie_name]
        reader, writer = await asyncio.open_connection("127.0.0.1", one.host.partition(":")[2])
        lines = (
            "GET /ws?width=80&height=24 HTTP/1.1",
            f"Host: {one.host}",
            f"Origin: {one.base}",
            f"Cookie: {cookie.key}={cookie.value}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        )
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        assert b" 101 " in await reader.readline()
        await until(children)
        # From here on nobody answers and nobody reads, and the connection stays open.
        await until(lambda: not children())
        writer.close()

    serving(test, "flood", heartbeat=0.5)


def test_a_browser_that_takes_nothing_keeps_no_other_waiting() -> None:
    async def test(one: Served) -> None:
        await one.let_in()
        stalled = await one.tab()
        other = await one.tab()
        await other.receive(SECONDS)
        assert await one.status("/") == 200
        await other.close()
        await stalled.close()

    serving(test, "flood")


def test_a_dashboard_that_crashed_says_why_to_both() -> None:
    async def test(one: Served) -> None:
        await one.let_in()
        code, reason = await closed(await one.tab())
        assert code == 4002
        assert reason.startswith("xxxx")  # the first line, cut to what a websocket may say
        assert len(reason) <= 123
        assert one.said[-1].endswith("qtui: it broke\n  a way out")
        assert len(one.said[-1]) < 5000

    serving(test, "crash")


@pytest.mark.parametrize("way", ["leave", "silent"])
def test_a_dashboard_that_was_left_closes_its_tab(way: str) -> None:
    async def test(one: Served) -> None:
        await one.let_in()
        assert await closed(await one.tab()) == (4002, "")
        await until(lambda: not children())
        assert len(one.said) == 1

    serving(test, way)


def test_a_dashboard_that_hears_nothing_is_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "_QUIT_WITHIN", 0.2)
    monkeypatch.setattr(session_module, "_TERMINATE_WITHIN", 0.2)

    async def test(one: Served) -> None:
        await one.let_in()
        tab = await one.tab()
        await shown(tab, "I hear nothing")
        for _ in range(40):  # more than its pipe and ours hold
            await tab.send_json(["stdin", "x" * 60_000])
        await tab.send_json(["ping", "1"])
        while (message := await tab.receive(SECONDS)).type is not WSMsgType.TEXT:
            pass
        assert json.loads(message.data) == ["pong", "1"]  # the server does not wait for it
        (session,) = one.server._open
        assert session.stdin.transport.get_write_buffer_size() < 1_200_000
        await tab.close()
        await until(lambda: not children())

    serving(test, "deaf")


def test_a_program_that_cannot_be_started_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)

    async def test(one: Served) -> None:
        await one.let_in()
        code, reason = await closed(await one.tab())
        assert code == 4002
        assert reason == "The dashboard cannot be started: Resource temporarily unavailable"
        assert one.said[-1] == reason

    serving(test)


def test_only_links_to_the_web_are_opened() -> None:
    async def test(one: Served) -> None:
        await one.let_in()
        tab = await one.tab()
        await shown(tab, "xterm")
        for url in ("javascript:alert(1)", "file:///etc/passwd", "https://example.org/"):
            await tab.send_json(["stdin", url])
        message = await tab.receive(SECONDS)
        assert json.loads(message.data) == [
            "open_url",
            {"url": "https://example.org/", "new_tab": True},
        ]

    serving(test, "links")


def test_the_end_of_the_server_is_the_end_of_every_dashboard() -> None:
    async def run() -> None:
        async with served("echo", sessions=4, heartbeat=15.0, public="") as one:
            await one.let_in()
            tabs = [await one.tab(), await one.tab()]
            for tab in tabs:
                await shown(tab, "xterm")
            assert len(children()) == 2
            told = [asyncio.create_task(closed(tab)) for tab in tabs]
        assert children() == []
        assert [await each for each in told] == [(1001, ""), (1001, "")]

    asyncio.run(asyncio.wait_for(run(), SECONDS))

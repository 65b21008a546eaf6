"""`qtui web` as a program: its address, its keys, its end, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, CookieJar

from tests.cli.programs import SECONDS, command, environment, qtui, spawn, wait_for
from tests.e2e.web import Web

_ADDRESS = r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}"


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


_NEEDS_IPV6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")


def within(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, SECONDS))


async def opened(browser: ClientSession, address: str) -> ClientWebSocketResponse:
    """A tab of the address, as soon as something is drawn in it."""
    base = address.partition("/?")[0]
    async with browser.get(address) as answer:
        assert answer.status == 200
    tab = await browser.ws_connect(f"{base}/ws?width=100&height=30", origin=base)
    drawn = b""
    while b"Home" not in drawn:
        drawn += (await tab.receive(SECONDS)).data
    return tab


def browser() -> ClientSession:
    return ClientSession(cookie_jar=CookieJar(unsafe=True))


def test_json_is_one_document_and_nothing_else(workspace: Path) -> None:
    with Web(workspace) as web:
        assert re.fullmatch(_ADDRESS, web.address)
        assert web.address.startswith(web.base)
        assert httpx.get(web.address).status_code == 200
        code, out, err = web.end(signal.SIGTERM)
    assert (code, out) == (0, "")
    assert err == "The address was opened, and works no more.\n"


def test_no_token_and_no_cookie_reach_any_output(workspace: Path) -> None:
    with Web(workspace, "--debug") as web:
        token = web.address.partition("token=")[2]
        host = web.base.removeprefix("http://")
        assert httpx.get(web.base, headers={"Host": f"x-{token}.example"}).status_code == 421
        assert httpx.post(f"{web.base}/?token={token}").status_code == 403
        with socket.create_connection(tuple(host.split(":")), timeout=SECONDS) as raw:  # type: ignore[arg-type]
            raw.sendall(f"GET /?token={token} HTTP/9.9\r\nHo\x00st: {token}\r\n\r\n".encode())
            assert b" 400 " in raw.recv(65536).partition(b"\r\n")[0]
        answer = httpx.get(web.address)
        cookie = answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
        assert len(cookie) == 43
        _, out, err = web.end(signal.SIGINT)
    assert token not in out + err
    assert cookie not in out + err


def test_enter_makes_a_new_address_and_ctrl_c_ends_it_with_its_dashboards(workspace: Path) -> None:
    child = spawn("web", "--port", "0", cwd=workspace)
    child.expect(_ADDRESS.encode())
    first = child.after.decode()
    child.expect("Enter makes another. Ctrl-C ends it; runs go on.")
    child.send("\r")
    child.expect(_ADDRESS.encode())
    second = child.after.decode()
    assert second != first
    assert second.partition("/?")[0] == first.partition("/?")[0]
    program = psutil.Process(child.pid)

    async def test() -> None:
        async with browser() as one, browser() as other:
            async with one.get(first) as answer:
                assert answer.status == 403  # the newer one has taken its place
            tab = await opened(one, second)
            child.send("\r")
            child.expect(_ADDRESS.encode())
            third = await opened(other, child.after.decode())
            assert len(program.children()) == 2
            dashboards = program.children()
            child.sendintr()
            assert (await closed(tab), await closed(third)) == (1001, 1001)
            wait_for(lambda: not any(map(alive, dashboards)))

    within(test())
    child.wait()
    assert child.exitstatus == 0


async def closed(tab: ClientWebSocketResponse) -> int | None:
    async for _ in tab:
        pass
    return tab.close_code


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_however_it_ends_no_dashboard_is_left(number: int, workspace: Path) -> None:
    async def test(web: Web) -> None:
        async with browser() as one:
            await opened(one, web.address)
            (dashboard,) = web.dashboards()
            code, _, _ = web.end(number)
            assert code == (-9 if number == signal.SIGKILL else 0)
            wait_for(lambda: not alive(dashboard))

    with Web(workspace) as web:
        within(test(web))


def test_where_a_hangup_is_ignored_it_goes_on(workspace: Path) -> None:
    shell = f"trap '' HUP; exec {' '.join(command(('web', '--port', '0', '--json')))}"
    process = subprocess.Popen(
        ["bash", "-c", shell], cwd=workspace, env=environment(), stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        base = json.loads(process.stdout.readline())["base"]
        process.send_signal(signal.SIGHUP)
        assert httpx.get(base).status_code == 403
        assert process.poll() is None
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)
    assert process.returncode == 0


def test_in_the_background_of_a_shell_it_leaves_the_keyboard_alone(workspace: Path) -> None:
    line = " ".join(command(("web", "--port", "0")))
    shell = spawn_shell(workspace)
    shell.sendline(f"{line} & echo started")
    shell.expect(_ADDRESS.encode())
    base = shell.after.decode().partition("/?")[0]
    shell.sendline("echo $((40 + 2)) is read by the shell")
    shell.expect("42 is read by the shell")
    assert httpx.get(base).status_code == 403  # it was not stopped by reading
    shell.sendline("jobs")
    shell.expect("Running")
    shell.sendline("kill %1; wait; exit")
    shell.expect(r"exit\s", timeout=SECONDS)
    shell.wait()


def spawn_shell(cwd: Path) -> Any:
    import pexpect

    return pexpect.spawn(
        "bash",
        ["--norc", "-i"],
        cwd=str(cwd),
        env=environment(),
        timeout=SECONDS,
        dimensions=(24, 200),
    )


def test_a_port_that_is_taken_is_said(workspace: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        shown = qtui("web", "--port", port, cwd=workspace)
    assert shown.code == 2
    assert f"127.0.0.1 port {port} is taken" in shown.stderr.decode()
    assert "--port 0" in shown.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--port", "70000"), "--port 70000 is no port"),
        (("--sessions", "0"), "--sessions 0 lets nobody in"),
        (("--host", "203.0.113.9"), "cannot listen on 203.0.113.9 port 8080"),
        (("--host", "no..name"), "cannot listen on no..name"),
        (("--public-url", "https://a.example/x"), "has a path"),
        (("--public-url", "a.example"), "is not an http or https address"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(
    arguments: tuple[str, ...], said: str, workspace: Path
) -> None:
    shown = qtui("web", *arguments, cwd=workspace)
    assert shown.code == 2
    assert said in shown.stderr.decode()
    assert shown.stdout == b""
    assert len(shown.stderr.decode().splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "warned", "base"),
    [
        (("--host", "0.0.0.0"), True, r"http://127\.0\.0\.1:\d+"),
        (("--host", "0.0.0.0", "--public-url", "http://a.example"), True, r"http://a\.example"),
        (("--host", "0.0.0.0", "--public-url", "https://A.example/"), False, r"https://a\.example"),
        pytest.param(("--host", "::1"), False, r"http://\[::1\]:\d+", marks=_NEEDS_IPV6),
        ((), False, r"http://127\.0\.0\.1:\d+"),
    ],
)
def test_plain_http_that_others_can_read_is_warned_of(
    arguments: tuple[str, ...], warned: bool, base: str, workspace: Path
) -> None:
    with Web(workspace, *arguments) as web:
        assert re.fullmatch(base, web.base)
        _, _, err = web.end(signal.SIGTERM)
    assert ("plain http" in err) == warned


def test_without_its_packages_it_says_which_extra_has_them(workspace: Path) -> None:
    code = (
        "import sys; sys.modules['textual_serve'] = None\n"
        "from qtui.cli.main import main; sys.exit(main(['web', '--json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workspace, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 4
    error = json.loads(done.stdout)["error"]
    assert error["type"] == "ImpossibleError"
    assert "textual-serve" in error["message"]
    assert "[web]" in error["remedy"]

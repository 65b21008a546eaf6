"""Alerts posted to a real HTTP server on loopback: well, badly, slowly, not at all."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from qtui.errors import InputError
from qtui.runs import webhook
from qtui.runs.alerts import Alert
from qtui.runs.webhook import Webhook, host_of
from tests.runs.conftest import until

ALERT = Alert(run="20261120-154210-quiet-otter", kind="stall", message="no sign of life", time=7.5)
SECRET = "T0P-canary-token"


class Server:
    """Answers each post with the next of `answers` (200 when there are no more)."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str, bytes]] = []
        self.answers: list[int | str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.posts.append((self.path, self.headers["Content-Type"], body))
                answer = server.answers.pop(0) if server.answers else 200
                if answer == "hang":
                    server.released.wait(30)
                    return
                if answer == "garbage":
                    self.wfile.write(b"\x1b[31mthis is not HTTP\r\n\r\n")
                    return
                self.send_response(int(answer))
                if answer == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:  # a redirect that is followed comes as a GET
                server.posts.append((self.path, "", b""))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.released = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/hook/{SECRET}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.released.set()
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def failures() -> list[str]:
    return []


@pytest.fixture
def hook(server: Server, failures: list[str]) -> Iterator[Webhook]:
    made = Webhook(server.url, failures.append, wait=0.01)
    yield made
    made.close()


def test_an_alert_is_posted_as_json(server: Server, hook: Webhook, failures: list[str]) -> None:
    hook.send(ALERT)
    until(lambda: server.posts)
    ((path, kind, body),) = server.posts
    assert path.endswith(SECRET)
    assert kind == "application/json"
    assert json.loads(body) == {
        "run": "20261120-154210-quiet-otter",
        "kind": "stall",
        "message": "no sign of life",
        "time": 7.5,
    }
    assert failures == []


def test_it_is_tried_once_more(server: Server, hook: Webhook, failures: list[str]) -> None:
    server.answers = [503]
    hook.send(ALERT)
    until(lambda: len(server.posts) == 2)
    hook.send(ALERT)
    until(lambda: len(server.posts) == 3)
    assert failures == []


def test_failure_is_said_once_until_one_gets_through(
    server: Server, hook: Webhook, failures: list[str]
) -> None:
    server.answers = [500] * 4
    hook.send(ALERT)
    hook.send(ALERT)
    hook.send(ALERT)  # this one gets through
    until(lambda: len(server.posts) == 5)
    assert failures == ["an alert could not be sent to the webhook at 127.0.0.1: it answers 500"]
    server.answers = [404] * 2
    hook.send(ALERT)
    until(lambda: len(failures) == 2)


@pytest.mark.parametrize("answer", [302, "garbage"])
def test_a_strange_answer_is_a_failure_that_shows_no_secret(
    server: Server, hook: Webhook, failures: list[str], answer: int | str
) -> None:
    server.answers = [answer, answer]
    hook.send(ALERT)
    until(lambda: failures)
    assert len(server.posts) == 2
    assert all(path.endswith(SECRET) for path, _, _ in server.posts)  # no redirect was followed
    assert SECRET not in failures[0]
    assert "\x1b" not in failures[0]


def test_a_server_that_does_not_answer_costs_the_time_limit_only(
    server: Server, failures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT", 0.2)
    server.answers = ["hang", "hang"]
    hook = Webhook(server.url, failures.append, wait=0.01)
    hook.send(ALERT)
    until(lambda: failures)
    assert "no answer within 0.2 s" in failures[0]
    hook.close()


def test_nobody_there(failures: list[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hook = Webhook(f"http://127.0.0.1:{port}/{SECRET}", failures.append, wait=0.01)
    hook.send(ALERT)
    until(lambda: failures)
    assert "Connection refused" in failures[0]
    assert SECRET not in failures[0]
    hook.close()


def test_closing_may_wait_for_what_is_on_its_way(server: Server, failures: list[str]) -> None:
    hook = Webhook(server.url, failures.append)
    for _ in range(5):
        hook.send(ALERT)
    hook.close(30)
    assert len(server.posts) == 5


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/x",
        "example.org/hook",
        "http://",
        "",
        "http://[::1",
        f"https://exa mple.org/{SECRET}",
        f"http://example.org/{SECRET}\r\nX-Injected: 1",
    ],
)
def test_only_addresses_of_the_web(url: str) -> None:
    with pytest.raises(InputError) as refused:
        Webhook(url, print)
    assert SECRET not in refused.value.message + refused.value.remedy
    assert "QTUI_WEBHOOK" in refused.value.remedy


def test_the_host_is_all_that_is_told_of_an_address() -> None:
    assert host_of(f"https://user:{SECRET}@hooks.example.org:8443/{SECRET}") == "hooks.example.org"

"""Who may call: names, web pages, keys; and where a server listens at all."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import httpx
import openai
import pytest

from qtui.errors import ImpossibleError, InputError
from qtui.stages.inference.server import listening
from qtui.stages.inference.server.doors import doors
from qtui.stages.inference.server.listening import on_port, on_socket
from qtui.stages.inference.server.response_models import ErrorAnswer
from tests.stages.inference.fake_engine import BASE, FakeEngine
from tests.stages.inference.fake_server import serving

KEY = "a-key-of-24-characters-!"
BODY = {"model": BASE, "messages": [{"role": "user", "content": "hello"}]}
PAGE = "https://pod-8000.proxy.example"


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, ErrorAnswer.model_validate(answer.json()).error.code


@pytest.mark.parametrize(
    ("host", "fine"),
    [
        ("localhost:{port}", True),
        ("127.0.0.1:{port}", True),
        ("LOCALHOST", True),
        ("[::1]:9000", True),  # through a tunnel
        ("pod.example:443", True),
        ("exact.example:8443", True),
        ("exact.example", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:{port}", False),
        ("evil.example:localhost", False),
        ("", False),
    ],
)
def test_host(host: str, fine: bool) -> None:
    allowed = ["Pod.example", "exact.example:8443"]
    with serving(FakeEngine(), allowed_hosts=allowed) as server, server.client() as http:
        port = server.running.listener.socket.getsockname()[1]
        headers = {"host": host.format(port=port)}
        for path in ("/v1/models", "/health"):
            answer = http.get(path, headers=headers)
            assert answer.status_code == (200 if fine else 421), path
        if not fine:
            assert refusal(http.post("/v1/chat/completions", json=BODY, headers=headers)) == (
                421,
                "wrong_host",
            )
    assert len(server.service.engine.jobs) == 0  # type: ignore[attr-defined]


def test_elsewhere_any_host_is_right_unless_some_are_named() -> None:
    free = doors("0.0.0.0", unix=False, key=KEY, hosts=[], origins=[])
    assert free.stranger({b"host": b"anything.example"}) is None
    named = doors("0.0.0.0", unix=False, key=KEY, hosts=["pod.example"], origins=[])
    assert named.stranger({b"host": b"pod.example:80"}) is None
    assert named.stranger({b"host": b"0.0.0.0:8000"}) is None
    assert named.stranger({b"host": b"anything.example"}) is not None
    v6 = doors("::1", unix=False, key=None, hosts=[], origins=[])
    assert v6.stranger({b"host": b"[::1]:8000"}) is None
    assert v6.stranger({b"host": b"[::2]:8000"}) is not None


def test_pages_may_call_only_where_they_are_named() -> None:
    with (
        serving(FakeEngine(), key=KEY, allowed_origins=[PAGE + "/"]) as server,
        server.client() as http,
    ):
        chat = "/v1/chat/completions"
        for origin in ("https://evil.example", "null", server.url, PAGE + ".evil.example"):
            refused = http.post(chat, json=BODY, headers={"origin": origin})
            assert refusal(refused) == (403, "origin_not_allowed")
            assert "access-control-allow-origin" not in refused.headers
        answer = http.post(chat, json=BODY, headers={"origin": PAGE})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["vary"] == "Origin"
        asks = {
            "origin": PAGE,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, content-type",
        }
        with httpx.Client(base_url=server.url) as keyless:
            before = keyless.options(chat, headers=asks)
            assert before.status_code == 204
            assert before.headers["access-control-allow-origin"] == PAGE
            assert before.headers["access-control-allow-headers"] == "authorization, content-type"
            assert refusal(keyless.options(chat, headers=asks | {"origin": "null"})) == (
                403,
                "origin_not_allowed",
            )
            # An error can be read by the page as well.
            wrong = keyless.post(chat, json=BODY, headers={"origin": PAGE})
            assert refusal(wrong) == (401, "invalid_api_key")
            assert wrong.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data; boundary=x"],
)
def test_what_a_page_can_post_without_asking_is_no_request(kind: str) -> None:
    with serving(FakeEngine()) as server, server.client() as http:
        answer = http.post(
            "/v1/chat/completions", content=httpx.Request("POST", "http://x", json=BODY).content,
            headers={"content-type": kind},
        )  # fmt: skip
        assert refusal(answer) == (415, "unsupported_media_type")


def test_everything_but_health_asks_for_the_key(tmp_path: Path) -> None:
    paths = ("/v1/models", f"/v1/models/{BASE}", "/metrics", "/openapi.json", "/docs", "/nowhere")
    for unix in (False, True):
        at = serving(FakeEngine(), tmp_path, key=KEY, socket=unix)
        with at as server, server.client() as http:
            assert all(http.get(path).status_code == 200 for path in paths[:-1])
            assert http.post("/v1/chat/completions", json=BODY).status_code == 200
            del http.headers["authorization"]
            assert http.get("/health").status_code == 200
            for given in (None, "Bearer", f"Bearer {KEY}x", f"Basic {KEY}", KEY):
                headers = {"authorization": given} if given else {}
                for path in paths:
                    answer = http.get(path, headers=headers)
                    assert refusal(answer) == (401, "invalid_api_key"), (path, given)
                    assert answer.headers["www-authenticate"] == "Bearer"
                answer = http.post("/v1/chat/completions", json=BODY, headers=headers)
                assert refusal(answer) == (401, "invalid_api_key")
    with serving(FakeEngine(), key=KEY) as server:
        good = openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0)
        bad = openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0)
        with good, bad:
            assert good.models.list().data
            with pytest.raises(openai.AuthenticationError):
                bad.models.list()


def test_a_port_that_is_taken_and_addresses_of_nobody() -> None:
    first = on_port("127.0.0.1", 0)
    port = first.socket.getsockname()[1]
    assert first.url == f"http://127.0.0.1:{port}"
    with pytest.raises(InputError, match=f"port {port} on 127.0.0.1 is in use") as taken:
        on_port("127.0.0.1", port)
    assert "--port 0" in taken.value.remedy
    first.close()
    on_port("localhost", port).close()
    for host in ("no.such.name.invalid", "203.0.113.77"):
        with pytest.raises(InputError, match=host):
            on_port(host, 0)


def test_nobody_else_can_open_the_socket(tmp_path: Path) -> None:
    listener = on_socket(tmp_path)
    path = tmp_path / "serve.sock"
    assert listener.path == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    # What a dead server has left does not stop the next one.
    listener.socket.close()
    again = on_socket(tmp_path)
    again.close()
    assert not path.exists()


def test_a_folder_that_cannot_hold_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    path = tmp_path / "file"
    path.write_text("in the way")
    for folder in (deep, path, tmp_path / "absent"):
        listener = on_socket(folder)
        try:
            assert listener.path is not None
            assert listener.folder == listener.path.parent
            assert len(os.fsencode(listener.path)) <= 100
            assert stat.S_IMODE(listener.folder.stat().st_mode) == 0o700
            accepted = threading.Thread(target=listener.socket.accept)
            accepted.start()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(listener.path))
            accepted.join(10)
        finally:
            listener.close()
        assert not listener.folder.exists()
    monkeypatch.setattr(listening.tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(ImpossibleError, match="no Unix socket"):
        on_socket(deep)

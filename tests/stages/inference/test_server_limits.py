"""Clients that ask too much, wait too long, say nothing or go away; and an engine that dies."""

from __future__ import annotations

import json
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from qtui.stages.inference.engine import Job
from qtui.stages.inference.server.connection import Patience
from qtui.stages.inference.server.response_models import ErrorAnswer
from tests.stages.inference.fake_engine import ADAPTER, BASE, FakeEngine, last_text
from tests.stages.inference.fake_server import FakeServer, serving

PATIENCE = 20.0
CHAT = "/v1/chat/completions"


def asking(content: str = "hello you", **more: Any) -> dict[str, Any]:
    return {"model": BASE, "messages": [{"role": "user", "content": content}], **more}


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, ErrorAnswer.model_validate(answer.json()).error.code


@contextmanager
def connected(server: FakeServer) -> Iterator[socket.socket]:
    """A bare connection."""
    address = ("127.0.0.1", server.running.listener.socket.getsockname()[1])
    with socket.create_connection(address, timeout=PATIENCE) as made:
        yield made


def to_its_end(client: socket.socket) -> str:
    """What comes until the server closes."""
    heard = b""
    while more := client.recv(4096):
        heard += more
    return heard.decode()


def request(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def test_a_full_queue_says_when_to_come_back() -> None:
    engine = FakeEngine(max_concurrent=1)
    engine.hold()
    with serving(engine, max_concurrent=1, max_queue=2) as server, server.client() as http:
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(http.post, CHAT, json=asking()) for _ in range(3)]
            until(lambda: engine.busy == 3)
            refused = http.post(CHAT, json=asking())
            assert error_of(refused) == (429, "queue_full")
            assert int(refused.headers["retry-after"]) >= 1
            client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
            with client, pytest.raises(openai.RateLimitError):
                client.chat.completions.create(**asking())
            assert http.get("/health").json() == {"status": "ok"}
            engine.go()
            assert [answer.result().status_code for answer in waiting] == [200] * 3
        assert http.post(CHAT, json=asking()).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large(chunked: bool) -> None:
    with serving(FakeEngine(), max_body_bytes=2000) as server, server.client() as http:
        content = json.dumps(asking("x" * 3000)).encode()
        pieces = [content[at : at + 100] for at in range(0, len(content), 100)]
        answer = http.post(
            CHAT,
            content=iter(pieces) if chunked else content,
            headers={"content-type": "application/json"},
        )
        assert error_of(answer) == (413, "body_too_large")
        assert http.post(CHAT, json=asking("x" * 1000)).status_code == 200
    assert len(server.service.engine.jobs) == 1  # type: ignore[attr-defined]


def test_a_body_that_does_not_arrive() -> None:
    with serving(FakeEngine(), body_seconds=0.2) as server, connected(server) as client:
        client.sendall(request(asking())[:-5])
        answer = to_its_end(client)
        assert answer.startswith("HTTP/1.1 408 ")
        assert '"code": "timeout"' in answer


def test_a_head_that_does_not_arrive_and_one_that_is_none() -> None:
    with serving(FakeEngine(), patience=Patience(head_seconds=0.3)) as server:
        with connected(server) as slow, connected(server) as second:
            second.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            heard = b""
            while b'"ok"' not in heard:
                heard += second.recv(4096)
            slow.sendall(b"GET /health HTTP/1.1\r\nhost: loc")
            second.sendall(b"GET /hea")  # and then nothing more
            for client in (slow, second):
                assert to_its_end(client) == ""
        with connected(server) as wrong:
            wrong.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            answer = to_its_end(wrong)
            assert answer.startswith("HTTP/1.1 400 ")
            ErrorAnswer.model_validate_json(answer.partition("\r\n\r\n")[2])


def test_a_thousand_open_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    try:
        with serving(FakeEngine()) as server, server.client() as http, ExitStack() as stack:
            for number in range(1000):
                client = stack.enter_context(connected(server))
                if number % 2:
                    client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: local")
            assert http.get("/health").json() == {"status": "ok"}
            assert http.post(CHAT, json=asking()).status_code == 200
            with http.stream("POST", CHAT, json=asking(stream=True)) as answer:
                assert "[DONE]" in answer.read().decode()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_hundred_requests_at_once_are_answered_or_refused() -> None:
    engine = FakeEngine(max_concurrent=4)
    with serving(engine, max_concurrent=4, max_queue=16) as server, ExitStack() as stack:
        engine.hold()
        clients = [stack.enter_context(connected(server)) for _ in range(200)]
        for client in clients:
            client.sendall(request(asking()))
        until(lambda: engine.busy == 20)
        refused = [client for client in clients if _answered(client, b"HTTP/1.1 429 ")]
        engine.go()
        rest = [client for client in clients if client not in refused]
        assert all(client.recv(100).startswith(b"HTTP/1.1 200 ") for client in rest)
        assert (len(refused), len(rest)) == (180, 20)


def _answered(client: socket.socket, beginning: bytes) -> bool:
    client.settimeout(0.05)
    try:
        return client.recv(4096).startswith(beginning)
    except TimeoutError:
        return False
    finally:
        client.settimeout(PATIENCE)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_frees_its_place(stream: bool) -> None:
    engine = FakeEngine(max_concurrent=1)
    engine.hold()
    with serving(engine, max_concurrent=1, max_queue=0) as server, server.client() as http:
        with connected(server) as client:
            client.sendall(request(asking(stream=stream)))
            until(lambda: engine.busy)
            engine.let(1)
            assert error_of(http.post(CHAT, json=asking())) == (429, "queue_full")
        until(lambda: not engine.busy)
        assert len(engine.cancelled) == 1
        engine.go()
        until(lambda: not server.service.answers.busy)
        assert http.post(CHAT, json=asking()).status_code == 200


def test_a_client_that_goes_away_in_the_queue_and_one_while_it_is_handed_over() -> None:
    engine = FakeEngine(max_concurrent=1)
    engine.hold()
    with serving(engine, max_concurrent=1, max_queue=2) as server:
        with connected(server) as first:
            first.sendall(request(asking("first")))
            until(lambda: engine.busy == 1)
            with connected(server) as waits:
                waits.sendall(request(asking("waits")))
                until(lambda: engine.busy == 2)
            until(lambda: engine.busy == 1)
            assert [last_text(job) for job in engine.cancelled] == ["waits"]
            engine.submit_gate = threading.Event()
            with connected(server) as early:
                early.sendall(request(asking("early")))
                until(lambda: server.service.answers.waiting == 1)
            engine.submit_gate.set()
            until(lambda: server.service.answers.waiting == 0)
            assert engine.busy == 1
        until(lambda: not server.service.answers.busy)


def test_a_client_that_does_not_read_is_cut_off_and_slows_nobody() -> None:
    def answer(job: Job) -> str:
        return " ".join(["x" * 200_000] * 200) if last_text(job) == "much" else "little"

    engine = FakeEngine(answer=answer, max_concurrent=2, seconds_a_word=0.002)
    with (
        serving(engine, patience=Patience(write_seconds=0.3), max_concurrent=2) as server,
        connected(server) as client,
        server.client() as http,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(request(asking("much", stream=True)))
        until(lambda: engine.busy)
        assert http.post(CHAT, json=asking()).json()["choices"][0]["message"]["content"] == "little"
        until(lambda: engine.cancelled)
        until(lambda: not server.service.answers.busy)


def test_an_adapter_that_is_being_loaded_holds_up_nobody() -> None:
    engine = FakeEngine(adapters=())
    with serving(engine) as server, server.client() as http:
        engine.submit_gate = threading.Event()
        with ThreadPoolExecutor(8) as pool:
            body = asking() | {"model": ADAPTER}
            loading = [pool.submit(http.post, CHAT, json=body) for _ in range(8)]
            until(lambda: server.service.answers.waiting == 8)
            gate, engine.submit_gate = engine.submit_gate, None
            assert http.post(CHAT, json=asking()).status_code == 200
            engine.adapters = (ADAPTER,)
            gate.set()
            assert [answer.result().status_code for answer in loading] == [200] * 8


def test_an_engine_that_dies_ends_answers_and_says_so() -> None:
    engine = FakeEngine()
    engine.hold()
    with serving(engine) as server, server.client() as http, ThreadPoolExecutor(1) as pool:
        whole = pool.submit(http.post, CHAT, json=asking())
        with http.stream("POST", CHAT, json=asking(stream=True)) as answer:
            lines = answer.iter_lines()
            assert "assistant" in next(lines)
            until(lambda: engine.busy == 2)
            engine.die("the GPU was lost")
            rest = [line for line in lines if line]
        error = ErrorAnswer.model_validate_json(rest[-1].removeprefix("data: ")).error
        assert (error.type, error.code) == ("server_error", "engine_gone")
        assert "the GPU was lost" in error.message
        assert error_of(whole.result()) == (503, "engine_gone")
        assert error_of(http.post(CHAT, json=asking())) == (503, "engine_gone")
        health = http.get("/health")
        assert health.status_code == 503
        assert health.json() == {"status": "gone", "reason": "the GPU was lost"}
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        with client, pytest.raises(openai.InternalServerError):
            client.chat.completions.create(**asking())


def test_an_engine_that_breaks_its_promise_gives_nothing_away(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def answer(job: Job) -> str:
        raise RuntimeError("the password is swordfish")

    with serving(FakeEngine(answer=answer)) as server, server.client() as http:
        for stream in (False, True):
            refused = http.post(CHAT, json=asking(stream=stream))
            assert error_of(refused) == (500, "internal_error")
            assert "swordfish" not in refused.text
        assert http.get("/health").status_code == 200
    assert "swordfish" in capfd.readouterr().err  # which is the worker's log


def test_a_stop_ends_streams_politely(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.hold()
    with ExitStack() as stack:
        server = stack.enter_context(serving(engine, tmp_path, socket=True))
        http = stack.enter_context(server.client())
        answer = stack.enter_context(http.stream("POST", CHAT, json=asking(stream=True)))
        lines = answer.iter_lines()
        assert "assistant" in next(lines)
        stopping = threading.Thread(target=server.running.stop, args=[0.3])
        stopping.start()
        rest = [line for line in lines if line]
        stopping.join(PATIENCE)
        assert ErrorAnswer.model_validate_json(rest[-1][6:]).error.code == "stopping"
        assert not (tmp_path / "serve.sock").exists()
        with pytest.raises(httpx.ConnectError):
            http.get("/health")
    assert len(engine.cancelled) == 1


def test_a_stop_lets_an_answer_be_finished() -> None:
    engine = FakeEngine()
    engine.hold()
    with serving(engine) as server, server.client() as http:
        with http.stream("POST", CHAT, json=asking(stream=True)) as answer:
            lines = answer.iter_lines()
            assert "assistant" in next(lines)
            stopping = threading.Thread(target=server.running.stop, args=[PATIENCE])
            stopping.start()
            until(lambda: server.service.answers.stopping)
            engine.go()
            assert [line for line in lines if line][-1] == "data: [DONE]"
        stopping.join(PATIENCE)
        assert not stopping.is_alive()

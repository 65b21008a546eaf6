"""A real worker that serves the built-in model: asked by the official client, stopped, killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from qtui.config.serve import ServeConfig, ServedModel
from qtui.runs import commands, launch, serving
from qtui.runs.events import FailedEvent, FinishedEvent, Phase, PhaseEvent, Stop
from qtui.runs.folder import Run
from qtui.runs.log import EventReader
from qtui.runs.state import ALLOWED, Status
from tests.e2e.workers import PATIENCE, until

pytestmark = pytest.mark.train

BASE = "builtin:tiny"
HELLO: Any = [{"role": "user", "content": "Which address? The host is 10.0.0.7."}]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "count": {"type": "integer"}},
    "required": ["name", "count"],
    "additionalProperties": False,
}

ENDLESS = {"type": "json_schema", "json_schema": {"name": "text", "schema": {"type": "string"}}}
"""What a small model, once in the middle of it, seldom ends."""


def create(workspace: Path, **settings: Any) -> Run:
    settings = {"port": 0, "device": "cpu"} | settings
    config = ServeConfig(model=ServedModel(model_name=BASE), **settings)
    return serving.create(workspace, config, ["qtui"])


def listening(run: Run) -> serving.Address:
    until(run, lambda event: isinstance(event, PhaseEvent) and event.phase is Phase.SERVING)
    address = serving.address(run)
    assert address is not None
    return address


def client_of(address: serving.Address) -> openai.OpenAI:
    transport = httpx.HTTPTransport(uds=address.socket)
    http = httpx.Client(transport=transport, timeout=PATIENCE)
    return openai.OpenAI(
        base_url=f"{address.url}/v1", api_key="none", http_client=http, max_retries=0
    )


def text_of(client: openai.OpenAI, **settings: Any) -> str:
    answer = client.chat.completions.create(model=BASE, messages=HELLO, **settings)
    return answer.choices[0].message.content or ""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    os.environ["OMP_NUM_THREADS"] = "1"
    run = create(tmp_path_factory.mktemp("served"), socket=True)
    launch.launch(run)
    yield run
    commands.send(run, Stop())
    assert launch.wait(run, timeout=PATIENCE) is Status.STOPPED


@pytest.fixture(scope="module")
def client(server: Run) -> Iterator[openai.OpenAI]:
    with client_of(listening(server)) as made:
        yield made


def test_only_this_user_can_reach_it(server: Run, client: openai.OpenAI) -> None:
    path = server.path / "serve.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o700
    assert [model.id for model in client.models.list()] == [BASE]


def test_streamed_and_whole_are_the_same_answer(client: openai.OpenAI) -> None:
    whole = text_of(client, temperature=0, max_tokens=40)
    assert whole
    stream = client.chat.completions.create(
        model=BASE,
        messages=HELLO,
        temperature=0,
        max_tokens=40,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    assert chunks[-1].usage is not None
    assert 1 <= chunks[-1].usage.completion_tokens <= 40


def test_stop_seed_and_length(client: openai.OpenAI) -> None:
    first, second = (text_of(client, temperature=1, seed=5, max_tokens=30) for _ in range(2))
    assert first == second
    whole = text_of(client, temperature=0, max_tokens=40)
    stop = whole[len(whole) // 2 :][:2]
    assert text_of(client, temperature=0, max_tokens=40, stop=[stop]) == whole.partition(stop)[0]
    answer = client.chat.completions.create(
        model=BASE, messages=HELLO, max_tokens=3, extra_body={"ignore_eos": True}
    )
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


def test_json_follows_its_schema(client: openai.OpenAI) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "thing", "schema": SCHEMA}}
    for seed in range(3):
        made = json.loads(text_of(client, seed=seed, max_tokens=120, response_format=wanted))
        assert set(made) == {"name", "count"}
        assert isinstance(made["count"], int)


def test_errors_are_the_clients_exceptions(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=HELLO)
    with pytest.raises(openai.BadRequestError) as long:
        client.completions.create(model=BASE, prompt="word " * 20_000)
    assert long.value.code == "context_length_exceeded"


def test_many_at_once_answer_as_each_alone(client: openai.OpenAI) -> None:
    def ask(number: int) -> str:
        messages: Any = [{"role": "user", "content": f"The host is 10.0.0.{number}. Which?"}]
        answer = client.chat.completions.create(
            model=BASE, messages=messages, temperature=0, max_tokens=24
        )
        return answer.choices[0].message.content or ""

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, range(8)))
    assert together == [ask(number) for number in range(8)]
    assert len(set(together)) > 1


@pytest.mark.parametrize("way", ["signal", "command"])
def test_a_stop_in_the_middle_of_an_answer(tmp_path: Path, way: str) -> None:
    run = create(tmp_path)
    pid = launch.launch(run)
    with client_of(listening(run)) as client:
        stream = client.chat.completions.create(
            model=BASE,
            messages=HELLO,
            stream=True,
            extra_body={"ignore_eos": True, "response_format": ENDLESS},
        )
        next(iter(stream))
        if way == "signal":
            os.kill(pid, signal.SIGTERM)
        else:
            commands.send(run, Stop())
        asked = time.monotonic()
        ends: list[str | None] = []
        try:
            ends += [chunk.choices[0].finish_reason for chunk in stream]
        except openai.APIError as error:  # the answer took longer than the grace
            ends.append(error.code)
        assert ends[-1] in ("stop", "length", "stopping")
        assert launch.wait(run, timeout=PATIENCE) is Status.STOPPED
    assert time.monotonic() - asked < PATIENCE / 4
    events = EventReader(run.events).poll()
    seen = [Status(event.phase) for event in events if isinstance(event, PhaseEvent)]
    for before, after in zip(seen, [*seen[1:], Status.STOPPED], strict=True):
        assert after in ALLOWED[before], f"{before} → {after}"
    last = events[-1]
    assert isinstance(last, FinishedEvent)
    assert last.summary["requests"] == 1


def test_a_stop_while_the_model_is_loaded(tmp_path: Path) -> None:
    run = create(tmp_path, socket=True)
    pid = launch.launch(run)
    until(run, lambda event: isinstance(event, PhaseEvent) and event.phase is Phase.LOADING_MODEL)
    os.kill(pid, signal.SIGTERM)
    assert launch.wait(run, timeout=PATIENCE) is Status.STOPPED
    assert not (run.path / "serve.sock").exists()


def test_a_killed_server_is_started_again_where_it_was(tmp_path: Path) -> None:
    run = create(tmp_path, socket=True)
    pid = launch.launch(run)
    with client_of(listening(run)) as client:
        before = text_of(client, temperature=0, max_tokens=8)
        os.kill(pid, signal.SIGKILL)
        assert launch.wait(run, timeout=PATIENCE) is Status.INTERRUPTED
        assert serving.address(run) is None
        with pytest.raises(openai.APIConnectionError):
            client.models.list()
    written = len(EventReader(run.events).poll())
    launch.resume(run)
    try:
        until_listening = [Phase.INITIALIZING, Phase.LOADING_MODEL, Phase.SERVING]
        deadline = time.monotonic() + PATIENCE
        while phases(run)[-1] is not Phase.SERVING or len(phases(run)) < 6:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert phases(run) == until_listening * 2
        assert len(EventReader(run.events).poll()) > written
        address = serving.address(run)
        assert address is not None
        with client_of(address) as client:
            assert text_of(client, temperature=0, max_tokens=8) == before
    finally:
        commands.send(run, Stop())
        launch.wait(run, timeout=PATIENCE)


def test_a_port_that_is_taken_fails_the_run_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = create(tmp_path, port=taken.getsockname()[1])
        launch.launch(run)
        assert launch.wait(run, timeout=PATIENCE) is Status.FAILED
    last = EventReader(run.events).poll()[-1]
    assert isinstance(last, FailedEvent)
    assert (last.error, last.exit_code) == ("InputError", 2)
    assert "is in use" in last.message
    assert "--port 0" in last.remedy
    assert phases(run) == [Phase.INITIALIZING]


def phases(run: Run) -> list[Phase]:
    return [each.phase for each in EventReader(run.events).poll() if isinstance(each, PhaseEvent)]

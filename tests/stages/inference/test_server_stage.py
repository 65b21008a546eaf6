"""The worker's serving stage: the address before the model, the announcement, every kind of end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from qtui.config.serve import ServeConfig, ServedModel
from qtui.errors import ImpossibleError, InputError, QtuiError, StoppedError
from qtui.runs import durable, serving
from qtui.runs.commands import CommandReader
from qtui.runs.events import MetricsEvent, Phase, PhaseEvent, Stop
from qtui.runs.folder import Run
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog, EventReader
from qtui.stages.control import Control, StopNow
from qtui.stages.inference import serve as stage
from qtui.stages.inference.engine import GoneError
from qtui.stages.inference.server.listening import on_port
from tests.stages.inference.fake_engine import BASE, FakeEngine
from tests.stages.inference.test_server_limits import CHAT, PATIENCE, asking, until


@dataclass
class Stage:
    """A stage that runs on a thread, as in a worker."""

    run: Run
    control: Control
    result: Future[tuple[str, dict[str, Any]]]

    def client(self) -> httpx.Client:
        until(lambda: serving.address(self.run) or self.result.done())
        address = serving.address(self.run)
        assert address is not None, self.result.result()
        transport = httpx.HTTPTransport(uds=address.socket)
        return httpx.Client(base_url=address.url, transport=transport, timeout=PATIENCE)


def new_run(workspace: Path, **settings: Any) -> Run:
    settings = {"port": 0} | settings
    config = ServeConfig(model=ServedModel(model_name=BASE), **settings)
    return serving.create(workspace, config, ["qtui"])


@contextmanager
def worked_on(run: Run) -> Iterator[Stage]:
    """The stage on `run`; stopped at the end if it still goes on."""
    control = Control(CommandReader(run.commands))
    lock = RunLock(run.lock)
    lock.acquire()
    with lock, EventLog(run.events) as log, ThreadPoolExecutor(1) as pool:
        log.write(PhaseEvent(phase=Phase.INITIALIZING))
        config = ServeConfig.model_validate(run.spec.config)
        result = pool.submit(stage.serve, run, config, log, control)
        try:
            yield Stage(run, control, result)
        finally:
            control.stop = Stop()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """What the stage loads instead of a model."""
    made = FakeEngine()
    monkeypatch.setattr(stage, "_engine", lambda *_: made)
    return made


def phases(run: Run) -> list[Phase]:
    return [each.phase for each in EventReader(run.events).poll() if isinstance(each, PhaseEvent)]


def test_it_says_where_it_listens_and_ends_when_asked(tmp_path: Path, engine: FakeEngine) -> None:
    run = new_run(tmp_path)
    with worked_on(run) as work:
        with work.client() as http:
            assert http.get("/health").json() == {"status": "ok"}
            assert http.post(CHAT, json=asking()).status_code == 200
        work.control.stop = Stop()
        message, summary = work.result.result(PATIENCE)
    assert message == "stopped as asked; 1 request was answered"
    assert (summary["requests"], summary["completion_tokens"]) == (1, 4)
    assert phases(run) == [
        Phase.INITIALIZING,
        Phase.LOADING_MODEL,
        Phase.SERVING,
        Phase.STOPPING,
    ]
    details = [e.detail for e in EventReader(run.events).poll() if isinstance(e, PhaseEvent)]
    assert details[1] == f"loading {BASE}"
    assert details[2].startswith("http://127.0.0.1:")
    assert details[2].endswith(" · 2 models")
    assert (run.path / "requests.jsonl").read_text().count("\n") == 1
    assert serving.address(run) is None


def test_on_a_socket_in_the_runs_folder(tmp_path: Path, engine: FakeEngine) -> None:
    run = new_run(tmp_path, socket=True, host="0.0.0.0")
    with worked_on(run) as work, work.client() as http:
        assert http.get("/health", headers={"host": "anything"}).status_code == 200
        address = serving.address(run)
        assert address is not None
        path = Path(address.socket or "")
        assert path.is_socket()
        work.control.stop = Stop()
        work.result.result(PATIENCE)
        assert not path.exists()


def test_figures_go_on_counting_in_a_second_life(tmp_path: Path, engine: FakeEngine) -> None:
    run = new_run(tmp_path)
    for life in range(2):
        with worked_on(run) as work, work.client() as http:
            for _ in range(3):
                http.post(CHAT, json=asking())
            work.control.stop = Stop()
            work.result.result(PATIENCE)
        if not life:
            engine.__post_init__()
    metrics = [each for each in EventReader(run.events).poll() if isinstance(each, MetricsEvent)]
    assert [each.step for each in metrics] == [3, 6]
    assert [each.values["requests"] for each in metrics] == [3, 3]


def test_a_full_disk_ends_no_server(
    tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_FIGURES_SECONDS", 0.01)
    tried: list[Path] = []

    def full(fd: int, content: bytes, path: Path) -> None:
        tried.append(path)
        raise QtuiError("no space left on the device")

    run = new_run(tmp_path)
    with worked_on(run) as work, work.client() as http:
        monkeypatch.setattr(durable, "append", full)
        for _ in range(2):
            assert http.post(CHAT, json=asking()).status_code == 200
        until(lambda: run.events in tried and run.path / "requests.jsonl" in tried)
        assert http.post(CHAT, json=asking()).status_code == 200
        work.control.stop = Stop()
        message, _ = work.result.result(PATIENCE)
    assert message == "stopped as asked; 3 requests were answered"


def test_it_ends_by_itself_when_nobody_asks(tmp_path: Path, engine: FakeEngine) -> None:
    engine.hold()
    with worked_on(new_run(tmp_path, idle_minutes=0.005)) as work:
        with work.client() as http, ThreadPoolExecutor(1) as pool:
            answer = pool.submit(http.post, CHAT, json=asking())
            until(lambda: engine.busy)
            # Somebody waits for longer than that: it is not idle.
            threading.Event().wait(0.5)
            assert not work.result.done()
            engine.go()
            assert answer.result().status_code == 200
        message, _ = work.result.result(PATIENCE)
    assert message == "nobody has asked for 0.005 minutes; 1 request was answered"
    assert not work.run.path.joinpath("serve.sock").exists()


def test_a_dead_engine_fails_the_run_with_its_reason(tmp_path: Path, engine: FakeEngine) -> None:
    with worked_on(new_run(tmp_path)) as work:
        with work.client() as http:
            engine.hold()
            with http.stream("POST", CHAT, json=asking(stream=True)) as answer:
                lines = answer.iter_lines()
                next(lines)
                engine.die("the GPU was lost")
                assert "the GPU was lost" in [line for line in lines if line][-1]
        with pytest.raises(GoneError, match="the GPU was lost"):
            work.result.result(PATIENCE)


def test_what_is_wrong_about_the_address_is_said_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = on_port("127.0.0.1", 0)
    port = taken.socket.getsockname()[1]
    try:
        for settings, match in (
            ({"port": port}, f"port {port} on 127.0.0.1 is in use"),
            ({"host": "0.0.0.0"}, "needs a key"),
        ):
            run = new_run(tmp_path, **settings)
            with worked_on(run) as work, pytest.raises(InputError, match=match):
                work.result.result(PATIENCE)
            assert phases(run) == [Phase.INITIALIZING]
    finally:
        taken.close()
    monkeypatch.setenv("QTUI_API_KEY", "short")
    with (
        worked_on(new_run(tmp_path, host="0.0.0.0")) as work,
        pytest.raises(InputError, match="QTUI_API_KEY has 5 characters"),
    ):
        work.result.result(PATIENCE)


def test_the_key_comes_from_the_environment(
    tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QTUI_API_KEY", "secret")
    run = new_run(tmp_path)
    with worked_on(run) as work, work.client() as http:
        assert http.get("/v1/models").status_code == 401
        good = {"authorization": "Bearer secret"}
        assert http.get("/v1/models", headers=good).status_code == 200
    assert not any("secret" in path.read_text() for path in run.path.iterdir() if path.is_file())


@pytest.mark.parametrize(
    ("name", "engine_name", "extra"),
    [
        ("fastapi", "transformers", "train,serve"),
        ("llguidance", "transformers", "train,serve"),
        ("llama_cpp", "llama_cpp", "train,llama,serve"),
        ("torch", "vllm", "train,serve"),
    ],
)
def test_a_missing_package_is_named_with_the_way_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, engine_name: str, extra: str
) -> None:
    monkeypatch.setattr(stage, "find_spec", lambda each: None if each == name else object())
    run = new_run(tmp_path, engine=engine_name)
    with worked_on(run) as work, pytest.raises(ImpossibleError, match=name) as missing:
        work.result.result(PATIENCE)
    assert extra in missing.value.remedy


@pytest.mark.parametrize("stop", [StopNow(), StoppedError("the download was given up")])
def test_a_stop_while_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    def load(*_: object) -> None:
        raise stop

    monkeypatch.setattr(stage, "_engine", load)
    run = new_run(tmp_path, socket=True)
    with worked_on(run) as work:
        assert work.result.result(PATIENCE) == ("stopped while the model was being loaded", {})
    assert phases(run) == [Phase.INITIALIZING, Phase.LOADING_MODEL, Phase.STOPPING]
    assert not (run.path / "serve.sock").exists()

"""The server for a conversation: real workers, an engine without a model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qtui.chat import server
from qtui.chat.client import Client
from qtui.chat.place import place, run_of
from qtui.config.serve import ServedAdapter, ServedModel
from qtui.errors import ImpossibleError, QtuiError
from qtui.runs import folder, launch, serving, state
from qtui.runs.folder import Run
from qtui.runs.serving import Subject
from qtui.runs.state import Status
from tests.chat.qtui_with_fake_engine import WORKER
from tests.cli.conftest import finished_run
from tests.cli.programs import ROOT, wait_for

TINY = Subject(ServedModel(model_name="builtin:tiny"), (ServedAdapter(name="otter", path="x"),))
COMMAND = ["qtui", "serve", "builtin:tiny"]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workspace whose servers are gone in the end."""
    monkeypatch.setattr(launch, "WORKER", WORKER)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield tmp_path
    for run in serving.living(tmp_path):
        server.stop(run)


def listening(run: Run, say: Callable[[str], None] = lambda words: None) -> serving.Address:
    async def waited() -> serving.Address:
        return await asyncio.wait_for(server.ready(run, say), 60)

    return asyncio.run(waited())


def models(address: serving.Address) -> list[str]:
    async def asked() -> list[str]:
        client = Client(address)
        try:
            return [model.id for model in await client.models()]
        finally:
            await client.aclose()

    return asyncio.run(asked())


def test_a_server_is_started_found_and_stopped(workspace: Path) -> None:
    assert server.find(workspace, TINY) is None
    run, ours = server.begin(workspace, TINY, COMMAND, idle_minutes=5)
    assert ours
    said: list[str] = []
    address = listening(run, said.append)
    assert said[-1].endswith(" s")
    assert address.socket is not None
    assert Path(address.socket).stat().st_mode & 0o077 == 0
    assert models(address) == ["builtin:tiny", "otter"]
    assert server.find(workspace, TINY) == run
    assert server.begin(workspace, TINY, COMMAND) == (run, False)
    assert run.spec.config["idle_minutes"] == 5
    server.stop(run)
    assert state.status(run) is Status.STOPPED
    assert server.find(workspace, TINY) is None
    why = server.ended(run)
    assert why is not None
    assert "has ended: stopped as asked" in why.message
    server.stop(run)  # it is over already


def test_only_a_server_of_the_same_base_held_alike_will_do(workspace: Path) -> None:
    run, _ = server.begin(workspace, TINY, COMMAND)
    other = Subject(ServedModel(model_name="builtin:tiny", quantization="int8"))
    assert server.find(workspace, other) is None
    assert server.find(workspace, Subject(TINY.model)) == run
    assert server.find(workspace, TINY, device="cpu") is None
    assert server.find(workspace, TINY, chat_template="chatml") is None
    assert server.ended(run) is None
    server.stop(run, wait=False)
    wait_for(lambda: server.find(workspace, TINY) is None)
    launch.wait(run, timeout=30)


def test_two_that_start_at_once_get_one_server(workspace: Path) -> None:
    got: list[tuple[Run, bool]] = []
    threads = [
        threading.Thread(target=lambda: got.append(server.begin(workspace, TINY, COMMAND)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({run.id for run, _ in got}) == 1
    assert sorted(ours for _, ours in got) == [False, False, True]
    assert len(folder.all_runs(workspace)) == 1


def test_a_server_that_fails_while_loading_says_why(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ENGINE", "fails")
    run, _ = server.begin(workspace, TINY, COMMAND)
    with pytest.raises(ImpossibleError, match=r"needs 5\.1 GB") as caught:
        listening(run)
    assert caught.value.remedy == "use the CPU, or stop the run"


def test_a_server_that_is_killed_while_loading_is_missed(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ENGINE", "killed")
    run, _ = server.begin(workspace, TINY, COMMAND)
    with pytest.raises(QtuiError, match="gone without a word") as caught:
        listening(run)
    assert "last words �[2J" in caught.value.message


def test_a_server_that_is_stopped_before_it_listens(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO", str(workspace / "go"))
    run, _ = server.begin(workspace, TINY, COMMAND)

    def say(words: str) -> None:
        if words.startswith("loading model"):
            server.stop(run, wait=False)

    with pytest.raises(QtuiError, match="has ended"):
        listening(run, say)


def test_waiting_can_be_called_off(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_GO", str(workspace / "go"))
    run, _ = server.begin(workspace, TINY, COMMAND)

    async def impatient() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(server.ready(run, lambda words: None), 0.3)

    asyncio.run(impatient())
    (workspace / "go").touch()
    assert models(listening(run)) == ["builtin:tiny", "otter"]


def test_a_start_that_is_interrupted_leaves_no_server(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = launch.launch

    def interrupted(run: Run) -> int:
        real(run)
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "launch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.begin(workspace, TINY, COMMAND)
    wait_for(lambda: not serving.living(workspace))


def test_a_worker_that_does_not_start_leaves_no_folder(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "WORKER", ("/bin/false",))
    with pytest.raises(QtuiError):
        server.begin(workspace, TINY, COMMAND)
    assert folder.all_runs(workspace) == []


def test_a_conversation_lies_with_its_run(tmp_path: Path) -> None:
    run = finished_run(tmp_path, "otter")
    assert place(tmp_path, run) == run.path / "chat"
    assert place(tmp_path, None) == tmp_path / "chat"
    assert run_of(tmp_path, ["builtin:tiny", "otter@400"]) == run
    assert run_of(tmp_path, ["builtin:tiny", "none", "../x"]) is None
    serving.create(tmp_path, serving.checked({"model": TINY.model.model_dump()}), [])
    assert run_of(tmp_path, ["latest"]) == run

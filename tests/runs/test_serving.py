"""What can be served, by which name, and where a server is found again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qtui.config.serve import ServeConfig, ServedModel
from qtui.errors import InputError, NotFoundError, QtuiError
from qtui.runs import folder, serving
from qtui.runs.events import ArtifactEvent, FailedEvent, FinishedEvent, Phase, PhaseEvent
from qtui.runs.folder import Run
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog

KEY = "a-long-enough-key-of-a-test"
TRAINED = {"model_name": "org/base", "revision": "v1", "use_qlora": True}


def trained(
    workspace: Path,
    name: str,
    *,
    model: dict[str, object] | None = None,
    steps: tuple[int, ...] = (),
    done: bool = True,
) -> Run:
    config = {"model": TRAINED | (model or {})}
    run = folder.create(workspace, kind="train", config=config, command=[], name=name)
    for step in steps:
        path = run.checkpoints / f"step-{step:06d}"
        path.mkdir(parents=True)
        (path / "manifest.json").write_text("{}")
    if done:
        run.adapter.mkdir()
    return run


def test_a_run_is_its_result_on_the_base_it_was_trained_on(tmp_path: Path) -> None:
    run = trained(tmp_path, "otter", steps=(100, 200))
    found = serving.subject(tmp_path, ["otter"])
    assert found.model == ServedModel(model_name="org/base", revision="v1", quantization="nf4")
    (adapter,) = found.adapters
    assert (adapter.name, adapter.path) == ("otter", f"runs/{run.id}/adapter")


@pytest.mark.parametrize(
    ("ref", "name"),
    [("otter@100", "otter@100"), ("otter@last", "otter@2000000"), ("otter", "otter@2000000")],
)
def test_a_run_without_a_result_is_its_newest_checkpoint(
    tmp_path: Path, ref: str, name: str
) -> None:
    run = trained(tmp_path, "otter", steps=(100, 999999, 2000000), done=False)
    (run.checkpoints / "step-3000000").mkdir()  # no manifest: no checkpoint
    (adapter,) = serving.subject(tmp_path, [ref]).adapters
    assert adapter.name == name
    assert (tmp_path / adapter.path).is_dir()


def test_several_of_one_base_and_none_twice(tmp_path: Path) -> None:
    trained(tmp_path, "otter", steps=(100,))
    trained(tmp_path, "heron")
    found = serving.subject(tmp_path, ["otter", "heron", "otter@100", "otter"])
    assert [adapter.name for adapter in found.adapters] == ["otter", "heron", "otter@100"]


def test_two_runs_of_one_name_are_both_served(tmp_path: Path) -> None:
    first, second = trained(tmp_path, "otter"), trained(tmp_path, "otter")
    found = serving.subject(tmp_path, [first.id, second.id, first.id])
    assert [(adapter.name, adapter.path) for adapter in found.adapters] == [
        ("otter", f"runs/{first.id}/adapter"),
        ("otter-2", f"runs/{second.id}/adapter"),
    ]


def test_two_bases_are_refused_with_both_names(tmp_path: Path) -> None:
    trained(tmp_path, "otter")
    trained(tmp_path, "heron", model={"model_name": "org/other"})
    said = "heron is of the base org/other at v1, but otter of org/base at v1"
    with pytest.raises(InputError, match=said):
        serving.subject(tmp_path, ["otter", "heron"])


def test_two_revisions_of_a_base_are_two_bases(tmp_path: Path) -> None:
    trained(tmp_path, "otter")
    trained(tmp_path, "heron", model={"revision": "v2"})
    with pytest.raises(InputError, match=r"org/base at v2"):
        serving.subject(tmp_path, ["otter", "heron"])


def test_nothing_to_talk_to_yet_says_how_there_will_be(tmp_path: Path) -> None:
    run = trained(tmp_path, "otter", done=False)
    with pytest.raises(InputError, match="no adapter and no checkpoint yet") as caught:
        serving.subject(tmp_path, ["otter"])
    assert "runs resume" in caught.value.remedy
    with RunLock(run.lock), pytest.raises(InputError) as caught:
        serving.subject(tmp_path, ["otter"])
    assert "runs save" in caught.value.remedy


def test_a_step_without_a_checkpoint_names_those_there_are(tmp_path: Path) -> None:
    trained(tmp_path, "otter", steps=(100, 200))
    with pytest.raises(NotFoundError, match="no checkpoint of step 150") as caught:
        serving.subject(tmp_path, ["otter@150"])
    assert "100, 200" in caught.value.remedy


def test_a_fully_trained_model_is_a_base_of_its_own(tmp_path: Path) -> None:
    run = trained(
        tmp_path, "otter", model={"full_finetuning": True, "use_qlora": False}, done=False
    )
    (run.path / "model").mkdir()
    found = serving.subject(tmp_path, ["otter"])
    assert found.model == ServedModel(model_name=str(run.path / "model"), quantization="none")
    assert found.adapters == ()


def test_a_run_that_trains_nothing_has_no_model(tmp_path: Path) -> None:
    folder.create(tmp_path, kind="prepare", config={}, command=[], name="rows")
    with pytest.raises(InputError, match="kind prepare"):
        serving.subject(tmp_path, ["rows"])


def test_bases_by_folder_file_hub_id_and_built_in(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "small.gguf").touch()
    for ref in (str(tmp_path / "model"), "org/name", "builtin:tiny"):
        found = serving.subject(tmp_path, [ref], quantization="int8")
        assert found.model.model_name == ref
        assert found.model.quantization == "int8"
    gguf = str(tmp_path / "small.gguf")
    assert serving.subject(tmp_path, [gguf]).model.quantization == "none"
    with pytest.raises(InputError, match="quantised already"):
        serving.subject(tmp_path, [gguf], quantization="int8")
    with pytest.raises(NotFoundError, match="neither a run nor a model"):
        serving.subject(tmp_path, [str(tmp_path / "nothing")])
    with pytest.raises(NotFoundError):
        serving.subject(tmp_path, ["nothing"])


def test_a_base_is_meant_as_seen_from_here_not_from_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "model").mkdir(parents=True)
    (tmp_path / "here" / "small.gguf").touch()
    monkeypatch.chdir(tmp_path / "here")
    for ref in ("model", "./model", "small.gguf"):
        found = serving.subject(tmp_path / "workspace", [ref])
        assert found.model.model_name == str(tmp_path / "here" / ref.removeprefix("./"))


def test_a_server_can_be_served_again(tmp_path: Path) -> None:
    trained(tmp_path, "otter")
    found = serving.subject(tmp_path, ["otter"])
    config = ServeConfig(model=found.model, adapters=list(found.adapters))
    serving.create(tmp_path, config, ["qtui"], name="server")
    assert serving.subject(tmp_path, ["server"]) == found
    held = serving.subject(tmp_path, ["server"], quantization="int8")
    assert (held.model.quantization, held.adapters) == ("int8", found.adapters)


def test_the_latest_is_what_was_trained_whatever_was_served_since(tmp_path: Path) -> None:
    trained(tmp_path, "lynx")
    run = trained(tmp_path, "otter", steps=(100,))
    config = ServeConfig(model=ServedModel(model_name="builtin:tiny"))
    server = serving.create(tmp_path, config, [])
    assert serving.find(tmp_path, "latest") == run
    assert serving.subject(tmp_path, ["latest@last"]).adapters[0].name == "otter@100"
    assert serving.find(tmp_path, server.id) == server
    with pytest.raises(InputError, match="is a server"):
        serving.subject(tmp_path, [f"{server.id}@100"])


def test_every_wrong_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        serving.checked({"model": {"model_name": "a"}, "port": 99999, "max_concurrent": 0})
    assert "port" in str(caught.value)
    assert "max_concurrent" in str(caught.value)


def test_what_an_engine_would_pass_over_is_refused() -> None:
    model = {"model_name": "a.gguf", "dtype": "float32", "revision": "v1"}
    with pytest.raises(InputError, match=r"^revision, dtype: not for a .gguf file"):
        serving.checked({"model": model})
    serving.checked({"model": {"model_name": "a.gguf"}})
    serving.checked({"model": model | {"model_name": "org/name"}})


def test_an_address_holds_while_its_worker_lives(tmp_path: Path) -> None:
    config = ServeConfig(model=ServedModel(model_name="builtin:tiny"))
    run = serving.create(tmp_path, config, ["qtui"])
    assert serving.address(run) is None
    with RunLock(run.lock), EventLog(run.events) as log:
        log.write(PhaseEvent(phase=Phase.INITIALIZING))
        assert serving.address(run) is None
        detail = {"url": "http://qtui", "socket": "/x/serve.sock"}
        log.write(ArtifactEvent(kind="server", path="", detail=detail))
        assert serving.address(run) == serving.Address("http://qtui", "/x/serve.sock")
        assert serving.living(tmp_path) == [run]
        log.write(PhaseEvent(phase=Phase.INITIALIZING))  # begun anew: not there yet
        assert serving.address(run) is None
        log.write(ArtifactEvent(kind="server", path="", detail={"url": "http://127.0.0.1:1"}))
        assert serving.address(run) == serving.Address("http://127.0.0.1:1")
        log.write(FinishedEvent(status="stopped"))
        assert serving.address(run) is None
    assert serving.living(tmp_path) == []


def test_a_worker_that_is_gone_listens_nowhere(tmp_path: Path) -> None:
    config = ServeConfig(model=ServedModel(model_name="builtin:tiny"))
    run = serving.create(tmp_path, config, ["qtui"])
    with EventLog(run.events) as log:
        log.write(ArtifactEvent(kind="server", path="", detail={"url": "http://127.0.0.1:1"}))
    assert serving.address(run) is None


def test_the_same_base_held_alike_serves(tmp_path: Path) -> None:
    trained(tmp_path, "otter")
    found = serving.subject(tmp_path, ["otter"])
    run = serving.create(tmp_path, ServeConfig(model=found.model), ["qtui"])
    assert serving.serves(run, found)
    assert not serving.serves(run, serving.subject(tmp_path, ["otter"], quantization="none"))
    assert not serving.serves(run, serving.subject(tmp_path, ["org/base"]))  # another revision


def test_no_key_is_ever_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTUI_API_KEY", "sk-very-secret-0123456789")
    run = serving.create(tmp_path, ServeConfig(model=ServedModel(model_name="a/b")), ["qtui"])
    assert serving.key() == "sk-very-secret-0123456789"
    assert "very-secret" not in json.dumps(run.spec.config)
    assert b"very-secret" not in (run.path / "run.json").read_bytes()


def test_an_end_is_the_kind_of_error_it_was() -> None:
    end = FailedEvent(error="E", message="no room", remedy="buy some", exit_code=4)
    error = serving.ended_by(end)
    assert isinstance(error, QtuiError)
    assert (error.exit_code, error.message, error.remedy) == (4, "no room", "buy some")


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        *[("localhost", True), ("127.0.0.1", True), ("127.3.2.1", True), ("::1", True)],
        *[("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False)],
    ],
)
def test_loopback(host: str, inside: bool) -> None:
    assert serving.is_loopback(host) is inside


def config_for(host: str, *, socket: bool = False, keyed: bool = False) -> ServeConfig:
    model = ServedModel(model_name="builtin:tiny")
    return ServeConfig(model=model, host=host, socket=socket, keyed=keyed)


def test_a_key_that_cannot_be_or_is_missing_is_said_at_the_start() -> None:
    serving.check_key(config_for("127.0.0.1"), None)
    serving.check_key(config_for("localhost"), "short")
    serving.check_key(config_for("0.0.0.0", socket=True), None)
    serving.check_key(config_for("0.0.0.0"), KEY)
    for host in ("0.0.0.0", "::", "192.168.1.5", "a.example"):
        with pytest.raises(InputError, match="needs a key") as missing:
            serving.check_key(config_for(host), None)
        assert "export QTUI_API_KEY=" in missing.value.remedy
    with pytest.raises(InputError, match="has 5 characters"):
        serving.check_key(config_for("0.0.0.0"), "short")
    for key in ("two words of a long key", "ключ-из-многих-знаков", "line\nbreak-of-a-long-key"):
        with pytest.raises(InputError, match="no HTTP header"):
            serving.check_key(config_for("127.0.0.1"), key)


def test_a_server_that_asked_for_a_key_never_serves_without_one() -> None:
    serving.check_key(config_for("127.0.0.1", keyed=True), KEY)
    with pytest.raises(InputError, match="asked for a key"):
        serving.check_key(config_for("127.0.0.1", keyed=True), None)

"""Base models from the hub, through the real library, against a hub on this machine.

Each download runs in the process that `fetch` starts, which reads its hub and cache from the
environment, so nothing here can reach the real hub.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import psutil
import pytest

from qtui.errors import ImpossibleError, InputError, NotFoundError, QtuiError, StoppedError
from qtui.stages.training import hub
from tests.hub_server import HubServer
from tests.model_folder import write_model

pytestmark = pytest.mark.train

TOKEN = "SecretCanary0123456789"
LOOKS_LIKE_A_TOKEN = "hf_CanaryCanaryCanaryCanary0123456789"
NAME = "org/tiny"
MEGA = 1024**2


@dataclass
class Caller:
    """What `fetch` said, and where its cache is."""

    home: Path
    log: list[str] = field(default_factory=list)
    progress: list[tuple[int, int]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def fetch(
        self,
        name: str = NAME,
        *,
        revision: str | None = None,
        trust: bool = False,
        waits: tuple[float, ...] = (0.0, 0.0, 0.0),
    ) -> Path:
        return hub.fetch(
            name,
            revision=revision,
            trust_remote_code=trust,
            progress=lambda done, total: self.progress.append((done, total)),
            log=self.log.append,
            stopped=self.stop.is_set,
            waits=waits,
        )

    def refused(self, name: str = NAME, kind: type[QtuiError] = QtuiError, **options) -> QtuiError:
        with pytest.raises(kind) as caught:
            self.fetch(name, **options)
        assert caught.value.remedy
        return caught.value

    def start(self, **options) -> threading.Thread:
        """A fetch, in a thread, that is to be stopped."""

        def stopped() -> None:
            with pytest.raises(StoppedError):
                self.fetch(**options)

        thread = threading.Thread(target=stopped)
        thread.start()
        return thread

    @property
    def said(self) -> str:
        return "\n".join(self.log)

    def partials(self) -> list[Path]:
        return list(self.home.rglob("*.incomplete"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(tmp_path / "served") as running:
        yield running


@pytest.fixture
def caller(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """Somebody who uses the server, with an empty cache and no token."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_")):
            monkeypatch.delenv(name)
    for name, value in server.environment(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    return Caller(tmp_path / "home")


def serve(server: HubServer, name: str = NAME, **options) -> Path:
    return write_model(server.folder / "models" / name, **options)


WEIGHTS = "GET /storage/.*safetensors$"


def test_exactly_what_is_loaded_is_downloaded(server: HubServer, caller: Caller) -> None:
    served = serve(server, parts=3, floats=100_000)
    for extra in ("pytorch_model.bin", "README.md", "code.py", "consolidated.safetensors"):
        (served / extra).write_bytes(b"not wanted")
    for extra in ("original/model.pth", "onnx/model.onnx"):
        (served / extra).parent.mkdir()
        (served / extra).write_bytes(b"not wanted")
    (served / "adapter_config.json").write_text("{}")
    (served / "chat_template.jinja").write_text("{{ messages }}")
    server.page = 2  # the listing comes in pages
    folder = caller.fetch()
    wanted = {"config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    wanted |= {"model.safetensors.index.json"}
    wanted |= {f"model-0000{part}-of-00003.safetensors" for part in (1, 2, 3)}
    assert {path.name for path in folder.iterdir()} == wanted
    for name in wanted:
        assert (folder / name).read_bytes() == (served / name).read_bytes()
    total = sum((served / name).stat().st_size for name in wanted)
    assert caller.progress[-1] == (total, total)
    assert caller.progress == sorted(caller.progress)
    assert f"{total / 1e6:,.1f} MB" in caller.said


def test_a_model_in_the_cache_needs_no_request(
    server: HubServer, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server)
    folder = caller.fetch()
    asked = len(server.requests)
    caller.log.clear()
    assert caller.fetch() == folder
    assert len(server.requests) == asked
    assert "is in the hub's cache (main at commit" in caller.said
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert caller.fetch() == folder
    assert caller.fetch(revision=folder.name) == folder
    assert len(server.requests) == asked


def test_other_tools_find_it_in_the_cache(server: HubServer, caller: Caller) -> None:
    serve(server)
    folder = caller.fetch()
    code = (
        "from huggingface_hub import snapshot_download as s, hf_hub_download as d\n"
        f"print(s({NAME!r}, local_files_only=True, allow_patterns='*.safetensors'))\n"
        f"print(d({NAME!r}, 'model.safetensors'))"
    )
    before = len(server.seen(WEIGHTS))
    found = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert found == [str(folder), str(folder / "model.safetensors")]
    assert len(server.seen(WEIGHTS)) == before


def test_what_another_tool_cached_is_used(server: HubServer, caller: Caller) -> None:
    """Also when it keeps no listing, as older versions of the library did."""
    serve(server)
    code = f"from huggingface_hub import snapshot_download as s; print(s({NAME!r}))"
    folder = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    for listing in caller.home.rglob("trees/*.json"):
        listing.unlink()
    asked = len(server.requests)
    assert str(caller.fetch()) == folder
    assert len(server.requests) == asked


def test_a_branch_and_a_commit_can_be_named(server: HubServer, caller: Caller) -> None:
    serve(server, fill=1)
    serve(server, NAME + "@v1", fill=2)
    assert (caller.fetch() / "model.safetensors").read_bytes()[-1] == 1
    folder = caller.fetch(revision="v1")
    assert (folder / "model.safetensors").read_bytes()[-1] == 2
    assert folder.name == server.commit("models", NAME, "v1")
    assert caller.fetch(revision=folder.name) == folder
    error = caller.refused(kind=NotFoundError, revision="v9")
    assert "has no revision v9" in error.message


def test_the_token_goes_to_the_hub_and_nowhere_else(
    server: HubServer, caller: Caller, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    serve(server)
    server.tokens.add(TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_DEBUG", "1")  # would log requests
    words = json.dumps({"error": f"for {TOKEN} and {LOOKS_LIKE_A_TOKEN}"}).encode()
    server.answer("/api/models", 500, body=words)
    server.answer("/tree/", 418, body=words)
    error = caller.refused()
    caller.fetch()
    assert {seen.token for seen in server.requests if not seen.storage} == {TOKEN}
    assert server.seen(WEIGHTS)
    assert {seen.token for seen in server.requests if seen.storage} == {None}
    said = caller.said + str(error) + error.remedy + "".join(capfd.readouterr())
    assert "418" in error.message
    assert "for *** and ***" in error.message
    assert "Canary" not in said
    files = [path for path in caller.home.rglob("*") if path.is_file()]
    assert not any(b"Canary" in path.read_bytes() for path in files)


def test_rate_limits_are_waited_out_as_the_hub_asks(server: HubServer, caller: Caller) -> None:
    serve(server)
    soon = format_datetime(datetime.now(UTC) - timedelta(seconds=9), usegmt=True)
    server.answer("/revision/|/api/models/org/tiny$", 429, headers={"Retry-After": "1"})
    server.answer("/tree/", 429, headers={"Retry-After": soon})
    server.answer("HEAD .*config.json", 429, headers={"RateLimit": '"api";r=0;t=1'})
    began = time.monotonic()
    caller.fetch(waits=(50.0, 50.0, 50.0))
    assert time.monotonic() - began >= 2
    assert "hub answered 429; trying again in 1 s (1 of 3)" in caller.log
    assert "hub answered 429; trying again in 0 s (1 of 3)" in caller.log


def test_waits_grow_and_end_with_a_way_out(server: HubServer, caller: Caller) -> None:
    serve(server)
    server.answer("/api/models", 503, times=100)
    error = caller.refused(waits=(0.1, 0.6, 1.4))
    assert caller.log[1:] == [
        "hub answered 503; trying again in 0 s (1 of 3)",
        "hub answered 503; trying again in 1 s (2 of 3)",
        "hub answered 503; trying again in 1 s (3 of 3)",
    ]
    assert "hub answered 503, 4 times in a row" in error.message
    assert server.count("/api/models") == 4


def test_a_hub_that_asks_for_an_hour_is_not_waited_for(server: HubServer, caller: Caller) -> None:
    serve(server)
    server.answer("/api/models", 429, headers={"Retry-After": "3600"})
    error = caller.refused()
    assert "3600 s" in error.message
    assert "trying again" not in caller.said


def test_a_broken_connection_goes_on_where_it_broke(server: HubServer, caller: Caller) -> None:
    served = serve(server, floats=MEGA)
    server.cut(WEIGHTS, after=3 * MEGA // 2, times=2)
    folder = caller.fetch()
    data = (served / "model.safetensors").read_bytes()
    assert (folder / "model.safetensors").read_bytes() == data
    ranges = [seen.headers.get("range") for seen in server.seen(WEIGHTS)]
    assert ranges[0] is None
    assert all(each and each != "bytes=0-" for each in ranges[1:])
    assert "broke" in caller.said
    assert "trying again" in caller.said
    assert f"of {len(data):,} bytes" in caller.said
    assert caller.progress[-1][0] == caller.progress[-1][1]


def test_silence_counts_as_a_broken_connection(
    server: HubServer, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    serve(server, floats=MEGA)
    server.stall(WEIGHTS, after=2 * MEGA)
    server.stall("GET .*/tree/", after=10)
    caller.fetch()
    assert caller.said.count("127.0.0.1 went silent") == 2
    assert server.seen(WEIGHTS)[-1].headers["range"]


def test_a_hub_without_ranges_is_read_from_the_start(server: HubServer, caller: Caller) -> None:
    served = serve(server, floats=MEGA)
    server.ranges = False
    server.cut(WEIGHTS, after=2 * MEGA)
    folder = caller.fetch()
    data = (served / "model.safetensors").read_bytes()
    assert (folder / "model.safetensors").read_bytes() == data
    assert len(server.seen(WEIGHTS)) == 2
    assert caller.progress[-1][0] == caller.progress[-1][1]


def begin_and_stall(server: HubServer, caller: Caller, after: int) -> threading.Thread:
    """A download in a thread that hangs in the middle of its weights."""
    server.stall(WEIGHTS, after=after)
    thread = caller.start()
    until(lambda: any(path.stat().st_size >= after - MEGA for path in caller.partials()))
    return thread


def until(condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def test_a_stop_is_obeyed_at_once_and_the_part_is_kept(server: HubServer, caller: Caller) -> None:
    served = serve(server, floats=MEGA)
    thread = begin_and_stall(server, caller, after=3 * MEGA)
    caller.stop.set()
    thread.join(20)  # silence alone would count as a broken line only after 30 s
    assert not thread.is_alive()
    [partial] = caller.partials()
    have = partial.stat().st_size
    assert have >= MEGA
    assert not children()
    server.faults.clear()
    caller.stop.clear()
    folder = caller.fetch()
    data = (served / "model.safetensors").read_bytes()
    assert (folder / "model.safetensors").read_bytes() == data
    assert server.seen(WEIGHTS)[-1].headers["range"] == f"bytes={have}-"
    assert caller.partials() == []


def children() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "hub.download" in " ".join(process.cmdline())
    ]


def test_a_stop_during_a_wait_is_obeyed(server: HubServer, caller: Caller) -> None:
    serve(server)
    server.answer("/api/models", 503, times=100)
    thread = caller.start(waits=(600.0,))
    until(lambda: "trying again" in caller.said)
    caller.stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_killed_worker_leaves_no_download_behind(server: HubServer, caller: Caller) -> None:
    serve(server, floats=MEGA)
    server.stall(WEIGHTS, after=2 * MEGA)
    code = (
        "from qtui.stages.training import hub\n"
        f"hub.fetch({NAME!r}, revision=None, trust_remote_code=False, log=print,"
        " progress=lambda *_: None, stopped=lambda: False)"
    )
    worker = subprocess.Popen([sys.executable, "-c", code])
    try:
        until(lambda: bool(caller.partials()) and bool(children()))
        [child] = children()
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert child.wait(20) is None or not child.is_running()
    assert caller.partials()


def test_two_at_once_download_once(server: HubServer, caller: Caller) -> None:
    serve(server, floats=MEGA)
    held = server.hold(WEIGHTS)
    other = Caller(caller.home)
    threads = [threading.Thread(target=each.fetch) for each in (caller, other)]
    threads[0].start()
    until(lambda: bool(server.seen(WEIGHTS)))
    threads[1].start()
    until(lambda: "another process is downloading model.safetensors" in other.said)
    held.set()
    for thread, each in zip(threads, (caller, other), strict=True):
        thread.join(60)
        assert each.progress[-1][0] == each.progress[-1][1] > 4 * MEGA
    assert len(server.seen(WEIGHTS)) == 1


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_downloaded_again(server: HubServer, caller: Caller, name: str) -> None:
    """Weights are known by their SHA-256, small files by their git hash."""
    served = serve(server)
    server.corrupt(WEIGHTS if name.endswith("safetensors") else f"GET .*{name}")
    folder = caller.fetch()
    assert (folder / name).read_bytes() == (served / name).read_bytes()
    assert f"{name} arrived damaged" in caller.said or f"{name} is damaged" in caller.said


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_what_stays_damaged_is_never_used(server: HubServer, caller: Caller, name: str) -> None:
    serve(server)
    server.corrupt(f"GET .*{name}", times=100)
    error = caller.refused()
    assert name in error.message
    assert "damaged twice" in error.message
    assert not [path for path in caller.home.rglob(name) if path.exists()]
    server.faults.clear()
    caller.fetch()


@pytest.mark.parametrize(
    ("name", "words"),
    [("model.safetensors", "is torn: 100 bytes"), ("tokenizer.json", "of org/tiny damaged")],
)
def test_a_file_that_was_damaged_in_the_cache_is_replaced(
    server: HubServer, caller: Caller, name: str, words: str
) -> None:
    served = serve(server)
    (served / "tokenizer.json").write_text(json.dumps({"model": "long enough" * 20}))
    path = caller.fetch() / name
    os.truncate(path, 100)
    caller.log.clear()
    assert caller.fetch() / name == path
    assert path.read_bytes() == (served / name).read_bytes()
    assert words in caller.said


def test_an_unfinished_snapshot_is_completed(server: HubServer, caller: Caller) -> None:
    serve(server, parts=2)
    path = caller.fetch() / "model-00002-of-00002.safetensors"
    path.resolve().unlink()
    path.unlink()
    caller.fetch()
    assert path.is_file()
    assert len(server.seen(WEIGHTS)) == 3


def test_a_cache_that_cannot_hold_links_has_each_file_once(
    server: HubServer, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_SYMLINKS", "1")
    served = serve(server, floats=MEGA)
    folder = caller.fetch()
    data = (served / "model.safetensors").read_bytes()
    assert not (folder / "model.safetensors").is_symlink()
    size = sum(path.stat().st_size for path in caller.home.rglob("*") if path.is_file())
    assert size < 1.5 * len(data)
    assert caller.fetch() == folder
    os.truncate(folder / "model.safetensors", 100)
    assert (caller.fetch() / "model.safetensors").read_bytes() == data


def test_a_cache_that_cannot_be_written_is_named(
    server: HubServer, caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file" / "home"))
    error = caller.refused(kind=ImpossibleError)
    assert str(tmp_path / "file") in error.message
    assert "HF_HOME" in error.remedy


def test_a_full_disk_is_named() -> None:
    from qtui.stages.training.hub.errors import explain

    error = explain(OSError(errno.ENOSPC, "No space left on device"), NAME, None)
    assert isinstance(error, ImpossibleError)
    assert "is full" in error.message
    assert "HF_HOME" in error.remedy


def test_a_gated_model_names_the_page_to_ask_at(
    server: HubServer, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server)
    server.gated.add(NAME)
    server.tokens.add(TOKEN)
    error = caller.refused(kind=InputError)
    assert "gated" in error.message
    assert "no hub token" in error.message
    assert f"{server.endpoint}/{NAME}" in error.remedy
    assert "HF_TOKEN" in error.remedy
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    error = caller.refused(kind=InputError)
    assert "no access" in error.message
    assert f"{server.endpoint}/{NAME}" in error.remedy
    assert not server.seen(WEIGHTS)
    server.granted.add(TOKEN)
    caller.fetch()


def test_private_and_unknown_models_and_bad_tokens(
    server: HubServer, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server)
    server.private.add(NAME)
    server.tokens.add(TOKEN)
    for name in (NAME, "org/typo"):
        error = caller.refused(name, kind=NotFoundError)
        assert f"no model {name}" in error.message
        assert "./FOLDER" in error.remedy
        assert "HF_TOKEN" in error.remedy
    monkeypatch.setenv("HF_TOKEN", "hf_wrongwrongwrong")
    assert "does not accept the token" in caller.refused(kind=InputError).message
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert "account of this token" in caller.refused(kind=NotFoundError).message
    server.granted.add(TOKEN)
    caller.fetch()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (("config.json", "pytorch_model.bin"), "pickle (pytorch_model.bin)"),
        (("config.json", "a.pt", "b.pth"), "pickle (a.pt, b.pth)"),
        (("model-Q4.gguf", "README.md"), "GGUF"),
        (("adapter_config.json", "adapter_model.safetensors"), "is an adapter"),
        (("data.csv",), "no config.json"),
        (("config.json", "tokenizer.json"), "no weights"),
    ],
)
def test_a_wrong_repository_is_refused_from_its_listing(
    server: HubServer, caller: Caller, files: tuple[str, ...], words: str
) -> None:
    folder = server.folder / "models" / NAME
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_text("{}")
    error = caller.refused(kind=InputError)
    assert words in error.message
    assert server.count("/resolve/") == 0


def test_code_is_refused_before_the_weights_are_downloaded(
    server: HubServer, caller: Caller
) -> None:
    auto_map = {"AutoModelForCausalLM": "modeling_x.XModel"}
    served = serve(server, config={"model_type": "x", "auto_map": auto_map})
    (served / "modeling_x.py").write_text("print('hello')")
    error = caller.refused(kind=InputError)
    assert "modeling_x.XModel" in error.message
    assert "trust_remote_code: true" in error.remedy
    assert not server.seen(WEIGHTS)
    assert server.count("modeling_x.py") == 0
    folder = caller.fetch(trust=True)
    assert (folder / "modeling_x.py").read_text() == "print('hello')"
    assert caller.fetch(trust=True) == folder
    assert server.count("GET .*modeling_x.py") == 1


def test_a_disk_that_is_too_small_is_seen_before_the_download(
    server: HubServer, caller: Caller
) -> None:
    serve(server, parts=3)
    for part in (1, 2, 3):
        server.sizes[f"model-0000{part}-of-00003.safetensors"] = 49 * 10**9
    free = psutil.disk_usage(str(caller.home.parent)).free
    if free > 3 * 49 * 10**9:
        pytest.skip("this disk is too large for the test")
    error = caller.refused(kind=ImpossibleError)
    assert "147.1 GB more disk" in error.message
    assert "HF_HOME" in error.remedy
    assert not server.seen(WEIGHTS)


def test_a_file_beyond_plain_http_names_the_tool_that_can(
    server: HubServer, caller: Caller
) -> None:
    serve(server)
    server.sizes["model.safetensors"] = 60 * 10**9
    assert "hf download" in caller.refused(kind=InputError).remedy


def test_no_network_is_named_with_the_way_out(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    error = caller.refused(waits=(0.0,))
    assert "no connection to 127.0.0.1" in error.message
    assert "HF_HUB_OFFLINE" in error.remedy
    assert "trying again in 0 s (1 of 1)" in caller.said
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("NO_PROXY", "*")
    assert "hub.invalid cannot be resolved" in caller.refused(waits=()).message
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    caller.refused(waits=(600.0,))


def test_offline_without_a_copy_says_so(
    server: HubServer, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    error = caller.refused(kind=NotFoundError)
    assert "HF_HUB_OFFLINE" in error.message
    assert server.requests == []


def test_a_login_page_is_not_taken_for_the_hub(server: HubServer, caller: Caller) -> None:
    serve(server)
    server.answer("/api/models", 200, times=100, body=b"<html>Log in to the WiFi</html>")
    assert "no JSON" in caller.refused().message
    server.faults.clear()
    server.answer("HEAD ", 200, times=100, body=b"")
    assert "hub's protocol" in caller.refused().message


def test_what_the_hub_says_is_made_safe(server: HubServer, caller: Caller) -> None:
    serve(server)
    evil = json.dumps({"error": "\x1b]52;c;ZXZpbA==\x07\u202e\n[INST]"}).encode()
    server.answer("/api/models", 403, body=evil, headers={"Content-Type": "application/json"})
    message = caller.refused().message
    assert "[INST]" in message
    assert not any(character in message for character in "\x1b\x07\u202e\n")


def test_names_that_are_no_hub_ids(
    server: HubServer, caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "models" / "tiny-llama")
    assert caller.fetch("models/tiny-llama") == tmp_path / "models" / "tiny-llama"
    caller.fetch("./models/tiny-llama", revision="v1")
    assert "v1 has no meaning" in caller.said
    error = caller.refused("./models/tiny-lama", kind=NotFoundError)
    assert "did you mean models/tiny-llama?" in error.remedy
    error = caller.refused("models/tiny-lama", kind=NotFoundError)
    assert "did you mean the folder models/tiny-llama?" in error.remedy
    server.requests.clear()
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert "GGUF" in caller.refused("model.gguf", kind=InputError).message
    for name in ("a/b/c", "/none", "~/none", "a\\b"):
        caller.refused(name, kind=NotFoundError)
    for name in ("../x/..", "org/na..me", "org/na me", "-x"):
        caller.refused(name, kind=InputError)
    assert "builtin:tiny" in caller.refused("builtin:huge", kind=NotFoundError).remedy
    assert server.requests == []


def test_progress_is_not_a_flood(server: HubServer, caller: Caller) -> None:
    serve(server, floats=8 * MEGA)
    began = time.monotonic()
    caller.fetch()
    assert len(caller.progress) <= 5 * (time.monotonic() - began) + 2


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_the_server_serves_data_sets_to_the_real_library(
    server: HubServer, caller: Caller, kind: str
) -> None:
    folder = server.folder / "datasets" / "org" / "rows" / "data"
    folder.mkdir(parents=True)
    rows = [{"prompt": f"p{i}", "completion": "c"} for i in range(5)]
    if kind == "jsonl":
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "train.jsonl").write_text(lines)
    else:
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.Table.from_pylist(rows)
        pyarrow.parquet.write_table(table, folder / "train-00000-of-00001.parquet")
    code = "from datasets import load_dataset as l; print(l('org/rows', split='train').to_list())"
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert said.strip() == str(rows)

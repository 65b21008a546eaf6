"""`vllm serve` as a child: how it is called, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from qtui.config.serve import ServeConfig
from qtui.errors import ImpossibleError, InputError
from qtui.stages.inference import vllm_process
from qtui.stages.inference.vllm_process import Lora, VllmProcess, command, executable, largest_rank
from tests.stages.inference import fake_vllm

SOCKET = Path("/run/v.sock")


def config(**settings: Any) -> ServeConfig:
    model = {"model_name": "org/model"} | settings.pop("model", {})
    return ServeConfig.model_validate({"model": model} | settings)


def until(reached: Callable[[], bool], seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < ends
        time.sleep(0.02)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in on the PATH; returns its log."""
    monkeypatch.setenv("PATH", f"{fake_vllm.install(tmp_path / 'bin')}:{os.environ['PATH']}")
    monkeypatch.setenv(fake_vllm.LOG, str(tmp_path / "log.jsonl"))
    return tmp_path / "log.jsonl"


def noted(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_every_setting_reaches_the_command_line() -> None:
    asked = config(
        model={"dtype": "bfloat16", "quantization": "nf4", "trust_remote_code": True},
        max_context=4096,
        max_concurrent=7,
        max_adapters=3,
    )
    adapters = [Lora("a@400", Path("/w/a=b,c"), 128), Lora("b", Path("/w/b"), 8)]
    line = command("vllm", asked, Path("/m"), adapters, SOCKET, memory_share=0.4567)
    text = " ".join(line)
    assert text.startswith("vllm serve /m --served-model-name org/model --uds /run/v.sock")
    for option in (
        "--dtype bfloat16", "--quantization bitsandbytes", "--max-model-len 4096",
        "--max-num-seqs 7", "--trust-remote-code", "--gpu-memory-utilization 0.46",
        "--enable-lora --max-lora-rank 128 --max-loras 2 --max-cpu-loras 3",
    ):  # fmt: skip
        assert option in text
    named = [json.loads(item) for item in line[line.index("--lora-modules") + 1 :]]
    assert named == [
        {"name": "a@400", "path": "/w/a=b,c", "base_model_name": "org/model"},
        {"name": "b", "path": "/w/b", "base_model_name": "org/model"},
    ]


def test_what_is_not_asked_for_is_left_to_vllm() -> None:
    line = command("vllm", config(model={"quantization": "none"}), Path("/m"), [], SOCKET)
    left = {"--quantization", "--max-model-len", "--trust-remote-code", "--lora-modules",
            "--gpu-memory-utilization", "--api-key"}  # fmt: skip
    assert not left & set(line)
    assert "--enable-lora" in line  # runs may be asked for later


def test_what_vllm_cannot_do_is_refused_with_the_way_out() -> None:
    with pytest.raises(ImpossibleError, match="8 bits") as caught:
        command("vllm", config(model={"quantization": "int8"}), Path("/m"), [], SOCKET)
    assert "nf4" in caught.value.remedy
    assert largest_rank([Lora("a", Path(), 65)]) == 128
    with pytest.raises(InputError, match="rank 600; vLLM serves at most 512"):
        largest_rank([Lora("a", Path(), 600)])


def test_without_vllm_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vllm_process.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImpossibleError, match="vllm is not installed") as caught:
        executable()
    assert "pip install vllm" in caught.value.remedy


def start(line: list[str]) -> VllmProcess:
    return VllmProcess(lambda socket: line)


def never() -> bool:
    return False


def test_a_death_at_the_start_is_told_by_its_last_words(
    fake: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(
        fake_vllm.FAIL, "Free memory on device (2.1/24.0 GiB) is less than desired\x1b[2J"
    )
    made = VllmProcess(lambda socket: command("vllm", config(), Path("/m"), [], socket))
    with pytest.raises(ImpossibleError, match=r"vllm has ended: ERROR Free memory") as caught:
        made.wait_ready(never, lambda said: None)
    assert "\x1b" not in caught.value.message
    assert "smaller max_context" in caught.value.remedy
    made.close()
    assert "loading weights" in capfd.readouterr().err  # which is worker.log


def test_options_that_it_does_not_know_point_at_its_version(fake: Path) -> None:
    made = start([executable(), "serve", "/m", "--uds", "/x/y", "--no-such-option"])
    with pytest.raises(ImpossibleError, match="unrecognized arguments") as caught:
        made.wait_ready(never, lambda said: None)
    assert "too old" in caught.value.remedy
    made.close()


def test_a_program_that_cannot_be_started_is_a_death_too(tmp_path: Path) -> None:
    made = start([str(tmp_path / "none")])
    with pytest.raises(ImpossibleError, match="cannot be started: No such file"):
        made.wait_ready(never, lambda said: None)
    made.close()


def test_while_it_starts_its_last_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_process, "_SAY_SECONDS", 0.2)
    made = start(["sh", "-c", "echo loading shard 3 of 9; sleep 600"])
    said: list[str] = []
    made.wait_ready(lambda: any("shard 3" in one for one in said), said.append)
    made.close()


def test_closing_ends_all_of_its_processes(fake: Path) -> None:
    made = VllmProcess(lambda socket: command(executable(), config(), Path("/m"), [], socket))
    until(lambda: bool(noted(fake)))
    first = noted(fake)[0]
    made.close()
    until(lambda: not alive(first["pid"]) and not alive(first["engine"]))
    assert not made.socket.parent.exists()


def test_one_that_does_not_heed_the_request_is_killed() -> None:
    # The grace is the watcher's own, so that a short one is given to it in its own process.
    code = (
        "import sys; from qtui.stages.inference import vllm_watch as watch\n"
        "watch.GRACE = 0.3; watch.main(sys.argv[1:])"
    )
    watcher = subprocess.Popen(
        [
            sys.executable,
            "-c",
            code,
            "sh",
            "-c",
            "trap '' TERM; echo $$; while :; do sleep 1; done",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert watcher.stdout is not None
    assert watcher.stdin is not None
    stubborn = int(watcher.stdout.readline())
    watcher.stdin.close()
    assert watcher.wait(timeout=30) == -signal.SIGKILL
    until(lambda: not alive(stubborn))


def test_a_killed_worker_leaves_no_vllm(fake: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from qtui.stages.inference.vllm_process import VllmProcess, command, executable\n"
        "from tests.stages.inference.test_vllm_process import config\n"
        "VllmProcess(lambda s: command(executable(), config(), Path('/m'), [], s))\n"
        "time.sleep(600)\n"
    )
    root = Path(__file__).parents[3]
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=root)
    try:
        until(lambda: bool(noted(fake)))
    finally:
        worker.kill()
        worker.wait()
    first = noted(fake)[0]
    until(lambda: not alive(first["pid"]) and not alive(first["engine"]))

"""`qtui serve`: what it freezes, what it says, and how it ends. The worker is a fake one."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.programs import qtui, spawn


def frozen(place: Path) -> dict[str, Any]:
    (run,) = (place / "runs").iterdir()
    spec: dict[str, Any] = json.loads((run / "run.json").read_text())
    assert spec["kind"] == "serve"
    return spec["config"]


def test_detached_it_says_where_it_listens_and_lives_on(tmp_path: Path) -> None:
    shown = qtui("serve", "builtin:tiny", "--detach", cwd=tmp_path, fake=True)
    assert shown.code == 0, shown.stderr
    assert "listens at  http://127.0.0.1:8123/v1" in shown.text
    assert "stopped" not in qtui("runs", "list", cwd=tmp_path).text
    assert (
        "listens at  http://127.0.0.1:8123/v1" in qtui("runs", "show", "latest", cwd=tmp_path).text
    )
    stopped = qtui("runs", "stop", "latest", "--wait", cwd=tmp_path, fake=True)
    assert "stopped" in stopped.text
    shown = qtui("runs", "logs", "latest", cwd=tmp_path)
    assert "listens at http://127.0.0.1:8123" in shown.text
    assert "3 requests were answered" in shown.text


def test_json_has_the_address(tmp_path: Path) -> None:
    shown = qtui("serve", "builtin:tiny", "--detach", "--json", cwd=tmp_path, fake=True)
    run, address = (json.loads(line) for line in shown.text.splitlines())
    assert run["type"] == "run"
    assert address["url"] == "http://127.0.0.1:8123"
    qtui("runs", "stop", "latest", "--wait", cwd=tmp_path, fake=True)


def test_what_kept_it_from_listening_ends_the_command(tmp_path: Path) -> None:
    env = {"FAKE": "impossible"}
    for extra in ((), ("--detach",)):
        shown = qtui("serve", "builtin:tiny", *extra, cwd=tmp_path, fake=True, env=env)
        assert shown.code == 4
        assert b"no room" in shown.stderr + shown.stdout
        assert b"buy some" in shown.stderr


def test_ctrl_c_ends_the_following_alone(tmp_path: Path) -> None:
    program = spawn("serve", "builtin:tiny", cwd=tmp_path, fake=True)
    program.expect("listens at http")
    program.kill(signal.SIGINT)
    program.expect("goes on by itself")
    program.wait()
    assert program.exitstatus == 130
    assert "serving" in qtui("runs", "list", cwd=tmp_path).text
    qtui("runs", "stop", "latest", "--wait", cwd=tmp_path, fake=True)


def test_every_option_is_frozen(tmp_path: Path) -> None:
    template = tmp_path / "mine.jinja"
    template.write_text("{{ messages }}")
    shown = qtui(
        *("serve", "builtin:tiny", "--detach", "--port", "0", "--host", "localhost", "--socket"),
        *("--engine", "vllm", "--quantization", "int8", "--device", "cpu", "--dtype", "float32"),
        *("--attn-implementation", "eager", "--revision", "main", "--trust-remote-code"),
        *("--chat-template", "mine.jinja", "--max-context", "512", "--max-prompt-tokens", "400"),
        *("--max-concurrent", "3", "--max-queue", "0", "--max-body-bytes", "1000"),
        *("--max-adapters", "2", "--allow-host", "a.example", "--allow-host", "b.example"),
        *("--allow-origin", "https://a.example", "--idle-minutes", "2.5", "--log-contents"),
        *("--name", "mine"),
        cwd=tmp_path,
        fake=True,
    )
    assert shown.code == 0, shown.stderr
    qtui("runs", "stop", "mine", "--wait", cwd=tmp_path, fake=True)
    config = frozen(tmp_path)
    assert config == {
        "model": {
            "model_name": "builtin:tiny",
            "revision": "main",
            "trust_remote_code": True,
            "attn_implementation": "eager",
            "dtype": "float32",
            "quantization": "int8",
        },
        "adapters": [],
        "engine": "vllm",
        "device": "cpu",
        "chat_template": str(template),
        "max_context": 512,
        "host": "localhost",
        "port": 0,
        "socket": True,
        "keyed": False,
        "allowed_hosts": ["a.example", "b.example"],
        "allowed_origins": ["https://a.example"],
        "max_concurrent": 3,
        "max_queue": 0,
        "max_body_bytes": 1000,
        "max_prompt_tokens": 400,
        "max_adapters": 2,
        "idle_minutes": 2.5,
        "log_contents": True,
    }
    assert b"trust_remote_code is on" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing",), b"no run 'nothing'"),
        (("./nothing",), b"neither a run nor a model"),
        (("builtin:tiny", "--port", "99999"), b"port"),
        (("builtin:tiny", "--max-concurrent", "0"), b"max_concurrent"),
        (("builtin:tiny", "--chat-template", "no.jinja"), b"no file no.jinja"),
        (("builtin:tiny", "--device", "tpu"), b"device"),
        (("builtin:tiny", "--host", "0.0.0.0"), b"needs a key"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(
    tmp_path: Path, arguments: tuple[str, ...], said: bytes
) -> None:
    shown = qtui("serve", *arguments, cwd=tmp_path, fake=True)
    assert shown.code == 2
    assert said in shown.stderr
    assert not list((tmp_path / "runs").glob("*")) if (tmp_path / "runs").exists() else True

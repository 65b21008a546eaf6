"""`qtui chat` as a program, against servers that it starts and servers that are there."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from qtui.chat import server
from qtui.chat.client import Client
from qtui.runs import folder, serving, state
from qtui.runs.folder import Run
from qtui.runs.state import Status
from tests.chat import scripted
from tests.cli.conftest import finished_run
from tests.cli.corpus import IN_FILES, control_characters
from tests.cli.programs import SECONDS, Shown, environment, in_process, on_terminal
from tests.e2e.terminal import Terminal
from tests.stages.inference.fake_engine import FakeEngine
from tests.stages.inference.fake_server import serving as served

HELLO = ("--prompt", "hello there")


def command(*arguments: str) -> list[str]:
    import sys

    return [sys.executable, "-m", "tests.chat.qtui_with_fake_engine", *arguments]


def chat(
    *arguments: str, cwd: Path, stdin: bytes | None = None, env: Mapping[str, str] | None = None
) -> Shown:
    """Run `qtui chat` with pipes to its end."""
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    done = subprocess.run(
        command("chat", *arguments),
        cwd=cwd, env=environment(env), capture_output=True, timeout=SECONDS, **given,
    )  # fmt: skip
    return Shown(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """A workspace with one run; no server is left in it."""
    run = finished_run(tmp_path, "quiet-otter")
    run.adapter.mkdir()
    yield tmp_path
    for living in serving.living(tmp_path):
        server.stop(living)


def servers(workspace: Path) -> list[Run]:
    return [run for run in folder.all_runs(workspace) if run.spec.kind == "serve"]


# -- with a server of its own ---------------------------------------------------------------------


def test_a_server_is_started_asked_and_stopped(workspace: Path) -> None:
    shown = chat("quiet-otter", "--base", *HELLO, cwd=workspace)
    assert shown.code == 0
    assert shown.text.splitlines() == [
        "builtin:tiny", "builtin:tiny heard: hello there", "",
        "quiet-otter", "quiet-otter heard: hello there",
    ]  # fmt: skip
    told = shown.stderr.decode()
    (run,) = servers(workspace)
    assert f"waiting for {run.id}: loading model" in told
    assert "4 tokens" in told
    assert state.status(run) is Status.STOPPED
    assert "hello" not in (run.path / "run.json").read_text()


def test_the_newest_run_is_meant_where_nothing_is_named(workspace: Path) -> None:
    shown = chat("--json", cwd=workspace, stdin="grüße\n".encode())
    document = json.loads(shown.stdout)
    (answer,) = document["answers"]
    assert answer["text"] == "quiet-otter heard: grüße"
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 3}
    assert answer["finish_reason"] == "stop"
    assert 0 < answer["first_token_seconds"] <= answer["seconds"]
    assert document["server"] == servers(workspace)[0].id


def test_a_server_that_is_kept_is_used_again_and_left_alone(workspace: Path) -> None:
    first = chat("quiet-otter", "--keep", *HELLO, cwd=workspace)
    assert b"goes on serving" in first.stderr
    (run,) = servers(workspace)
    assert run.spec.config["idle_minutes"] is None
    assert chat("quiet-otter", *HELLO, cwd=workspace).code == 0
    assert servers(workspace) == [run]
    assert state.status(run) is Status.SERVING


def test_a_server_that_cannot_load_ends_the_command_as_it_ended(workspace: Path) -> None:
    shown = chat("quiet-otter", *HELLO, "--json", cwd=workspace, env={"FAKE_ENGINE": "fails"})
    assert shown.code == 4
    assert json.loads(shown.stdout)["error"]["message"] == "needs 5.1 GB, 2.3 GB free"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_mid_answer_leaves_no_server(workspace: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        command("chat", "quiet-otter", *HELLO),
        cwd=workspace, env=environment({"FAKE_ENGINE": "holds"}),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.read(len("quiet-otter ")) == b"quiet-otter "
    process.send_signal(number)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert serving.living(workspace) == []


def test_ctrl_c_while_the_model_loads_leaves_no_server(workspace: Path) -> None:
    process = subprocess.Popen(
        command("chat", "quiet-otter", *HELLO),
        cwd=workspace, env=environment({"FAKE_GO": str(workspace / "go")}),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    while b"loading model" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert serving.living(workspace) == []


def test_a_server_that_another_talks_to_by_then_goes_on(workspace: Path) -> None:
    process = subprocess.Popen(
        command("chat", "quiet-otter", *HELLO),
        cwd=workspace, env=environment({"FAKE_ENGINE": "holds"}),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.read(len("quiet-otter ")) == b"quiet-otter "
    (run,) = serving.living(workspace)
    address = serving.address(run)
    assert address is not None
    other = Client(address)
    try:
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=SECONDS)
        assert b"another qtui talks to" in told
        assert serving.living(workspace) == [run]
        assert server.in_use(run)
    finally:
        asyncio.run(other.aclose())
    assert not server.in_use(run)


def test_what_needs_no_server_starts_none(workspace: Path) -> None:
    for arguments in (("none", *HELLO), ("quiet-otter",), ("quiet-otter", "--prompt", " ")):
        assert in_process("chat", *arguments, cwd=workspace).code == 2
    assert servers(workspace) == []


# -- with a server that is there ------------------------------------------------------------------


def asked(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Shown:
    return in_process("chat", *arguments, cwd=cwd, env=env)


def test_a_server_elsewhere_by_its_address(tmp_path: Path) -> None:
    with served(FakeEngine()) as there:
        shown = asked("--url", f"{there.url}/v1", *HELLO, "--seed", "3", cwd=tmp_path)
        assert shown.text == "builtin:tiny heard: hello there\n"
        assert b"--model chooses another of: builtin:tiny, quiet-otter" in shown.stderr
        two = asked("--url", there.url, "quiet-otter", "--base", *HELLO, cwd=tmp_path)
        assert two.text.count("heard: hello there") == 2
        missing = asked("--url", there.url, "--model", "none", *HELLO, cwd=tmp_path)
        assert missing.code == 2
        assert b"'none' is not served here" in missing.stderr
        engine: Any = there.service.engine
        assert engine.jobs[0].sampling.seed == 3
        assert engine.jobs[0].sampling.temperature == 0.7
    gone = asked("--url", there.url, *HELLO, cwd=tmp_path)
    assert gone.code == 1
    assert b"no server answers at" in gone.stderr


def test_one_of_two_that_fails_is_said_and_the_other_shown(tmp_path: Path) -> None:
    with served(FakeEngine()) as there:
        words = ("--url", there.url, "--model", "none", "--model", "quiet-otter", *HELLO)
        shown = asked(*words, cwd=tmp_path)
        assert shown.code == 1
        assert shown.text.splitlines()[-1] == "quiet-otter heard: hello there"
        document = json.loads(asked(*words, "--json", cwd=tmp_path).stdout)
        first, second = document["answers"]
        assert "not served here" in first["error"]["message"]
        assert second["error"] is None


def test_a_key_is_sent_from_the_environment(tmp_path: Path) -> None:
    with served(FakeEngine(), key="a-key-of-some-length") as there:
        without = asked("--url", there.url, *HELLO, cwd=tmp_path)
        assert without.code == 1
        assert b"set QTUI_API_KEY to it" in without.stderr
        wrong = asked("--url", there.url, *HELLO, cwd=tmp_path, env={"QTUI_API_KEY": "another"})
        assert wrong.code == 1
        assert b"is not the one it wants: look at QTUI_API_KEY" in wrong.stderr
        env = {"QTUI_API_KEY": "a-key-of-some-length"}
        assert asked("--url", there.url, *HELLO, cwd=tmp_path, env=env).code == 0


def test_everything_that_can_be_set_reaches_the_engine(tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"said": {"type": "string"}}}')
    engine = FakeEngine()
    with served(engine) as there:
        shown = asked(
            "--url", there.url, *HELLO, "--system", "be brief", "--temperature", "0",
            "--top-p", "0.5", "--top-k", "4", "--min-p", "0.1", "--repetition-penalty", "1.1",
            "--max-tokens", "9", "--stop", "\nX", "--json-schema", str(schema), "--raw",
            "--json", cwd=tmp_path,
        )  # fmt: skip
    job = engine.jobs[0]
    drawn = job.sampling
    assert (drawn.temperature, drawn.top_p, drawn.top_k, drawn.min_p) == (0, 0.5, 4, 0.1)
    assert (drawn.repetition_penalty, drawn.max_tokens, drawn.stop) == (1.1, 9, ("\nX",))
    assert drawn.json_schema == json.loads(schema.read_text())
    assert not drawn.skip_special_tokens
    (answer,) = json.loads(shown.stdout)["answers"]
    assert answer["raw_prompt"] == "<|system|>be brief\n<|user|>hello there\n<|assistant|>"
    assert answer["text"].endswith("<|end|>")


def test_plain_text_is_gone_on_from(tmp_path: Path) -> None:
    engine = FakeEngine()
    with served(engine) as there:
        asked("--url", there.url, "--plain", "--prompt", "Once upon", cwd=tmp_path)
        assert engine.jobs[0].prompt == "Once upon"
        refused = asked("--url", there.url, "--plain", "--system", "x", *HELLO, cwd=tmp_path)
        assert refused.code == 2


def test_what_a_model_writes_cannot_touch_the_terminal(tmp_path: Path) -> None:
    with served(FakeEngine(answer=lambda job: IN_FILES)) as there:
        shown = asked("--url", there.url, *HELLO, cwd=tmp_path)
        assert control_characters(shown.stdout) == []
        assert "[INST]" in shown.text
        document = json.loads(asked("--url", there.url, *HELLO, "--json", cwd=tmp_path).stdout)
        assert document["answers"][0]["text"] == IN_FILES


def test_what_ends_an_answer_stands_on_a_line_of_its_own(tmp_path: Path) -> None:
    with scripted.elsewhere(scripted.answers(scripted.head(), scripted.chunk("half an"))) as url:
        shown = asked("--url", url, "--model", "m", *HELLO, cwd=tmp_path)
    assert (shown.code, shown.text) == (1, "half an\n")
    assert b"broke off in mid-answer" in shown.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--model", "m", *HELLO),
        ("--url", "ftp://x", *HELLO),
        ("--url", "http://127.0.0.1:1", "--device", "cpu", *HELLO),
        ("--url", "http://127.0.0.1:1", "--json-schema", "none.json", *HELLO),
        ("--url", "http://127.0.0.1:1", "--temperature", "nan", *HELLO),
        ("--url", "http://127.0.0.1:1", "--temperature", "5", *HELLO),
        ("--url", "http://127.0.0.1:1", "--top-p", "-1", *HELLO),
        ("--url", "http://127.0.0.1:1", "--max-tokens", "0", *HELLO),
        ("--url", "http://127.0.0.1:1", "--stop", "", *HELLO),
        ("--url", "unix:", *HELLO),
    ],
)
def test_what_does_not_go_together_is_wrong_input(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    shown = asked(*arguments, cwd=tmp_path)
    assert shown.code == 2
    assert b"Traceback" not in shown.stderr


def test_on_a_terminal_the_chat_screen_opens(tmp_path: Path) -> None:
    engine = FakeEngine()
    with served(engine) as there:
        opened = command("chat", "--url", there.url, "quiet-otter")
        with Terminal(opened, cwd=tmp_path) as terminal:
            terminal.until("enter send")
            terminal.press(*"hello", "enter")
            terminal.until("quiet-otter heard: hello")
    assert engine.jobs[0].prompt[-1]["content"] == "hello"


@pytest.mark.parametrize("option", ["--raw", "--keep"])
def test_what_is_a_key_on_the_screen_is_no_option_of_it(option: str, tmp_path: Path) -> None:
    shown = on_terminal("chat", "builtin:tiny", option, cwd=tmp_path)
    assert shown.code == 2
    assert f"{option} is for --prompt" in shown.text
    assert not (tmp_path / "runs").exists()

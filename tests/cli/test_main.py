"""How every command ends: exit codes, errors for people and for programs, pipes, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qtui.cli.commands import COMMANDS
from tests.cli.conftest import finished_run
from tests.cli.corpus import IN_ARGUMENTS, control_characters
from tests.cli.programs import command, environment, on_terminal, qtui


def test_help_and_version(workspace: Path) -> None:
    shown = qtui("--help", cwd=workspace)
    assert shown.code == 0
    for spec in COMMANDS:
        assert spec.path[0] in shown.text
    assert qtui("--version", cwd=workspace).text.startswith("qtui ")


def test_the_help_of_every_command_has_its_examples() -> None:
    from qtui.cli.parser import build

    for spec in COMMANDS:
        parser = build()
        for word in spec.path:
            choices = parser._subparsers._group_actions[0].choices  # type: ignore[union-attr]
            parser = choices[word]  # type: ignore[index]
        text = parser.format_help()
        for example in spec.examples:
            assert example in text
        assert "--json" in text
        assert "--workspace" in text


def test_every_example_is_understood() -> None:
    import shlex

    from qtui.cli.parser import build

    for spec in COMMANDS:
        for example in spec.examples:
            words = shlex.split(example.partition(">")[0])
            assert build().parse_args(words[1:]).command == spec.path


def test_every_handler_exists() -> None:
    from importlib import import_module

    for spec in COMMANDS:
        module, function = spec.handler.split(":")
        assert callable(getattr(import_module(f"qtui.cli.{module}"), function))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("trian",), "did you mean train?"),
        (("runs", "lsit"), "did you mean list?"),
        (("runs",), "required"),
        (("runs", "show"), "RUN"),
        (("train", "--nonsense"), "--nonsense"),
        (("train",), "no run file and no preset"),
        (("runs", "show", "nothing"), "no run 'nothing'"),
        (("runs", "show", "../../etc"), "not a run's name"),
        (("monitor", "--interval", "0"), "--interval"),
        (("monitor", "--interval", "nan"), "--interval"),
        (("runs", "list", "--limit", "0"), "--limit"),
        (("train", "absent.yaml"), "absent.yaml"),
        (("init", "no/such/folder/run.yaml"), "mkdir -p"),
        (("config", "fields", "zzz"), "zzz"),
    ],
)
def test_bad_input_ends_with_2_says_why_and_what_to_do(
    arguments: tuple[str, ...], says: str, workspace: Path
) -> None:
    shown = qtui(*arguments, cwd=workspace)
    assert shown.code == 2
    assert shown.stdout == b""
    assert says in shown.stderr.decode()
    assert len(shown.stderr.decode().splitlines()) >= 2
    as_json = qtui(*arguments, "--json", cwd=workspace)
    assert as_json.code == 2
    error = json.loads(as_json.stdout)["error"]
    assert says in error["message"] + error["remedy"]
    assert error["exit_code"] == 2


def test_all_problems_of_a_run_file_are_shown_and_listed(workspace: Path) -> None:
    (workspace / "run.yaml").write_text("training:\n  lerning_rate: 1\n  batch_size: zero\n")
    shown = qtui("config", "show", "run.yaml", cwd=workspace)
    assert shown.code == 2
    assert "run.yaml:2" in shown.stderr.decode()
    assert "run.yaml:3" in shown.stderr.decode()
    error = json.loads(qtui("config", "show", "run.yaml", "--json", cwd=workspace).stdout)["error"]
    assert [problem["line"] for problem in error["problems"]] == [2, 3]
    assert "learning_rate" in error["problems"][0]["sentence"]


@pytest.mark.parametrize("words", [(IN_ARGUMENTS,), ("train", "--set", IN_ARGUMENTS, "x")])
def test_what_was_typed_comes_back_harmless(words: tuple[str, ...], workspace: Path) -> None:
    shown = on_terminal(*words, cwd=workspace)
    assert shown.code == 2
    assert control_characters(shown.stdout) == []
    assert "[INST]" in shown.text


def test_debug_shows_the_traceback_and_no_debug_does_not(workspace: Path) -> None:
    plain = qtui("runs", "show", "x", cwd=workspace)
    assert b"Traceback" not in plain.stderr
    assert b"Traceback" in qtui("runs", "show", "x", "--debug", cwd=workspace).stderr


def test_options_for_all_may_stand_before_the_command_or_after(workspace: Path) -> None:
    elsewhere = workspace / "elsewhere"
    finished_run(elsewhere, "found")
    for words in (
        ("--workspace", str(elsewhere), "--json", "runs", "list"),
        ("runs", "list", "--workspace", str(elsewhere), "--json"),
    ):
        (run,) = json.loads(qtui(*words, cwd=workspace).stdout)
        assert run["name"] == "found"
    by_environment = qtui(
        "runs", "list", "--json", cwd=workspace, env={"QTUI_WORKSPACE": str(elsewhere)}
    )
    assert len(json.loads(by_environment.stdout)) == 1


def test_a_reader_that_leaves_early_is_no_error(workspace: Path) -> None:
    finished_run(workspace, "long", steps=3000)
    program = subprocess.Popen(
        command(("runs", "logs", "latest", "--json")),
        cwd=workspace,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdout is not None
    program.stdout.readline()
    program.stdout.close()
    assert program.stderr is not None
    assert program.stderr.read() == b""
    assert program.wait(60) == 141


def test_ctrl_c_ends_a_command_that_waits_with_130(workspace: Path) -> None:
    from qtui.runs.lock import RunLock

    run = finished_run(workspace, "held")
    # Somebody holds the lock, so the worker's log may still grow: --follow waits.
    run.worker_log.write_text("first line\n")
    holder = RunLock(run.lock)
    holder.acquire()
    program = subprocess.Popen(
        command(("runs", "logs", "held", "--worker", "--follow")),
        cwd=workspace,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == b"first line\n"
    program.send_signal(signal.SIGINT)
    assert program.wait(60) == 130
    assert program.stderr is not None
    assert b"Traceback" not in program.stderr.read()
    holder.release()


def test_the_module_is_the_command(workspace: Path) -> None:
    entry = Path(sys.executable).with_name("qtui")
    if entry.exists():
        done = subprocess.run([entry, "--version"], capture_output=True, check=True)
        assert done.stdout == qtui("--version", cwd=workspace).stdout

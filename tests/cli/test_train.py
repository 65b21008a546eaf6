"""`train`, `quickstart`, `validate` and `runs resume` around a worker that is a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from qtui.runs.folder import all_runs, find
from qtui.runs.launch import request_stop, wait
from qtui.runs.lock import is_held
from qtui.runs.state import Status, status
from tests.cli.corpus import control_characters
from tests.cli.programs import command, environment, on_terminal, qtui, spawn, wait_for

QUICK = ("train", "--preset", "quickstart")


def test_a_run_is_followed_to_its_end(workspace: Path) -> None:
    shown = qtui(*QUICK, "--name", "first", cwd=workspace, fake=True)
    assert shown.code == 0
    run = find(workspace, "first")
    assert status(run) is Status.COMPLETED
    # Results on stdout, everything else on stderr.
    assert shown.text.splitlines() == [f"{run.id} is ✓ completed", f"adapter  {run.adapter}"]
    said = shown.stderr.decode()
    for words in ("step 1/5  loss 2", "adapter written", f"qtui runs show {run.id}"):
        assert words in said
    assert "\r" not in said


def test_the_resolved_settings_are_frozen_in_the_run(workspace: Path) -> None:
    (workspace / "run.yaml").write_text("preset: quickstart\ntraining:\n  seed: 7\n")
    shown = qtui(
        "train", "run.yaml", "--set", "training.max_steps=9", cwd=workspace, fake=True,
        env={"QTUI_TRAINING__SEED": "8", "QTUI_TRAINING__MAX_STEPS": "10"},
    )  # fmt: skip
    assert shown.code == 0
    training = find(workspace, "latest").spec.config["training"]
    assert (training["seed"], training["max_steps"]) == (8, 9)


def test_the_run_file_names_the_run_and_the_flag_wins(workspace: Path) -> None:
    named = (*QUICK, "--set", "training.run_name=from-file")
    assert qtui(*named, cwd=workspace, fake=True).code == 0
    assert find(workspace, "latest").name == "from-file"
    assert qtui(*named, "--name", "from-flag", cwd=workspace, fake=True).code == 0
    assert {run.name for run in all_runs(workspace)} == {"from-file", "from-flag"}


def test_json_is_an_object_a_line_from_the_runs_id_to_its_result(workspace: Path) -> None:
    shown = qtui(*QUICK, "--json", cwd=workspace, fake=True)
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert lines[0]["type"] == "run"
    assert [line["seq"] for line in lines[1:-1]] == list(range(len(lines) - 2))
    assert lines[-1]["type"] == "result"
    assert (lines[-1]["status"], lines[-1]["exit_code"], shown.code) == ("completed", 0, 0)
    assert lines[-1]["id"] == lines[0]["id"] == find(workspace, "latest").id


def test_a_failed_run_ends_with_1_why_and_the_way_out(workspace: Path) -> None:
    shown = qtui(*QUICK, "--name", "fails", cwd=workspace, fake=True)
    assert shown.code == 1
    said = shown.stderr.decode()
    assert "it broke" in said
    assert "mend it" in said
    assert "runs resume" in said


def test_a_worker_that_dies_at_its_start_shows_its_last_words(workspace: Path) -> None:
    shown = on_terminal(*QUICK, "--name", "dies", cwd=workspace, fake=True)
    assert shown.code == 1
    assert "no such library" in shown.text
    assert control_characters(shown.stdout) == []


def test_detached_returns_at_once_with_the_id(workspace: Path) -> None:
    shown = qtui(*QUICK, "--name", "waits", "--detach", cwd=workspace, fake=True)
    run = find(workspace, "waits")
    assert shown.code == 0
    assert shown.text == f"{run.id}\n"
    assert is_held(run.lock)
    stopped = qtui("runs", "stop", "waits", "--wait", "--json", cwd=workspace)
    assert json.loads(stopped.stdout) == {"id": run.id, "status": "stopped"}
    assert not is_held(run.lock)


def test_ctrl_c_stops_the_following_and_not_the_run(workspace: Path) -> None:
    child = spawn(*QUICK, "--name", "waits", cwd=workspace, fake=True)
    child.expect("sample at 5")
    child.sendintr()
    shown = child.read().decode()
    child.close()
    run = find(workspace, "waits")
    assert child.exitstatus == 130
    assert f"qtui runs attach {run.id}" in shown
    assert f"qtui runs stop {run.id}" in shown
    assert is_held(run.lock)
    assert run.commands.read_bytes() == b"" if run.commands.exists() else True
    request_stop(run, save=True)
    assert wait(run, timeout=60) is Status.STOPPED


def test_a_closed_terminal_does_not_end_the_run(workspace: Path) -> None:
    child = spawn(*QUICK, "--name", "waits", cwd=workspace, fake=True)
    child.expect("sample at 5")
    child.close(force=True)
    run = find(workspace, "waits")
    assert is_held(run.lock)
    request_stop(run, save=False)
    assert wait(run, timeout=60) is Status.STOPPED


def test_attach_shows_history_then_what_comes_and_ends_as_the_run_does(workspace: Path) -> None:
    qtui(*QUICK, "--name", "waits", "--detach", cwd=workspace, fake=True)
    viewer = subprocess.Popen(
        command(("runs", "attach", "waits")),
        cwd=workspace, env=environment(), stdout=subprocess.PIPE,
    )  # fmt: skip
    assert viewer.stdout is not None
    seen = b""
    while b"sample at 5" not in seen:
        line = viewer.stdout.readline()
        assert line
        seen += line
    assert b"step 1/5" in seen
    assert qtui("runs", "save", "waits", cwd=workspace).code == 0
    while b"checkpoint step-000002 complete" not in seen:
        seen += viewer.stdout.readline()
    assert qtui("runs", "stop", "waits", "--discard", cwd=workspace).code == 0
    rest = viewer.stdout.read()
    assert b"discarded" in rest
    assert viewer.wait(60) == 130


def test_a_killed_worker_is_told_to_whoever_follows(workspace: Path) -> None:
    child = qtui(*QUICK, "--name", "waits", "--detach", "--json", cwd=workspace, fake=True)
    pid = json.loads(child.stdout)["pid"]
    viewer = spawn("runs", "attach", "waits", cwd=workspace)
    viewer.expect("sample at 5")
    os.kill(pid, signal.SIGKILL)
    shown = viewer.read().decode()
    viewer.close()
    assert "interrupted" in shown
    assert "runs resume" in shown
    assert viewer.exitstatus == 1


def test_resume_goes_on_and_is_refused_when_there_is_nothing_to_do(workspace: Path) -> None:
    qtui(*QUICK, "--name", "waits", "--detach", cwd=workspace, fake=True)
    living = qtui("runs", "resume", "waits", cwd=workspace, fake=True)
    assert living.code == 2
    qtui("runs", "stop", "waits", "--wait", cwd=workspace)
    resumed = qtui("runs", "resume", "waits", cwd=workspace, fake=True)
    assert resumed.code == 0
    assert "resumed from step 2" in resumed.stderr.decode()
    assert "✓ completed" in resumed.text
    again = qtui("runs", "resume", "waits", cwd=workspace, fake=True)
    assert again.code == 2
    assert b"completed" in again.stderr


def test_what_does_not_fit_is_said_before_anything_is_started(workspace: Path) -> None:
    settings = (
        "model.model_name=Qwen/Qwen2.5-72B-Instruct",
        "training.device=cpu",
        "training.batch_size=512",
        "training.max_seq_length=32768",
    )
    big = [word for setting in settings for word in ("--set", setting)]
    refused = qtui(*QUICK, *big, cwd=workspace, fake=True)
    assert refused.code == 4
    assert b"too big" in refused.stderr
    assert b"--force" in refused.stderr
    assert all_runs(workspace) == []
    assert qtui("estimate", "--preset", "quickstart", *big, cwd=workspace).code == 4
    forced = qtui(*QUICK, *big, "--force", cwd=workspace, fake=True)
    assert forced.code == 0
    assert b"warning" in forced.stderr


def test_quickstart_shows_the_curve_both_answers_the_adapter_and_what_next(workspace: Path) -> None:
    shown = on_terminal("quickstart", cwd=workspace, fake=True, size=(40, 200))
    assert shown.code == 0
    for words in ("loss", "a slice", "base model", "dunno", "tuned, step 5", "{json}", "adapter"):
        assert words in shown.text
    assert shown.text.index("dunno") < shown.text.index("tuned, step 5")
    assert "qtui init run.yaml" in shown.text
    assert str(find(workspace, "latest").adapter) in shown.text.replace("\r\n", "")
    assert control_characters(shown.stdout) == []


def test_trust_remote_code_is_said_aloud(workspace: Path) -> None:
    trusting = ("--set", "model.trust_remote_code=true", "--detach")
    assert b"trust_remote_code is on" in qtui(*QUICK, *trusting, cwd=workspace, fake=True).stderr
    assert b"trust_remote_code" not in qtui(*QUICK, "--detach", cwd=workspace, fake=True).stderr


def test_validate_shows_settings_data_and_fit_and_leaves_nothing(workspace: Path) -> None:
    qtui("init", "run.yaml", cwd=workspace)
    temporary = workspace / "tmp"
    temporary.mkdir()
    env = {"TMPDIR": str(temporary)}
    shown = qtui("validate", "run.yaml", "--verbose", cwd=workspace, fake=True, env=env)
    assert shown.code == 0
    for words in ("all valid", "90 rows to train on", "a.jsonl:7: no JSON", "2 more", "fits with"):
        assert words in shown.text
    assert "run.yaml:" in shown.text  # where a setting comes from
    assert list(temporary.iterdir()) == []
    assert all_runs(workspace) == []
    document = json.loads(qtui("validate", "run.yaml", "--json", cwd=workspace, fake=True).stdout)
    assert document["data"]["train_rows"] == 90
    assert document["fit"]["verdict"]["result"] == "fits"
    assert document["sources"]["training.max_steps"] in ("file", "preset")


def test_validate_without_data_says_so(workspace: Path) -> None:
    qtui("init", "run.yaml", cwd=workspace)
    shown = qtui("validate", "run.yaml", "--no-data", cwd=workspace)
    assert shown.code == 0
    assert "not checked" in shown.text


CANARIES = {
    "HF_TOKEN": "hf_cAnArYcAnArYcAnArYcAnArYcAnArY1234",
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "OPENAI_API_KEY": "sk-canarycanarycanarycanarycanary",
}


@pytest.mark.parametrize("json_flag", [(), ("--json",)])
def test_no_secret_of_the_environment_is_written_or_shown(
    json_flag: tuple[str, ...], workspace: Path
) -> None:
    shown = qtui(*QUICK, *json_flag, cwd=workspace, fake=True, env=CANARIES)
    everything = shown.stdout + shown.stderr
    everything += qtui("runs", "show", "latest", "--json", cwd=workspace, env=CANARIES).stdout
    run = find(workspace, "latest")
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert len(files) >= 4
    for data in (everything, *(path.read_bytes() for path in files)):
        for canary in CANARIES.values():
            assert canary.encode() not in data


def test_no_secret_is_in_the_workers_argument_list(workspace: Path) -> None:
    started = qtui(
        *QUICK, "--name", "waits", "--detach", "--json", cwd=workspace, fake=True, env=CANARIES
    )
    pid = json.loads(started.stdout)["pid"]
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    assert b"fake_worker" in arguments
    assert all(canary.encode() not in arguments for canary in CANARIES.values())
    run = find(workspace, "waits")
    request_stop(run, save=False)
    wait_for(lambda: not is_held(run.lock))


def test_ctrl_c_while_the_worker_starts_stops_the_following_and_not_the_run(
    workspace: Path,
) -> None:
    go = workspace / "go"
    env = {"FAKE_GO": str(go)}
    for words in ((*QUICK, "--name", "slow"), (*QUICK, "--name", "slow-too", "--detach")):
        child = spawn(*words, cwd=workspace, fake=True, env=env)
        wait_for(go.with_suffix(".waiting").exists)
        run = find(workspace, words[4])
        if "--detach" not in words:
            child.expect(run.id)  # said before the worker is there
        child.sendintr()
        shown = child.read().decode()
        child.close()
        assert child.exitstatus == 130
        assert run.id in shown
        assert f"qtui runs attach {run.id}" in shown
        assert f"qtui runs stop {run.id}" in shown
        assert status(run) is Status.QUEUED
        go.touch()
        wait_for(lambda run=run: status(run) is Status.COMPLETED)
        go.unlink()
        go.with_suffix(".waiting").unlink()


def test_resume_changes_settings_and_show_says_since_when(workspace: Path) -> None:
    assert qtui(*QUICK, "--name", "fails", cwd=workspace, fake=True).code == 1
    rate = ("--set", "training.learning_rate=1e-5")
    resumed = qtui("runs", "resume", "fails", *rate, cwd=workspace, fake=True)
    assert "training.learning_rate = 1e-05" in resumed.stderr.decode()
    assert "learns from" not in resumed.stderr.decode()
    smaller = qtui(
        "runs", "resume", "fails", "--set", "training.batch_size=1", cwd=workspace, fake=True
    )
    assert "so that a step still learns from 16 rows" in smaller.stderr.decode()
    assert "training.gradient_accumulation_steps = 16" in smaller.stderr.decode()
    more = ("--set", "training.report_to=[wandb]", "--set", "training.early_stopping_patience=none")
    qtui("runs", "resume", "fails", *more, cwd=workspace, fake=True)
    text = qtui("runs", "show", "fails", cwd=workspace).text
    assert "since step 2: training.learning_rate 1e-05" in text
    assert "since step 2: training.report_to [wandb]" in text
    assert "training.early_stopping_patience none" in text
    document = json.loads(qtui("runs", "show", "fails", "--json", cwd=workspace).stdout)
    assert document["overrides"]["training.learning_rate"] == {"value": 1e-5, "since": 2}
    assert document["run"]["config"]["training"]["learning_rate"] != 1e-5


def test_resume_checks_its_settings_with_those_in_force_before_anything_starts(
    workspace: Path,
) -> None:
    no_evaluation = ("--set", "data.validation_split=0", "--set", "training.max_steps=5")
    shown = qtui(*QUICK, *no_evaluation, "--name", "fails", cwd=workspace, fake=True)
    assert shown.code == 1
    run = find(workspace, "fails")
    log = run.events.read_bytes()
    for setting, words in (
        ("training.seed=3", "cannot change in a run that has begun"),
        ("training.batch_size=x", "whole number"),
        ("training.load_best_model_at_end=true", "eval loss"),
    ):
        refused = qtui("runs", "resume", "fails", "--set", setting, cwd=workspace, fake=True)
        assert refused.code == 2
        assert words in refused.stderr.decode()
        assert "start a new run" in refused.stderr.decode()
        assert refused.stdout == b""
    assert run.events.read_bytes() == log


def test_validate_ends_as_its_worker_did(workspace: Path) -> None:
    qtui("init", "run.yaml", cwd=workspace)
    shown = qtui("validate", "run.yaml", cwd=workspace, fake=True, env={"FAKE": "impossible"})
    assert shown.code == 4
    assert b"no room" in shown.stderr
    assert b"buy some" in shown.stderr


def test_ctrl_c_while_the_worker_of_validate_starts_leaves_no_worker(workspace: Path) -> None:
    qtui("init", "run.yaml", cwd=workspace)
    temporary, go = workspace / "tmp", workspace / "go"
    temporary.mkdir()
    env = {"TMPDIR": str(temporary), "FAKE": "slow", "FAKE_GO": str(go)}
    child = spawn("validate", "run.yaml", cwd=workspace, fake=True, env=env)
    wait_for(go.with_suffix(".waiting").exists)
    child.sendintr()
    wait_for(lambda: list(temporary.glob("*/runs/*/commands.jsonl")))
    go.touch()
    child.read()
    child.close()
    assert child.exitstatus == 130
    assert go.with_suffix(".stopped").exists()
    assert list(temporary.iterdir()) == []


def test_a_model_that_cannot_be_reckoned_with_is_a_note(workspace: Path) -> None:
    model = workspace / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "mamba", "hidden_size": 8, "n_layer": 1}')
    mamba = ("--set", f"model.model_name={model}")
    shown = qtui(*QUICK, *mamba, "--detach", cwd=workspace, fake=True)
    assert shown.code == 0
    assert b"memory was not checked" in shown.stderr
    assert b"num_attention_heads" in shown.stderr
    assert "not known" in qtui("estimate", "--preset", "quickstart", *mamba, cwd=workspace).text

"""`qtui runs`: each verb on real run folders."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

from qtui.runs.folder import all_runs
from qtui.terminal import columns
from tests.cli.conftest import finished_run, hostile_run
from tests.cli.programs import on_terminal, qtui


def test_list_newest_first_for_people_and_for_programs(workspace: Path) -> None:
    finished_run(workspace, "older")
    newest = finished_run(workspace, "newer")
    listed = json.loads(qtui("runs", "list", "--json", cwd=workspace).stdout)
    assert [run["name"] for run in listed] == ["newer", "older"]
    assert listed[0]["status"] == "completed"
    text = qtui("runs", "list", "--limit", "1", cwd=workspace).text
    assert newest.id in text
    assert "✓ completed" in text
    assert "20/20" in text
    assert "older" not in text


def test_list_fits_the_terminal_and_keeps_to_ascii_without_utf8(workspace: Path) -> None:
    finished_run(workspace, "a-name-that-is-far-too-long-for-any-narrow-terminal")
    for width in (60, 80, 160):
        shown = on_terminal("runs", "list", cwd=workspace, size=(24, width))
        assert all(columns(line) < width for line in shown.text.splitlines())
        assert "completed" in shown.text
    plain = on_terminal("runs", "list", cwd=workspace, env={"LC_ALL": "C"})
    assert plain.stdout.isascii()
    assert "+ completed" in plain.text


def test_an_empty_workspace_says_what_to_do_first(workspace: Path) -> None:
    shown = qtui("runs", "list", cwd=workspace)
    assert shown.code == 0
    assert shown.stdout == b""
    assert b"qtui quickstart" in shown.stderr
    assert json.loads(qtui("runs", "list", "--json", cwd=workspace).stdout) == []


def test_show_has_estimate_beside_peak_and_every_figure(workspace: Path) -> None:
    run = finished_run(workspace, "shown")
    text = qtui("runs", "show", "shown", cwd=workspace).text
    for words in (run.id, "builtin:tiny (qlora)", "rows.jsonl", "2 to 0.1", "[INST] how?"):
        assert words in text
    assert "estimated 11.0 GB, real peak 10.0 GB (+10 %)" in text
    document = json.loads(qtui("runs", "show", "shown", "--json", cwd=workspace).stdout)
    assert document["status"] == "completed"
    assert document["metrics"][0]["loss"] == 2
    assert document["run"]["id"] == run.id


def test_show_as_csv_is_a_table_of_numbers(workspace: Path) -> None:
    finished_run(workspace, "table")
    shown = qtui("runs", "show", "table", "--csv", cwd=workspace)
    rows = list(csv.DictReader(io.StringIO(shown.text)))
    assert [int(row["step"]) for row in rows] == list(range(1, 21))
    assert float(rows[1]["loss"]) == 1.0
    assert rows[0]["eval_loss"] == ""
    assert qtui("runs", "show", "table", "--csv", "--json", cwd=workspace).code == 2


def test_logs_are_events_as_lines_or_the_workers_words(workspace: Path) -> None:
    run = finished_run(workspace, "logged")
    assert "eval loss 0.5" in qtui("runs", "logs", "logged", cwd=workspace).text
    events = qtui("runs", "logs", "logged", "--json", cwd=workspace).stdout.splitlines()
    assert [json.loads(line)["seq"] for line in events] == list(range(len(events)))
    nothing = qtui("runs", "logs", "logged", "--worker", cwd=workspace)
    assert (nothing.code, nothing.stdout) == (0, b"")
    run.worker_log.write_text("one\ntwo\n")
    assert qtui("runs", "logs", "logged", "--worker", cwd=workspace).text == "one\ntwo\n"
    as_json = qtui("runs", "logs", "logged", "--worker", "--json", cwd=workspace).stdout
    assert [json.loads(line)["line"] for line in as_json.splitlines()] == ["one", "two"]


def test_attach_to_a_run_that_is_over_shows_it_and_ends_as_it_did(workspace: Path) -> None:
    finished_run(workspace, "over")
    assert qtui("runs", "attach", "over", cwd=workspace).code == 0
    hostile_run(workspace, "bad")
    assert qtui("runs", "attach", "bad", cwd=workspace).code == 1


def test_diff_names_what_differs_and_nothing_else(workspace: Path) -> None:
    left, right = finished_run(workspace, "left"), finished_run(workspace, "right", rate=1e-3)
    text = qtui("runs", "diff", "left", "right", cwd=workspace).text
    assert text.splitlines()[1].split() == ["training.learning_rate", "0.0002", "0.001"]
    assert len(text.splitlines()) == 2
    document = json.loads(qtui("runs", "diff", "left", "right", "--json", cwd=workspace).stdout)
    assert document == {
        "left": left.id,
        "right": right.id,
        "differences": [{"key": "training.learning_rate", "left": 0.0002, "right": 0.001}],
    }
    assert "same settings" in qtui("runs", "diff", "left", "left", cwd=workspace).text


def test_plot_draws_and_writes_pictures(workspace: Path) -> None:
    finished_run(workspace, "one")
    finished_run(workspace, "two")
    shown = on_terminal("runs", "plot", "one", "two", cwd=workspace)
    assert "one" in shown.text
    assert "two" in shown.text
    assert all(columns(line) <= 80 for line in shown.text.splitlines())
    plain = on_terminal("runs", "plot", "one", cwd=workspace, env={"LC_ALL": "C"})
    assert plain.stdout.isascii()
    written = qtui("runs", "plot", "one", "--output", "a.svg", cwd=workspace)
    assert (written.code, written.text) == (0, "a.svg written\n")
    assert (workspace / "a.svg").read_text().startswith("<svg")
    assert qtui("runs", "plot", "one", "--output", "a.svg", cwd=workspace).code == 2
    assert qtui("runs", "plot", "one", "--output", "a.svg", "--force", cwd=workspace).code == 0
    assert qtui("runs", "plot", "one", "--output", "a.gif", cwd=workspace).code == 2
    unknown = qtui("runs", "plot", "one", "--metric", "los", cwd=workspace)
    assert (unknown.code, b"loss" in unknown.stderr) == (2, True)
    document = json.loads(qtui("runs", "plot", "one", "--json", cwd=workspace).stdout)
    assert document["one"]["loss"]["values"][:2] == [2, 1]


def test_requests_to_a_run_that_is_over_are_refused(workspace: Path) -> None:
    finished_run(workspace, "over")
    for verb in ("stop", "save", "resume"):
        shown = qtui("runs", verb, "over", cwd=workspace)
        assert (shown.code, b"completed" in shown.stderr) == (2, True)


def test_delete_asks_first_and_needs_yes_where_nobody_can_answer(workspace: Path) -> None:
    run = finished_run(workspace, "doomed")
    refused = qtui("runs", "delete", "doomed", cwd=workspace)
    assert (refused.code, b"--yes" in refused.stderr) == (2, True)
    from tests.cli.programs import spawn

    child = spawn("runs", "delete", "doomed", cwd=workspace)
    child.expect("y/N")
    child.sendline("n")
    child.read()
    assert run.path.exists()
    assert qtui("runs", "delete", "doomed", "--yes", cwd=workspace).code == 0
    assert all_runs(workspace) == []


def test_home_lists_runs_and_says_how_the_gpu_is(workspace: Path) -> None:
    run = finished_run(workspace, "here")
    shown = qtui(cwd=workspace)
    assert shown.code == 0
    assert "GPU" in shown.text
    assert run.id in shown.text
    document = json.loads(qtui("--headless", "--json", cwd=workspace).stdout)
    assert document["runs"][0]["id"] == run.id
    assert "available" in document["gpus"]


def test_monitor_once_has_gpus_host_and_living_runs(workspace: Path) -> None:
    finished_run(workspace, "over")
    shown = qtui("monitor", "--once", cwd=workspace)
    assert shown.code == 0
    for words in ("GPU", "memory", "none is living"):
        assert words in shown.text
    document = json.loads(qtui("monitor", "over", "--once", "--json", cwd=workspace).stdout)
    assert document["runs"][0]["name"] == "over"
    assert document["memory"]["total"] > 0


def test_monitor_repeats_until_ctrl_c(workspace: Path) -> None:
    from tests.cli.programs import spawn

    child = spawn("monitor", "--interval", "0.5", cwd=workspace, env={"TERM": "dumb"})
    child.expect("none is living")
    child.expect("none is living")
    child.sendintr()
    child.read()
    child.close()
    assert child.exitstatus == 0


def test_doctor_lists_findings_and_ends_by_the_worst(workspace: Path) -> None:
    document = qtui("doctor", "--json", cwd=workspace)
    findings = json.loads(document.stdout)
    assert findings
    worst = any(finding["level"] == "error" for finding in findings)
    assert document.code == (4 if worst else 0)
    shown = qtui("doctor", cwd=workspace)
    assert shown.code == document.code
    assert findings[0]["what"] in shown.text


def test_config_commands(workspace: Path) -> None:
    assert qtui("init", "run.yaml", "--preset", "lora", cwd=workspace).code == 0
    assert qtui("init", "run.yaml", cwd=workspace).code == 2
    assert qtui("init", "run.yaml", "--force", cwd=workspace).code == 0
    shown = qtui("config", "show", "run.yaml", "--set", "training.seed=5", cwd=workspace)
    assert "seed: 5" in shown.text
    as_json = qtui("config", "show", "run.yaml", "--json", cwd=workspace)
    assert json.loads(as_json.stdout)["training"]["seed"] == 42
    schema = json.loads(qtui("config", "schema", cwd=workspace).stdout)
    assert "training" in schema["properties"]
    fields = json.loads(qtui("config", "fields", "lora_rank", "--json", cwd=workspace).stdout)
    assert fields[0]["key"] == "model.lora_rank"
    assert "model.lora_rank = 32" in qtui("config", "fields", "lora", cwd=workspace).text
    presets = json.loads(qtui("config", "presets", "--json", cwd=workspace).stdout)
    assert "quickstart" in [preset["name"] for preset in presets]


def test_estimate_itemises_and_judges(workspace: Path) -> None:
    shown = qtui("estimate", "--preset", "quickstart", "--device", "cpu", cwd=workspace)
    assert shown.code == 0
    for words in ("weights", "adapter", "activations", "total", "fits with", "disk"):
        assert words in shown.text
    unknown = ("--set", "model.model_name=nobody/knows-this")
    shown = qtui("estimate", "--preset", "quickstart", *unknown, cwd=workspace)
    assert shown.code == 0
    assert "not known" in shown.text


def test_a_folder_without_rights_is_an_error_with_its_name(workspace: Path) -> None:
    if os.geteuid() == 0:
        (workspace / "runs").write_text("a file where a folder should be")
        shown = qtui("train", "--preset", "quickstart", "--detach", cwd=workspace, fake=True)
    else:
        workspace.chmod(0o555)
        shown = qtui("train", "--preset", "quickstart", "--detach", cwd=workspace, fake=True)
        workspace.chmod(0o755)
    assert shown.code == 1
    assert b"runs" in shown.stderr
    assert b"internal error" not in shown.stderr

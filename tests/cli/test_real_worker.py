"""The commands with the real worker: what `validate` reads, and that no secret is ever written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qtui.runs.folder import find
from tests.cli.corpus import IN_FILES, control_characters
from tests.cli.programs import on_terminal, qtui
from tests.cli.test_train import CANARIES

pytestmark = [pytest.mark.train, pytest.mark.timeout(900)]

RUN_FILE = """\
data:
  input_path: rows.jsonl
  validation_split: 0
training:
  device: cpu
  max_steps: 1
  batch_size: 2
  gradient_accumulation_steps: 1
  max_seq_length: 256
evaluation:
  num_samples: 0
"""


def write(workspace: Path, answer: str) -> None:
    rows = [{"instruction": f"Say {n}.", "output": f"{answer} {n}"} for n in range(6)]
    lines = [json.dumps(row) for row in rows]
    (workspace / "rows.jsonl").write_text("\n".join([*lines, "{broken"]) + "\n")
    (workspace / "run.yaml").write_text(RUN_FILE)


def test_validate_says_what_is_wrong_with_the_data(workspace: Path) -> None:
    write(workspace, "Fine")
    strict = qtui("validate", "run.yaml", cwd=workspace)
    assert strict.code == 2
    assert b"rows.jsonl:7" in strict.stderr
    lenient = ("--set", "data.max_bad_rows=0.5")
    shown = qtui("validate", "run.yaml", *lenient, "--json", cwd=workspace)
    assert shown.code == 0
    report = json.loads(shown.stdout)["data"]
    assert (report["rows_read"], report["rows_bad"], report["train_rows"]) == (7, 1, 6)
    text = qtui("validate", "run.yaml", *lenient, cwd=workspace).text
    assert "6 rows to train on" in text
    assert "rows.jsonl:7" in text


def test_train_writes_no_secret_and_lets_no_control_byte_out(workspace: Path) -> None:
    write(workspace, IN_FILES[:200])
    shown = on_terminal(
        "train", "run.yaml", "--set", "data.max_bad_rows=0.5", cwd=workspace, env=CANARIES
    )
    assert shown.code == 0, shown.text
    assert control_characters(shown.stdout) == []
    run = find(workspace, "latest")
    assert (run.adapter / "adapter_model.safetensors").is_file()
    assert str(run.adapter) in shown.text.replace("\r\n", "")
    files = [path for path in run.path.rglob("*") if path.is_file()]
    for data in (shown.stdout, *(path.read_bytes() for path in files)):
        assert all(canary.encode() not in data for canary in CANARIES.values())
    for words in (("show",), ("logs",), ("logs", "--worker")):
        later = on_terminal("runs", words[0], "latest", *words[1:], cwd=workspace)
        assert later.code == 0
        assert control_characters(later.stdout) == []

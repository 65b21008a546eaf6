"""From a folder as people have it to a trained adapter; and folders that attack."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from qtui.runs import commands, launch
from qtui.runs.dataset import Dataset, Part
from qtui.runs.events import ArtifactEvent, FailedEvent, LogEvent, ProgressEvent, Stop
from qtui.runs.log import EventReader
from qtui.runs.state import Status, status
from tests.e2e.workers import PATIENCE, finish, make_run, until
from tests.stages.data import hostile_documents as hostile
from tests.stages.training.micro import make_rows

pytestmark = pytest.mark.train
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def qtui(workspace: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qtui", *arguments],
        cwd=workspace,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def run_file(workspace: Path, base: Path, **data: Any) -> Path:
    path = workspace / "run.yaml"
    settings = {
        "model": {"model_name": str(base), "lora_rank": 4},
        "data": {"validation_split": 0.1, **data},
        "training": {
            "max_steps": 2,
            "batch_size": 2,
            "gradient_accumulation_steps": 1,
            "max_seq_length": 128,
            "eval_steps": 2,
            "save_steps": 2,
            "device": "cpu",
        },
        "evaluation": {"num_samples": 1, "sample_max_new_tokens": 4},
    }
    path.write_text(json.dumps(settings))
    return path


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not here")
def test_a_folder_of_real_documents_and_rows_is_trained_on_in_one_go(
    tmp_path: Path, micro_model: Path
) -> None:
    data = tmp_path / "data"
    for kind in ("pdf", "docx"):
        shutil.copytree(SHARED / "docs" / kind, data / kind)
    shutil.copy(SHARED / "sft" / "tinker" / "conversations.jsonl", data)
    run_file(tmp_path, micro_model, input_path="data", output_path="clean")
    both = "foo\nopenpassword"
    prepared = qtui(tmp_path, "prepare-data", "run.yaml", "--json", QTUI_PDF_PASSWORD=both)
    assert prepared.returncode == 0, prepared.stderr
    document = json.loads(prepared.stdout)
    report = document["report"]
    assert sum(report["parts"].values()) == report["rows_read"]
    assert report["train_rows"] > 150
    assert report["rows_bad"] == 0
    found = {(f["kind"], Path(f["source"]).name) for f in report["findings"]}
    assert ("no-text", "scanned_image_only_medical_report.pdf") in found
    assert not any(kind == "encrypted" for kind, _ in found)
    with Dataset(Path(document["path"])) as stored:
        rows = [stored.row(number) for number in range(len(stored))]
        parts = [stored.part(number) for number in range(len(stored))]
        batch = stored.batch()
    paper = [row for row in rows if row.source.endswith("two_column_asmeconf-template.pdf")]
    assert {row.page for row in paper} == {1, 2, 3, 4, 5, 6}
    assert [row.chunk for row in paper] == list(range(1, len(paper) + 1))
    sides = {
        source: {part for row, part in zip(rows, parts, strict=True) if row.source == source}
        for source in {row.source for row in rows if row.chunk}
    }
    assert all(len(side & {Part.TRAIN, Part.VALIDATION}) <= 1 for side in sides.values())
    assert batch is not None
    assert all(parts[one.row] is Part.TRAIN for sequence in batch.rows for one in sequence)
    copies = [json.loads(line) for line in (tmp_path / "clean" / "train.jsonl").open()]
    assert len(copies) == report["train_rows"]
    assert {"text", "source", "line"} <= copies[0].keys() | {"text"}
    trained = qtui(tmp_path, "train", "run.yaml", "--json")
    assert trained.returncode == 0, trained.stderr
    lines = [json.loads(line) for line in trained.stdout.splitlines()]
    said = [line["message"] for line in lines if line["type"] == "log"]
    assert any("prepared before: everything taken from" in sentence for sentence in said)
    assert lines[-1]["adapter"] is not None


def hostile_folder(folder: Path) -> Path:
    """Everything that goes wrong, beside good rows that must survive it."""
    make_rows(folder / "good.jsonl", 40)
    good = '{"instruction": "q%d", "output": "an answer of its own, %d"}'
    lines = [
        (good % (1, 1)).encode(),
        b'{"instruction": "cut off", "output": "a',
        '{"instruction": "café", "output": "a"}'.encode("latin-1"),
        b'{"instruction": "two", "output": "a1"} {"instruction": "objects", "output": "a2"}',
        b'{"instruction": "twice", "output": "x", "output": "a3"}',
        b'{"instruction": "half \\ud800", "output": "a4"}',
        b'{"instruction": "null", "output": null}',
        b'{"instruction": "blank", "output": " "}',
        b'{"instruction": "escape \\u001b]52;c;x\\u0007", "output": "a5 \\u001b[31m"}',
        b"[" * 100_000,
    ]
    (folder / "broken.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (folder / "bom.jsonl").write_text(good % (2, 2), encoding="utf-8-sig")
    (folder / "wide.jsonl").write_text(good % (3, 3), encoding="utf-16")
    (folder / "empty.jsonl").write_bytes(b"")
    names = ["instruction", "output", *(f"c{i}" for i in range(98))]
    values = ["q4", "an answer of its own, 4", *map(str, range(98))]
    (folder / "wide.csv").write_text(",".join(names) + "\n" + ",".join(f'"{v}"' for v in values))
    (folder / "packed.jsonl.gz").write_bytes(gzip.compress((good % (5, 5)).encode()))
    (folder / "bomb.jsonl.gz").write_bytes(gzip.compress(b"{" + b" " * 2**28))
    (folder / "a\x1b[31m\nname.jsonl").write_text(good % (6, 6))
    (folder / "sub").mkdir()
    (folder / "sub" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "shared.pdf").write_bytes(hostile.pages_that_share_a_stream())
    (folder / "bomb.pdf").write_bytes(hostile.pdf_bomb())
    (folder / "bomb.docx").write_bytes(hostile.docx_bomb())
    (folder / "good.pdf").write_bytes(hostile.pdf(["A page with a text that is whole."]))
    os.mkfifo(folder / "pipe.jsonl")
    return folder


def test_a_folder_that_attacks_costs_only_what_is_broken_in_it(
    tmp_path: Path, micro_model: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    hostile_folder(data)
    run_file(
        tmp_path, micro_model, input_path="data", max_bad_rows=0.5, document_seconds=5.0,
        document_memory_mb=512,
    )  # fmt: skip
    peak = Peak()
    with peak:
        done = qtui(tmp_path, "prepare-data", "run.yaml", "--json", PYTHONWARNINGS="default")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "\x1b" not in done.stderr
    document = json.loads(done.stdout)
    counts = document["report"]["finding_counts"]
    for kind in (
        *("broken-json", "invalid-utf8", "several-values", "duplicate-key", "lone-surrogate"),
        *("null-text", "blank-text", "empty-file", "encoding", "bomb"),
        "over-budget",
    ):
        assert counts.get(kind), (kind, counts)
    assert document["report"]["cleaned"]["control characters removed"] == 1
    with Dataset(Path(document["path"])) as stored:
        used = [stored.row(n) for n in range(len(stored)) if stored.part(n).used]
    asked = {row.messages[0]["content"] for row in used if row.messages}
    assert {"q1", "q2", "q3", "q4", "q5", "q6", "two", "objects", "twice"} <= asked
    assert sum(row.source.endswith("good.jsonl") for row in used) >= 40
    assert any(row.text == "A page with a text that is whole." for row in used)
    assert peak.bytes < 10**9


class Peak:
    """The memory that processes of this test hold together, at its highest; shared pages once."""

    def __enter__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._own = psutil.Process()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            total = 0
            for process in self._own.children(recursive=True):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.bytes = max(self.bytes, total)


def test_a_preparation_can_be_stopped_and_goes_on(tmp_path: Path, micro_model: Path) -> None:
    make_rows(tmp_path / "rows.jsonl", 40_000)
    run = make_run(tmp_path, micro_model, data={"on_duplicate": "keep"})
    spec = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**spec, "kind": "prepare"}))
    launch.launch(run)
    until(run, lambda event: isinstance(event, ProgressEvent) and event.done > 0)
    asked = time.monotonic()
    commands.append(run.commands, Stop(save=False))
    launch.wait(run, timeout=PATIENCE)
    assert time.monotonic() - asked < 60
    assert status(run) is Status.STOPPED
    assert not (run.data / "manifest.json").exists()
    assert not list(run.data.glob(".*"))
    finish(run)
    assert status(run) is Status.COMPLETED, run.worker_log.read_text()[-2000:]
    with Dataset(run.data) as stored:
        assert len(stored) == 40_000
    assert any(isinstance(event, ArtifactEvent) for event in EventReader(run.events).poll())


def test_a_worker_that_is_killed_leaves_nothing_half_done(
    tmp_path: Path, micro_model: Path
) -> None:
    make_rows(tmp_path / "rows.jsonl", 12_000)
    run = make_run(tmp_path, micro_model, data={"dataset_num_proc": 2})
    launch.launch(run)
    until(run, lambda event: isinstance(event, ProgressEvent) and event.done > 0)
    (worker,) = (
        process
        for process in psutil.process_iter(["cmdline"])
        if str(run.path) in (process.info["cmdline"] or []) and "qtui.worker" in str(process.info)
    )
    children = worker.children(recursive=True)
    worker.kill()
    _, alive = psutil.wait_procs([worker, *children], timeout=30)
    assert not alive
    assert status(run) is Status.INTERRUPTED
    assert not (run.data / "manifest.json").exists()
    finish(run)
    assert status(run) is Status.COMPLETED, run.worker_log.read_text()[-2000:]


def test_data_that_cannot_be_used_end_with_their_reason(tmp_path: Path, micro_model: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "q", "chosen": "a", "rejected": "b"}\n')
    run_file(tmp_path, micro_model, input_path="pairs.jsonl", preference_rows="keep")
    prepared = qtui(tmp_path, "prepare-data", "run.yaml", "--json")
    assert prepared.returncode == 0, prepared.stderr
    trained = qtui(tmp_path, "train", "run.yaml", "--json")
    assert trained.returncode == 2
    run = make_run(tmp_path / "x", micro_model, data={"input_path": str(tmp_path / "pairs.jsonl")})
    finish(run)
    end = EventReader(run.events).poll()[-1]
    assert isinstance(end, FailedEvent)
    assert "preference pair" in end.message
    assert "data.preference_rows" in end.message + end.remedy
    assert not any(
        isinstance(event, LogEvent) and event.level == "error"
        for event in EventReader(run.events).poll()
    )

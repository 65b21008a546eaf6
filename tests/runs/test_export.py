"""Differences between runs, and metrics as a table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from qtui.runs import compare, export
from qtui.runs.compare import Difference
from qtui.runs.events import MetricsEvent
from qtui.runs.series import History
from tests.runs.conftest import make


def test_only_what_differs_is_told(tmp_path: Path) -> None:
    a = make(tmp_path, training={"seed": 1, "lr": 1e-4, "report_to": []}, model={"rank": 8})
    b = make(tmp_path, training={"seed": 2, "lr": 1e-4, "report_to": ["x"]}, data={"n": {"m": 3}})
    assert compare.diff(a, b) == [
        Difference("training.seed", 1, 2),
        Difference("training.report_to", [], ["x"]),
        Difference("model.rank", 8, None),
        Difference("data.n.m", None, 3),
    ]
    assert compare.diff(a, a) == []


def test_versions_count_and_whence_and_when_do_not(tmp_path: Path) -> None:
    a, b = make(tmp_path), make(tmp_path)
    path = b.path / "run.json"
    spec = json.loads(path.read_text())
    spec["versions"]["torch"] = "9.9"
    path.write_text(json.dumps(spec))
    difference = compare.diff(a, b)
    assert [d.key for d in difference] == ["versions.torch"]
    assert difference[0].right == "9.9"


def table() -> export.Table:
    history = History()
    history.feed(
        [
            MetricsEvent(step=2, epoch=0.5, values={"loss": 1.5}),
            MetricsEvent(step=1, values={"eval_loss": 2.0}),
            MetricsEvent(step=3, epoch=1.0, values={"loss": None, "a,b\n": 1.0}),
        ]
    )
    return export.metrics_table(history)


def test_a_row_a_step_with_every_column() -> None:
    assert table() == [
        {"step": 1, "epoch": None, "loss": None, "eval_loss": 2.0, "a,b\n": None},
        {"step": 2, "epoch": 0.5, "loss": 1.5, "eval_loss": None, "a,b\n": None},
        {"step": 3, "epoch": 1.0, "loss": None, "eval_loss": None, "a,b\n": 1.0},
    ]
    assert export.metrics_table(History()) == []


def test_csv_and_json_are_read_back_as_they_were() -> None:
    out = io.StringIO(newline="")
    export.write_csv(table(), out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    assert rows[1] == {"step": "2", "epoch": "0.5", "loss": "1.5", "eval_loss": "", "a,b\n": ""}
    out = io.StringIO()
    export.write_json(table(), out)
    assert json.loads(out.getvalue()) == table()
    for writer in (export.write_csv, export.write_json):
        writer([], empty := io.StringIO())
        assert empty.getvalue()
    assert json.loads(empty.getvalue()) == []

"""What earlier runs of a workspace were made of."""

from __future__ import annotations

from pathlib import Path

from qtui.runs.events import MetricsEvent
from qtui.runs.log import EventLog
from qtui.runs.recent import Recent, recent
from tests.runs.conftest import make


def config(model: str, data: object) -> dict[str, object]:
    return {
        "model": {"model_name": model, "use_qlora": True},
        "data": {"input_path": data},
    }


def test_models_data_and_speeds_of_the_newest_runs_first(tmp_path: Path) -> None:
    slow = make(tmp_path, "slow", **config("a/one", "rows.jsonl"))
    fast = make(tmp_path, "fast", **config("a/one", ["x", "y"]))
    make(tmp_path, "other", **config("b/two", "rows.jsonl"))
    for run, speed in ((slow, 100.0), (fast, 250.0)):
        with EventLog(run.events) as log:
            log.write(MetricsEvent(step=1, values={"loss": 1.0, "tokens_per_second": speed}))
    found = recent(tmp_path)
    assert found.models == ("b/two", "a/one")
    assert found.data == ("rows.jsonl",)
    assert set(found.speeds) == {("a/one", "qlora")}
    assert found.speeds["a/one", "qlora"].tokens_per_second == 250.0
    assert found.speeds["a/one", "qlora"].name == "fast"


def test_damaged_runs_and_a_missing_folder_are_no_trouble(tmp_path: Path) -> None:
    assert recent(tmp_path) == Recent()
    run = make(tmp_path, "broken")
    (run.path / "run.json").write_text("{")
    make(tmp_path, "odd", model="text", data={"input_path": 3})
    assert recent(tmp_path) == Recent()

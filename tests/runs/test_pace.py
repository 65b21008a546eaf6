"""What training takes is told from what an earlier run measured, in one way everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtui.config.models import FineTuneConfig
from qtui.runs.events import MetricsEvent
from qtui.runs.log import EventLog
from qtui.runs.pace import estimate, last_speed
from qtui.runs.recent import Speed
from qtui.screens.configure.pane import time_lines
from tests.runs.conftest import make


def test_the_newest_run_of_the_model_and_method_tells(tmp_path: Path) -> None:
    assert last_speed(tmp_path, "a/one", "qlora") is None
    run = make(tmp_path, "fast", model={"model_name": "a/one", "use_qlora": True})
    with EventLog(run.events) as log:
        log.write(MetricsEvent(step=1, values={"loss": 1.0, "tokens_per_second": 250.0}))
    assert last_speed(tmp_path, "a/one", "qlora") == Speed(250.0, "fast")
    assert last_speed(tmp_path, "a/one", "lora") is None
    assert last_speed(tmp_path, "b/two", "qlora") is None


def test_time_and_cost_follow_from_speed_and_price() -> None:
    speed = Speed(100.0, "fast")
    assert estimate(720_000, None, 2.0) is None
    with_price = estimate(720_000, speed, 2.0)
    assert with_price is not None
    assert with_price.seconds == pytest.approx(7200)
    assert with_price.cost == pytest.approx(4.0)
    without = estimate(720_000, speed, None)
    assert without is not None
    assert without.cost is None


def test_the_form_of_a_new_run_says_the_same() -> None:
    config = FineTuneConfig.model_validate({"training": {"num_epochs": 2.0}})
    report = {"train_rows": 100, "tokens": 360_000}
    lines = time_lines(config, report, Speed(100.0, "fast"), 2.0)
    taken = estimate(720_000, Speed(100.0, "fast"), 2.0)
    assert taken is not None
    assert lines[1].endswith(f", {taken.cost:.2f} at 2 an hour")
    assert lines[2].strip() == "at 100 tokens/s, as fast measured"
    assert "an hour" not in time_lines(config, report, Speed(100.0, "fast"), None)[1]

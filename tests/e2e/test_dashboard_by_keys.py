"""The whole way of a real run by keys alone: configured, launched, watched, stopped, resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtui.runs.events import CheckpointEvent, ResumedEvent
from qtui.runs.folder import all_runs
from qtui.runs.log import EventReader
from qtui.runs.series import load
from qtui.runs.state import Status, status
from qtui.runs.summary import summarize
from tests.e2e.counting import until
from tests.e2e.terminal import Terminal, qtui

STEPS = 40
PATIENCE = 240.0
"""For a real worker on a machine that does other things as well."""


@pytest.mark.train
def test_a_newcomer_trains_the_built_in_model_by_keys_alone(tmp_path: Path) -> None:
    with Terminal(qtui(), cwd=tmp_path) as terminal:
        terminal.until("No runs here yet")
        terminal.press("n")
        terminal.until("builtin:tiny")
        terminal.press("/")
        terminal.until("Find a setting")
        terminal.press("max_steps")
        terminal.until("training.max_steps")
        terminal.press("enter")
        terminal.until(
            lambda: any(row[0] == "▸" and "max_steps" in row for row in filter(None, terminal.rows))
        )
        terminal.press("enter")
        terminal.until("take it")
        terminal.press(*["backspace"] * 3, str(STEPS), "enter")
        terminal.press("ctrl+l")  # at once: a slow line hands several keys over together
        until(lambda: all_runs(tmp_path), PATIENCE)
        (run,) = all_runs(tmp_path)
        terminal.until(run.name)

        terminal.until(f"/{STEPS}", PATIENCE)
        terminal.until("training", PATIENCE)
        until(lambda: summarize(run).step >= 3, PATIENCE)
        terminal.press("s")
        terminal.until(f"Stop {run.name}")
        terminal.press("enter")
        terminal.until("stopped", PATIENCE)
        assert status(run) is Status.STOPPED
        stopped_at = summarize(run).step
        assert 3 <= stopped_at < STEPS

        terminal.press("r")
        until(lambda: status(run) is Status.COMPLETED, PATIENCE)
        terminal.until("completed")
        terminal.until(f"{STEPS}/{STEPS}")
        terminal.press("1")
        terminal.until("✓ completed")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0

    events = EventReader(run.events).poll()
    resumed = next(event for event in events if isinstance(event, ResumedEvent))
    assert resumed.step == stopped_at
    assert any(isinstance(e, CheckpointEvent) and e.step == stopped_at for e in events)
    assert load(run).metric("loss")[0] == list(range(1, STEPS + 1))
    assert (run.adapter / "adapter_config.json").exists()

"""What a screen keeps of a run: curves that follow its history, and means for its traces."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.runs.events import MetricsEvent, ResumedEvent
from qtui.runs.folder import Run
from qtui.runs.series import History
from qtui.runs.state import Status
from qtui.runs.watch import Batch
from qtui.screens.monitor.followed import GIB, Followed, means

VALUES = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=200)


@given(VALUES, st.integers(1, 60))
def test_means_keep_the_sum_and_the_end(values: list[float | None], count: int) -> None:
    steps = [3 * number for number in range(len(values))]
    at, found = means(steps, values, count)
    assert len(at) == len(found) == min(count, len(values))
    assert at == sorted(set(at))
    if values:
        assert at[-1] == steps[-1]
    finite = [value for value in values if value is not None]
    assert all(min(finite) - 1e-6 <= v <= max(finite) + 1e-6 for v in found if v is not None)


def followed(tmp_path: Path) -> Followed:
    watched = Followed(Run(tmp_path), lambda *_: None)
    watched.close()
    watched.take(Batch(Status.TRAINING, History()))
    return watched


def measured(step: int, gib: float) -> MetricsEvent:
    return MetricsEvent(step=step, values={"memory_peak": gib * GIB, "loss": gib})


def test_memory_is_in_gibibytes_also_after_a_resume(tmp_path: Path) -> None:
    watched = followed(tmp_path)
    events = [measured(step, float(step)) for step in range(1, 9)]
    watched.take(Batch(Status.TRAINING, events=[*events]))
    curve = watched.curve("memory_peak")
    assert (curve.last, curve.latest, watched.latest("memory_peak")) == (8, 8.0, 8.0)
    assert watched.latest("loss") == 8.0
    assert watched.latest("absent") is None
    again = [ResumedEvent(step=3), measured(4, 40.0)]
    watched.take(Batch(Status.TRAINING, events=[*again]))
    assert watched.curve("memory_peak") is curve
    assert (len(curve), curve.latest, curve.at(3)) == (4, 40.0, (3, 3.0))


def test_a_trace_waits_until_it_would_look_different(tmp_path: Path) -> None:
    watched = followed(tmp_path)
    watched.take(Batch(Status.TRAINING, events=[measured(s, 1.0) for s in range(1, 101)]))
    first = watched.trace("loss", 8, unicode=True)
    watched.take(Batch(Status.TRAINING, events=[measured(101, 50.0)]))
    assert watched.trace("loss", 8, unicode=True) == first
    watched.take(Batch(Status.TRAINING, events=[measured(s, 50.0) for s in range(102, 131)]))
    assert watched.trace("loss", 8, unicode=True) != first
    assert watched.trace("loss", 8, unicode=False).isascii()
    assert len(watched.trace("loss", 5, unicode=True)) == 5


@pytest.mark.parametrize("metric", ["loss", "memory_peak"])
def test_a_new_history_begins_new_curves(tmp_path: Path, metric: str) -> None:
    watched = followed(tmp_path)
    watched.take(Batch(Status.TRAINING, events=[measured(1, 1.0), measured(2, 2.0)]))
    assert len(watched.curve(metric)) == 2
    watched.take(Batch(Status.TRAINING, History()))
    assert len(watched.curve(metric)) == 0

"""Time left and time lived, told from the events of a log alone."""

from __future__ import annotations

import pytest

from qtui.runs.events import (
    FinishedEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
)
from qtui.runs.progress import Pace


def trained(first: int, last: int, *, total: int = 100, start: float = 0.0, pace: Pace) -> float:
    """Steps of two seconds from `start`; the time after them."""
    for done in range(first, last + 1):
        pace.take(
            ProgressEvent(time=start + 2 * (done - first), what="train", done=done, total=total)
        )
    return start + 2 * (last - first)


def test_nothing_is_promised_before_two_reports() -> None:
    pace = Pace()
    assert pace.left() is None
    pace.take(PhaseEvent(time=5, phase=Phase.LOADING_MODEL, detail="org/model"))
    pace.take(ProgressEvent(time=6, what="download", done=5, total=0, unit="bytes"))
    assert pace.left() is None
    pace.take(PhaseEvent(time=10, phase=Phase.TRAINING))
    assert (pace.phase, pace.since, pace.progress) == (Phase.TRAINING, 10, None)
    trained(0, 0, pace=pace)
    assert pace.left() is None
    trained(0, 10, pace=pace)
    assert pace.left() == 180


def test_an_evaluation_is_no_slow_step_and_is_spread_over_the_steps() -> None:
    pace = Pace()
    pace.take(PhaseEvent(time=0, phase=Phase.TRAINING))
    now = trained(0, 20, pace=pace)
    pace.take(PhaseEvent(time=now, phase=Phase.EVALUATING))
    for done in (10, 20):
        pace.take(ProgressEvent(time=now + done, what="evaluate", done=done, total=60, unit="rows"))
    assert pace.left() == 40
    pace.take(PhaseEvent(time=now + 60, phase=Phase.TRAINING))
    pace.take(ProgressEvent(time=now + 62, what="train", done=21, total=100))
    # 79 steps of two seconds, and 60 s of evaluation for each 21 steps
    assert pace.left() == pytest.approx(79 * (2 + 60 / 21))


def test_an_evaluation_before_the_first_step_says_nothing_of_the_next() -> None:
    pace = Pace()
    pace.take(PhaseEvent(time=0, phase=Phase.TRAINING))
    pace.take(ProgressEvent(time=0, what="train", done=0, total=100))
    pace.take(PhaseEvent(time=0, phase=Phase.EVALUATING))
    pace.take(PhaseEvent(time=500, phase=Phase.TRAINING))
    trained(1, 10, start=502, pace=pace)
    assert pace.left() == 180


def test_only_the_last_stretch_counts() -> None:
    pace = Pace()
    pace.take(PhaseEvent(time=0, phase=Phase.TRAINING))
    now = trained(0, 50, total=1000, pace=pace)
    for step in range(51, 300):
        now += 10
        pace.take(ProgressEvent(time=now, what="train", done=step, total=1000))
    assert pace.left() == pytest.approx(701 * 10)


def test_a_resume_counts_anew_and_the_time_between_two_lives_is_not_lived() -> None:
    pace = Pace()
    pace.take(PhaseEvent(time=100, phase=Phase.INITIALIZING))
    pace.take(PhaseEvent(time=110, phase=Phase.TRAINING))
    assert trained(0, 20, start=110, pace=pace) == 150
    assert pace.lived() == 50
    assert pace.lived(now=160) == 60
    pace.take(FinishedEvent(time=170, status="stopped"))
    assert pace.lived(now=500) == 70  # nobody lives after the end
    pace.take(PhaseEvent(time=1000, phase=Phase.INITIALIZING))
    pace.take(ResumedEvent(time=1001, step=10))
    assert pace.left() is None
    pace.take(PhaseEvent(time=1010, phase=Phase.TRAINING))
    assert pace.lived() == 80
    assert pace.lived(now=1020) == 90


def test_metrics_are_passed_over() -> None:
    pace = Pace()
    pace.take(MetricsEvent(time=9, step=1, values={}))
    assert pace.lived(now=20) == 0

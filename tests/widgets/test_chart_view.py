"""Zoom, pan, crosshair and axes as arithmetic, without a terminal."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.widgets.chart_view import (
    SMOOTHINGS,
    ChartView,
    Scale,
    end_of,
    move_crosshair,
    pan,
    scale,
    smoother,
    step_ticks,
    value_label,
    value_ticks,
    window,
    zoom,
)


def test_the_step_axis_is_fixed_to_the_plan() -> None:
    assert window(ChartView(), 1200, 412) == (0, 1200)
    assert window(ChartView(), 1200, None) == (0, 1200)
    assert window(ChartView(), 100, 130) == (0, 150)  # more steps than planned are not cut off


@given(st.integers(0, 10**9))
def test_without_a_plan_the_axis_has_room_and_rarely_moves(last: int) -> None:
    end = end_of(None, last)
    assert max(last, 1) <= end <= max(2.01 * last, 15)
    assert len({end_of(None, last + by) for by in range(0, last // 100, max(last // 1000, 1))}) <= 2


def test_zoom_keeps_the_crosshair_in_its_place() -> None:
    view = ChartView(crosshair=300)
    near = zoom(view, 0.5, 1200, 800)
    assert near.range == (150, 750)
    low, high = zoom(near, 0.5, 1200, 800).range or (0, 0)
    assert (300 - low) / (high - low) == pytest.approx(0.25)


def test_zoom_without_crosshair_keeps_the_newest_step_and_follows_it() -> None:
    near = zoom(ChartView(), 0.5, 1200, 1200)
    assert (near.range, near.follow) == ((600, 1200), True)
    near = zoom(ChartView(), 0.25, 1200, 400)
    assert near.range == (300, 600)
    assert near.follow
    back = zoom(near, 100, 1200, 400)
    assert (back.range, back.follow) == (None, False)


def test_zoom_ends_at_a_few_steps_and_at_the_whole() -> None:
    view = ChartView()
    for _ in range(50):
        view = zoom(view, 0.5, 1200, 400)
    low, high = window(view, 1200, 400)
    assert high - low == 8
    assert low <= 400 <= high
    assert zoom(ChartView(), 2, 1200, 400) == ChartView()


def test_a_window_that_follows_goes_on_by_quarters() -> None:
    view = ChartView(range=(300, 500), follow=True)
    assert window(view, 1200, 500) == (300, 500)
    assert window(view, 1200, 501) == (350, 550)
    assert window(view, 1200, 550) == (350, 550)
    assert window(view, 1200, 777) == (600, 800)
    assert window(replace(view, follow=False), 1200, 777) == (300, 500)


def test_pan_stays_within_the_axis_and_stops_following() -> None:
    assert pan(ChartView(), 0.5, 1200, 400) == ChartView()  # all is in sight already
    view = ChartView(range=(300, 500), follow=True)
    back = pan(view, -0.5, 1200, 450)
    assert (back.range, back.follow) == ((200, 400), False)
    assert pan(back, -9, 1200, 450).range == (0, 200)
    last = pan(back, 9, 1200, 450)
    assert (last.range, last.follow) == ((1000, 1200), True)


def test_the_crosshair_begins_at_the_newest_step_and_moves_by_cells() -> None:
    view = move_crosshair(ChartView(), 1, 60, 1200, 412)
    assert view.crosshair == 412
    assert move_crosshair(view, -1, 60, 1200, 412).crosshair == 392
    assert move_crosshair(view, -999, 60, 1200, 412).crosshair == 0
    assert move_crosshair(view, 999, 60, 1200, 412).crosshair == 1200


def test_the_crosshair_moves_by_whole_steps_when_near_and_takes_the_window_along() -> None:
    view = ChartView(range=(100, 110), crosshair=110)
    assert move_crosshair(view, -1, 60, 1200, 412).crosshair == 109
    moved = move_crosshair(view, 1, 60, 1200, 412)
    assert moved.crosshair == 111
    low, high = moved.range or (0, 0)
    assert low <= 111 <= high
    assert high - low == 10


@given(
    st.integers(1, 10**6) | st.none(),
    st.integers(0, 10**6) | st.none(),
    st.lists(
        st.one_of(
            st.tuples(st.just("zoom"), st.sampled_from([0.1, 0.5, 2, 7])),
            st.tuples(st.just("pan"), st.floats(-2, 2)),
            st.tuples(st.just("cross"), st.integers(-90, 90)),
        ),
        max_size=12,
    ),
)
def test_no_sequence_of_keys_leaves_the_chart(
    planned: int | None, last: int | None, keys: list[tuple[str, float]]
) -> None:
    view = ChartView()
    end = end_of(planned, last)
    for kind, by in keys:
        if kind == "zoom":
            view = zoom(view, by, planned, last)
        elif kind == "pan":
            view = pan(view, by, planned, last)
        else:
            view = move_crosshair(view, int(by), 70, planned, last)
        low, high = window(view, planned, last)
        assert -1e-6 <= low < high <= end * (1 + 1e-9)
        if kind == "cross":
            assert view.crosshair is not None
            assert low - 1 <= view.crosshair <= high + 1


def test_smoothing_goes_round() -> None:
    view, seen = ChartView(), []
    for _ in SMOOTHINGS:
        view = smoother(view)
        seen.append(view.smoothing)
    assert seen == [*SMOOTHINGS[1:], SMOOTHINGS[0]]
    assert smoother(view, -1).smoothing == SMOOTHINGS[-1]
    assert smoother(ChartView(smoothing=0.61)).smoothing == 0.9


anything = st.floats(allow_nan=False, allow_infinity=False)


@given(anything, anything, st.integers(2, 200))
def test_every_range_gets_an_axis_that_holds_it(one: float, other: float, rows: int) -> None:
    low, high = min(one, other), max(one, other)
    axis = scale(low, high, log=False)
    assert math.isfinite(axis.high - axis.low)
    assert axis.low < axis.high
    row = axis.rows(rows)
    assert 0 <= row(high) <= row(low) <= rows - 1
    for value, text in value_ticks(axis, 5):
        assert 0 <= row(value) < rows
        assert len(value_label(value, text, 7)) <= 7
    if low > 0:
        axis = scale(low, high, log=True)
        assert axis.low < axis.high
        row = axis.rows(rows)
        assert 0 <= row(high) <= row(low) <= rows - 1
        assert row(-1.0) == rows - 1
        assert all(0 <= row(value) < rows for value, _ in value_ticks(axis, 5))


def test_an_axis_ends_on_round_numbers() -> None:
    assert scale(0.83, 2.37, log=False) == Scale(0.75, 2.5)
    assert scale(0.83, 2.37, log=True) == Scale(0.5, 5, log=True)
    assert scale(5, 5, log=False) == Scale(4.5, 5.5)


def test_an_axis_stays_while_the_values_fit_and_fill_it() -> None:
    first = scale(0.9, 2.4, log=False)
    assert scale(0.88, 2.4, log=False, before=first) is first
    assert scale(1.2, 2.3, log=False, before=first) is first
    assert scale(1.2, 1.3, log=False, before=first) != first  # too little of it is used
    assert scale(0.1, 2.4, log=False, before=first).low <= 0.1
    assert scale(0.9, 2.4, log=True, before=first).log
    flat = scale(5, 5, log=False)
    assert scale(5, 5, log=False, before=flat) is flat


def test_labels_say_the_truth_in_the_room_there_is() -> None:
    assert value_label(0.00015, "0.00015", 7) == "0.00015"
    assert value_label(-1.23e-05, "-1.23e-05", 7) == "-1.2e-5"
    assert value_label(-1.23e-300, "-1.23e-300", 7) == "-1e-300"
    assert value_label(-1.23e-300, "-1.23e-300", 5) == ""


def test_ticks_of_a_logarithm_are_powers_of_ten_and_what_lies_between() -> None:
    assert [t for t, _ in value_ticks(Scale(0.5, 5, log=True), 4)] == [0.5, 1, 2, 5]
    assert [t for t, _ in value_ticks(Scale(1e-5, 1e3, log=True), 9)] == [
        10.0**power for power in range(-5, 4)
    ]


def test_ticks_of_steps_are_whole_steps() -> None:
    assert [text for _, text in step_ticks(0, 1200, 6)] == [
        "0",
        "200",
        "400",
        "600",
        "800",
        "1000",
        "1200",
    ]
    assert [step for step, _ in step_ticks(10, 12, 8)] == [10, 11, 12]

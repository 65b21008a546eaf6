"""A pyramid against brute force: whatever the length, the zoom or the history, nothing is lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.runs.pyramid import BLOCK, Pyramid
from qtui.runs.smoothing import smooth

Values = list[float | None]

numbers = st.one_of(
    st.none(),
    st.floats(-1e6, 1e6),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1e307, -1e307, 5e-324]),
)


@st.composite
def curves(draw: st.DrawFn, most: int = 60) -> tuple[list[int], Values]:
    """Short ones, and ones of several levels, made of a few pieces said over and over."""
    piece = draw(st.lists(numbers, max_size=most))
    values = piece * draw(st.sampled_from([1, 1, 3, 12, 80]))
    strides = draw(st.lists(st.integers(1, 7), min_size=1, max_size=5))
    step, steps = draw(st.integers(0, 5)), []
    for at in range(len(values)):
        step += strides[at % len(strides)]
        steps.append(step)
    for place, value in draw(st.dictionaries(st.integers(0, 10**6), numbers, max_size=3)).items():
        if values:
            values[place % len(values)] = value
    return steps, values


def made(steps: Sequence[int], values: Sequence[float | None]) -> Pyramid:
    pyramid = Pyramid()
    pyramid.sync(steps, values)
    return pyramid


def finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def brute(
    steps: Sequence[int], values: Sequence[float | None], low: float, high: float, count: int
) -> list[Values]:
    """The values in each column, by looking at every point for every column."""
    width = (high - low) / count
    edges = [low + number * width for number in range(count)] + [math.nextafter(high, math.inf)]
    points = [(s, v) for s, v in zip(steps, values, strict=True) if low <= s <= high]
    return [[v for s, v in points if left <= s < right] for left, right in pairwise(edges)]


windows = st.tuples(st.integers(-5, 500), st.floats(1, 4000), st.integers(1, 50))


@settings(max_examples=100, deadline=None)
@given(curves(), windows)
def test_columns_and_gaps_are_those_of_brute_force(
    curve: tuple[list[int], Values], window: tuple[int, float, int]
) -> None:
    steps, values = curve
    low, width, count = window
    pyramid = made(steps, values)
    expected = brute(steps, values, low, low + width, count)
    kept = [finite(column) for column in expected]
    assert list(pyramid.columns(low, low + width, count)) == [
        (min(column), max(column)) if column else None for column in kept
    ]
    assert pyramid.gaps(low, low + width, count) == [
        number for number, column in enumerate(expected) if len(finite(column)) < len(column)
    ]
    inside = finite([v for column in expected for v in column])
    assert pyramid.extremes(low, low + width) == ((min(inside), max(inside)) if inside else None)


@settings(max_examples=100, deadline=None)
@given(
    curves(),
    st.lists(st.tuples(st.just(1.0) | st.floats(0, 1), curves(20), st.booleans()), max_size=4),
    windows,
    st.sampled_from([0.0, 0.5, 0.97]),
)
def test_a_curve_that_grew_and_went_back_is_the_curve_made_at_once(
    curve: tuple[list[int], Values],
    changes: list[tuple[float, tuple[list[int], Values], bool]],
    window: tuple[int, float, int],
    weight: float,
) -> None:
    steps, values = list(curve[0]), list(curve[1])
    low, width, count = window
    pyramid = made(steps, values)
    revision = 0
    for share, (more, more_values), told in changes:
        pyramid.columns(low, low + width, count)  # what it has answered must not grow old
        pyramid.smoothed(weight)
        keep = int(len(steps) * share)
        if keep < len(steps):
            revision += 1
        start = steps[keep - 1] if keep else 0
        steps[keep:] = [start + 1 + step for step in more]
        values[keep:] = more_values
        pyramid.sync(steps, values, revision if told else None)
    fresh = made(steps, values)
    assert list(pyramid.columns(low, low + width, count)) == list(
        fresh.columns(low, low + width, count)
    )
    if all(abs(value) <= 1e6 for value in finite(values)):  # else rounding is all that is left
        found, expected = (
            p.smoothed(weight).columns(low, low + width, count) for p in (pyramid, fresh)
        )
        for one, other in zip(found, expected, strict=True):
            assert one == (pytest.approx(other, rel=1e-9, abs=1e-6) if other else None)
    assert pyramid.gaps(low, low + width, count) == fresh.gaps(low, low + width, count)
    assert (len(pyramid), pyramid.last, pyramid.latest) == (len(fresh), fresh.last, fresh.latest)


@pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, BLOCK**2 + 1, 3 * BLOCK**2 + 77])
def test_one_spike_shows_wherever_it_is(length: int) -> None:
    for at in {0, length // 3, length // 2, length - 1}:
        values: Values = [1.0] * length
        values[at] = 9.0
        pyramid = made(range(length), values)
        for count in (1, 7, 160):
            columns = pyramid.columns(0, length, count)
            assert [c for c in columns if c and c[1] == 9.0] == [
                c for c in columns if c and c != (1.0, 1.0)
            ]
            assert max(c[1] for c in columns if c) == 9.0


def test_what_is_new_costs_what_is_new() -> None:
    class Counting(list[float | None]):
        """A series that counts how many values are read of it."""

        read = 0

        def __getitem__(self, at):  # type: ignore[no-untyped-def]
            found = super().__getitem__(at)
            Counting.read += len(found) if isinstance(at, slice) else 1
            return found

    steps, values = list(range(50_000)), Counting([0.5] * 50_000)
    pyramid = Pyramid()
    assert pyramid.sync(steps, values, revision=3) == 0
    Counting.read = 0
    steps.append(50_000)
    values.append(0.25)
    assert pyramid.sync(steps, values, revision=3) == 50_000
    assert Counting.read == 1
    assert pyramid.latest == 0.25


def test_a_value_in_the_middle_that_was_replaced_is_found() -> None:
    steps, values = list(range(10_000)), [1.0] * 10_000
    pyramid = made(steps, values)
    values[5_000] = 7.0
    assert pyramid.sync(steps, values) == 5_000
    assert pyramid.extremes(0, 10_000) == (1.0, 7.0)
    values[100] = 8.0
    assert pyramid.sync(steps, values, revision=1) == 100
    assert pyramid.extremes(0, 200) == (1.0, 8.0)


def test_a_curve_that_became_shorter_is_shorter() -> None:
    pyramid = made([1, 2, 3, 4], [1.0, None, 3.0, None])
    pyramid.sync([1, 2], [1.0, None], revision=1)
    assert (len(pyramid), pyramid.last, pyramid.latest) == (2, 2, None)
    assert pyramid.gaps(0, 4, 4) == [2]
    pyramid.sync([], [], revision=2)
    assert (len(pyramid), pyramid.last, pyramid.latest) == (0, None, None)
    assert list(pyramid.columns(0, 4, 2)) == [None, None]
    assert pyramid.percentiles(0, 4) is None
    assert pyramid.at(3) is None
    assert pyramid.around(0, 4) == (None, None)


def test_the_point_at_a_step_or_before_it() -> None:
    pyramid = made([10, 20, 30], [1.0, None, 3.0])
    assert pyramid.at(9) is None
    assert pyramid.at(10) == (10, 1.0)
    assert pyramid.at(29) == (20, None)
    assert pyramid.at(1e9) == (30, 3.0)


def test_neighbours_of_a_window_and_no_line_to_a_gap() -> None:
    pyramid = made([10, 20, 30, 40], [1.0, 2.0, 3.0, None])
    assert pyramid.around(21, 29) == ((20, 2.0), (30, 3.0))
    assert pyramid.around(20, 30) == ((10, 1.0), None)


@given(curves())
def test_percentiles_lie_within_and_leave_few_out(curve: tuple[list[int], Values]) -> None:
    steps, values = curve
    pyramid = made(steps, values)
    found = pyramid.percentiles(-math.inf, math.inf)
    kept = sorted(finite(values))
    if found is None:
        assert len(kept) < len(values) or not values  # a stride may hit gaps only
        return
    assert kept[0] <= found[0] <= found[1] <= kept[-1]
    if len(values) <= 1024:
        assert sum(value < found[0] for value in kept) <= len(kept) / 100
        assert sum(value > found[1] for value in kept) <= len(kept) / 100


def test_percentiles_leave_a_rare_spike_out_of_a_long_curve() -> None:
    values = [1 + (at % 100) / 100 for at in range(50_000)]
    values[25_000] = 1e9
    values[12_345] = -1e9
    low, high = made(range(50_000), values).percentiles(0, 50_000) or (0, 0)
    assert low == pytest.approx(1.0, abs=0.05)
    assert high == pytest.approx(2.0, abs=0.05)


@given(curves(), st.sampled_from([0.1, 0.6, 0.9, 0.999]))
def test_smoothing_is_the_debiased_average_by_its_definition(
    curve: tuple[list[int], Values], weight: float
) -> None:
    values = [None if v is None or not abs(v) < 1e7 else v for v in curve[1]][:500]
    total, count, expected = 0.0, 0, []
    for value in values:
        if value is None:
            expected.append(None)
            continue
        total = weight * total + (1 - weight) * value
        count += 1
        expected.append(total / (1 - weight**count))
    found = smooth(values, weight)
    assert [v is None for v in found] == [v is None for v in expected]
    scale = max((abs(v) for v in finite(values)), default=1.0)
    assert finite(found) == pytest.approx(finite(expected), rel=1e-6, abs=1e-9 * scale + 1e-300)


def test_the_last_smoothings_are_kept_and_the_oldest_goes() -> None:
    pyramid = made(range(100), [float(n) for n in range(100)])
    first = pyramid.smoothed(0.5)
    assert pyramid.smoothed(0.5) is first
    assert pyramid.smoothed(0) is pyramid
    for weight in (0.6, 0.7, 0.8, 0.9):
        pyramid.smoothed(weight)
    assert pyramid.smoothed(0.5) is not first

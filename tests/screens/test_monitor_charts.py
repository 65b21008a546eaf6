"""Which charts there are, how many have room, and what stands above them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.runs.pyramid import Pyramid
from qtui.screens.monitor.charts import (
    LOWEST,
    NARROWEST,
    Group,
    best_of,
    groups,
    label,
    note,
    places,
    shown_as,
)

NAMES = [
    "loss",
    "grad_norm",
    "entropy",
    "num_tokens",
    "memory_peak",
    "memory_allocated",
    "eval_loss",
    "eval_entropy",
    "eval_runtime",
]


def test_what_belongs_together_is_one_chart_and_the_loss_is_the_first() -> None:
    assert groups(NAMES) == [
        Group("loss", ("loss", "eval_loss")),
        Group("grad_norm", ("grad_norm",)),
        Group("memory", ("memory_allocated", "memory_peak")),
        Group("entropy", ("entropy", "eval_entropy")),
        Group("eval_runtime", ("eval_runtime",)),
    ]
    assert groups([]) == [Group("loss", ("loss",))]


def test_a_pattern_shows_what_it_finds_and_nothing_else() -> None:
    assert groups(NAMES, re.compile("TOKENS|peak", re.IGNORECASE)) == [
        Group("memory", ("memory_peak",)),
        Group("num_tokens", ("num_tokens",)),
    ]
    assert groups(NAMES, re.compile("nothing")) == []


@given(st.lists(st.sampled_from(NAMES), unique=True), st.sampled_from([None, "e", "eval", "m"]))
def test_every_metric_is_in_one_chart_at_most(names: list[str], pattern: str | None) -> None:
    wanted = re.compile(pattern) if pattern else None
    found = [metric for group in groups(names, wanted) for metric in group.metrics]
    assert len(found) == len(set(found))
    assert {group.name for group in groups(names, wanted)} == {
        group.name for group in groups(list(reversed(names)), wanted)
    }
    if wanted is not None:
        assert set(found) == {name for name in names if wanted.search(name)}


@given(st.integers(1, 300), st.integers(1, 100), st.integers(0, 20), st.booleans())
def test_no_chart_is_smaller_than_can_be_read(
    width: int, height: int, wanted: int, equal: bool
) -> None:
    room = places(width, height, wanted, equal=equal)
    assert room.count >= 1
    if room.columns > 1:
        assert width // room.columns >= NARROWEST
    if room.main and room.rows:
        assert height // 2 // room.rows >= LOWEST
    if not room.main and room.rows > 1:
        assert height // room.rows >= LOWEST
    assert (room.rows - 1) * room.columns < max(wanted, 1)  # no row without a chart


@pytest.mark.parametrize(
    ("size", "wanted", "count"),
    [((80, 12), 6, 1), ((120, 26), 6, 4), ((200, 40), 6, 6), ((60, 8), 6, 1), ((120, 26), 2, 2)],
)
def test_larger_terminals_have_room_for_more(
    size: tuple[int, int], wanted: int, count: int
) -> None:
    assert places(*size, wanted, equal=False).count == count


def test_a_chart_that_lacks_its_first_curve_says_whose_the_others_are() -> None:
    assert label("memory_allocated") == "GiB allocated"
    assert label("memory_peak", first=False) == "peak"
    assert label("memory_peak") == "memory peak"
    assert label("eval_loss", first=False) == "eval"
    assert label("mean_token_accuracy") == "mean token accuracy"


def test_values_are_shown_with_the_digits_that_matter() -> None:
    assert shown_as("memory_peak")(15.94) == "15.9"
    assert shown_as("tokens_per_second")(2380.6) == "2,381"
    assert shown_as("loss")(None) == shown_as("memory_peak")(None) == "–"


def test_the_best_evaluation_is_named() -> None:
    curve = Pyramid()
    curve.sync([100, 200, 300], [1.2, 1.0, 1.1])
    assert best_of([100, 200, 300], [1.2, None, 1.0]) == (1.0, 300)
    assert best_of([100], [1.2]) is None
    assert note("eval_loss", curve, (1.0, 200)) == "1.1 (best 1 at 200)"
    assert note("eval_loss", curve, (1.1, 300)) == "1.1 (best at 300)"
    assert note("loss", curve, None) == "1.1"

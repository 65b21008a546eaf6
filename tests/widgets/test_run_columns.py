"""The list's columns: what has room, and that nothing is ever wider than the list."""

from __future__ import annotations

import itertools

import pytest

from qtui.runs.state import Status
from qtui.runs.summary import Summary
from qtui.terminal import columns
from qtui.widgets.run_columns import COLUMNS, Look, fit, place, seconds_left, short_model

LIVE = Summary(
    id="20260101-000000-a",
    name="a" * 60,
    status=Status.CONFIGURING_LORA,
    model="owner/日本語" + "m" * 90,
    method="qlora",
    created=1.0,
    step=123_456,
    total_steps=1_000_000,
    epoch=12.345,
    loss=0.000123456,
    eval_loss=123_456.0,
    tokens_per_second=1_234_567.0,
    trend=[1.0] * 24,
    seconds_per_step=400.0,
    checkpoints=[1, 1_000_000],
)


@pytest.mark.parametrize("width", range(1, 260))
def test_columns_fill_the_width_and_no_more(width: int) -> None:
    placed = place(width)
    assert placed
    ends = [one.start + one.width for one in placed]
    assert width < 4 or max(ends) <= width
    for left, right in itertools.pairwise(placed):
        assert left.start + left.width < right.start
    for one in placed:
        for unicode in (True, False):
            text, _ = one.column.cell(LIVE, Look(1e9, unicode), one.width)
            assert columns(fit(text, one.width, right=one.column.right)) == one.width


def test_what_is_most_wanted_comes_first() -> None:
    titles = [{one.column.title for one in place(width)} for width in range(1, 260)]
    for narrower, wider in itertools.pairwise(titles):
        assert narrower <= wider
    assert titles[79 - 1] == {"RUN", "STATE", "MODEL", "STEP", "LOSS", "TREND", "AGE"}
    assert titles[-1] == {column.title for column in COLUMNS}


def test_time_left_is_that_of_a_living_run_that_knows_its_end() -> None:
    assert seconds_left(LIVE) == (1_000_000 - 123_456) * 400.0
    for other in (
        Summary(id="a", name="a", status=Status.COMPLETED, total_steps=9, seconds_per_step=1.0),
        Summary(id="a", name="a", status=Status.TRAINING, seconds_per_step=1.0),
        Summary(id="a", name="a", status=Status.TRAINING, total_steps=9),
    ):
        assert seconds_left(other) is None


@pytest.mark.parametrize(
    ("name", "short"),
    [("org/model", "model"), ("/a/b/", "b"), ("builtin:tiny", "builtin:tiny"), ("", ""), ("/", "")],
)
def test_a_models_short_name(name: str, short: str) -> None:
    assert short_model(name) == short


@pytest.mark.parametrize(
    ("step", "total", "width", "shown"),
    [
        (0, 0, 9, "–"),
        (7, 0, 9, "7"),
        (412, 1200, 9, "412/1200"),
        (147, 100_000, 9, "147/100k"),
        (147, 1_250_000, 9, "147/1.25M"),
        (23_456, 100_000, 9, "23 %"),
        (23_456, 100_000, 13, "23456/100000"),
    ],
)
def test_steps_are_told_shorter_where_they_have_no_room(
    step: int, total: int, width: int, shown: str
) -> None:
    run = Summary(id="a", name="a", step=step, total_steps=total)
    column = next(column for column in COLUMNS if column.title == "STEP")
    assert column.cell(run, Look(0.0), width) == (shown, "")


@pytest.mark.parametrize(
    ("count", "said"), [(0, "–"), (63, "63 req"), (9_999, "9999 req"), (123_456, "123k req")]
)
def test_a_server_has_no_steps_but_requests(count: int, said: str) -> None:
    run = Summary(id="a", name="a", kind="serve", step=count)
    column = next(column for column in COLUMNS if column.title == "STEP")
    assert column.cell(run, Look(0.0), column.least) == (said, "")
    assert len(said) <= column.least

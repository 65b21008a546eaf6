"""Fields of values in a line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qtui.widgets.gauges import Gauge, Past, fitting, row


@given(
    st.lists(st.text("abc 日", max_size=30), max_size=6), st.integers(1, 6), st.integers(10, 200)
)
def test_fields_keep_their_places_whatever_they_hold(
    values: list[str], fields: int, width: int
) -> None:
    line = row([Gauge("x", value) for value in values], width, fields=fields)
    assert line.cell_length == 1 + min(len(values), fields) * ((width - 1) // fields)


def test_a_trace_takes_the_room_that_is_left() -> None:
    asked: list[int] = []

    def trace(width: int) -> str:
        asked.append(width)
        return "▁" * width

    assert row([Gauge("lr", "1e-4", trace)], 31, fields=1).plain == f" lr 1e-4 {'▁' * 20}  "
    assert asked == [20]
    assert row([Gauge("lr", "1e-4", trace)], 14, fields=1).plain == " lr 1e-4      "
    assert asked == [20]


def test_how_many_fields_fit() -> None:
    assert [fitting(width, 4) for width in (10, 20, 40, 80, 200)] == [1, 1, 2, 4, 4]


def test_the_past_is_coarse_and_does_not_move_between_its_bars() -> None:
    past = Past(seconds=10)
    for second in range(25):
        past.take(second, float(second))
    trace = past.drawn(24, unicode=True)
    assert trace(5) == "  ▄▇█"  # the most of each ten seconds: 9, 19, 24
    past.take(26, 1.0)
    past.take(27, None)
    assert trace(5) == "  ▄▇█"
    assert trace(2) == "▇█"
    assert past.drawn(24, unicode=False)(3).isascii()
    assert past.drawn(0, unicode=True)(3) == "▁▁▁"

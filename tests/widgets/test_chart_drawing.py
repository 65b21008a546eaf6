"""Charts as rows of characters: what one sees, for every kind of curve and size."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.runs.pyramid import Pyramid
from qtui.terminal import clean, columns
from qtui.widgets.chart_drawing import CURVE, GAP, RAW, ChartCurve, Drawing, draw, trace
from qtui.widgets.chart_raster import sample
from qtui.widgets.chart_view import ChartView

HOSTILE = "\x1b[31m\x07\x9bloss\u202e[INST]\n"


def pyramid(values: Sequence[float | None], steps: Sequence[int] | None = None) -> Pyramid:
    made = Pyramid()
    made.sync(steps or range(1, len(values) + 1), values)
    return made


def falling(count: int, of: int) -> Pyramid:
    return pyramid([1 + math.exp(-5 * step / of) for step in range(1, count + 1)])


def two_curves() -> list[ChartCurve]:
    evaluations = pyramid([2.0, 1.4, 1.2], [20, 40, 60])
    return [
        ChartCurve("loss", falling(60, 100)),
        ChartCurve("eval", evaluations, 1, marks=True, note="1.2 (best at 60)"),
    ]


def text(drawing: Drawing) -> list[str]:
    return ["".join(row.signs).rstrip() for row in drawing.rows]


def picture(
    values: Sequence[float | None],
    view: ChartView | None = None,
    *,
    planned: int | None = None,
    width: int = 40,
    height: int = 10,
    unicode: bool = True,
) -> list[str]:
    curve = ChartCurve("loss", pyramid(values))
    return text(draw([curve], view or ChartView(), planned, width, height, unicode=unicode))


def drawn(rows: Sequence[str]) -> str:
    """The dots of a picture: what is right of the gutter, without header and axis."""
    return "".join(row[8:] for row in rows[1:-2]).replace(" ", "").replace("⠀", "")


def test_a_falling_loss() -> None:
    assert text(draw([ChartCurve("loss", falling(60, 100))], ChartView(), 100, 44, 10)) == [
        "loss 1.05",
        "    2.0┤⢦",
        "       │ ⠣⡀",
        "       │  ⠘⢄",
        "    1.5┤    ⠑⢄⡀",
        "       │      ⠑⠢⢄⡀",
        "       │         ⠉⠓⠢⢤⣀⡀",
        "    1.0┤              ⠈⠉⠉⠒⠒⠒⠲⠤",
        "       └┬─────────────────┬────────────────┬",
        "   step 0                50              100",
    ]


def test_two_curves_with_the_crosshair_in_ascii() -> None:
    assert text(draw(two_curves(), ChartView(crosshair=50), 100, 60, 10, unicode=False)) == [
        "step 50  --- loss 1.082 - *** eval 1.4 at 40",
        "    2.0+-_        o**             :",
        "       | '-_        ****          :",
        "       |   '-_         ***        :",
        "    1.5+      ||_        ****     :",
        "       |         '-|__      o*******",
        "       |             ''|--____    :****o",
        "    1.0+                     ''''''-----",
        "       ++-------------------------+------------------------+",
        "   step 0                        50                      100",
    ]


def test_curves_are_told_apart_without_colour() -> None:
    for unicode in (True, False):
        assert len({sample(number, unicode=unicode) for number in range(5)}) == 5
    header = text(draw(two_curves(), ChartView(), 100, 60, 10))[0]
    assert header == f"{sample(0, unicode=True)} loss 1.05 · ⠤⠤  eval 1.2 (best at 60)"


def test_the_first_curve_lies_on_top() -> None:
    same = pyramid([1.0, 2.0])
    rows = draw([ChartCurve("b", same, 1), ChartCurve("a", same, 0)], ChartView(), None, 30, 9).rows
    assert {style for row in rows[1:-2] for style in row.styles[8:] if style >= CURVE} == {CURVE}


def test_no_points_one_point_and_a_flat_line() -> None:
    assert "nothing measured yet" in "".join(picture([]))
    assert picture([])[0] == "loss –"
    assert "no finite value in this range" in "".join(picture([None, math.nan]))
    assert len(drawn(picture([3.0]))) == 1
    flat = picture([3.0] * 500, planned=1000)
    rows = [row for row in flat[1:-2] if row[8:].strip()]
    assert len(rows) == 1
    assert rows[0].startswith("    3.0┤")


def test_a_gap_breaks_the_line_and_is_marked() -> None:
    whole, broken = picture([1.0, 1.0, 1.0, 1.0]), picture([1.0, math.inf, None, 1.0])
    assert len(drawn(whole)) > len(drawn(broken).replace("×", "")) == 2
    assert drawn(broken).count("×") == 2
    assert broken[1].count("×") == 2
    assert picture([1.0, None, 2.0], unicode=False)[1].count("x") == 1


def test_a_gap_has_a_style_of_its_own() -> None:
    curve = ChartCurve("loss", pyramid([1.0, None, 2.0]))
    row = draw([curve], ChartView(), None, 40, 10).rows[1]
    assert [style for sign, style in zip(row.signs, row.styles, strict=True) if sign == "×"] == [
        GAP
    ]


def test_a_spike_is_seen_at_any_length() -> None:
    values: list[float | None] = [1.0] * 50_000
    values[33_333] = 5.0
    rows = picture(values, planned=50_000, width=80, height=16)
    top = next(row for row in rows[1:] if row[8:].strip())
    at = 8 + int(33_334 / 50_000 * 72)
    assert [place for place, sign in enumerate(top) if place >= 8 and sign != " "] == [at]


def test_clipping_leaves_spikes_out_of_the_axis_but_not_out_of_the_picture() -> None:
    values: list[float | None] = [1.0 + at % 10 / 10 for at in range(2000)]
    values[500] = 1e6
    plain = picture(values, planned=2000)
    clipped = picture(values, ChartView(clip=True), planned=2000)
    assert "clip 1–99 %" in clipped[0]
    assert "1000k" in "".join(plain)
    assert "1000k" not in "".join(clipped)
    assert clipped[1][8:].strip()  # it leaves at the top


def test_values_that_have_no_logarithm_are_left_out_and_said() -> None:
    rows = picture([-1.0, 0.0, 1.0, 10.0, 100.0], ChartView(log=True), width=60)
    assert rows[0].endswith("log (≤ 0 left out)")
    assert "100" in "".join(row[:8] for row in rows)
    assert picture([1.0, 10.0], ChartView(log=True))[0].endswith("  log")
    none = "".join(picture([-1.0, -2.0], ChartView(log=True)))
    assert "no value above 0 to show with log" in none


def test_smoothing_shows_what_it_smooths_behind() -> None:
    curve = ChartCurve("loss", pyramid([1.0, 2.0] * 50))
    drawing = draw([curve], ChartView(smoothing=0.9), None, 60, 12)
    styles = {style for row in drawing.rows[1:-2] for style in row.styles[8:]}
    assert {RAW, CURVE} <= styles
    assert "~0.9" in text(drawing)[0]


def test_marks_stand_at_their_values_whatever_the_smoothing() -> None:
    marks = [
        [(y, x) for y, row in enumerate(text(drawing)) for x, sign in enumerate(row) if sign == "◆"]
        for drawing in (
            draw(two_curves(), ChartView(smoothing=smoothing), 100, 60, 12)
            for smoothing in (0.0, 0.97)
        )
    ]
    assert marks[0] == marks[1]
    assert len(marks[0]) == 3


def test_a_line_goes_on_to_points_outside_the_window() -> None:
    curve = ChartCurve("eval", pyramid([1.0, 2.0], [0, 1000]))
    rows = text(draw([curve], ChartView(range=(400, 600)), 1000, 50, 12))
    assert len(drawn(rows)) >= 42  # there are no points in the window, and a line right across it
    assert rows[0].endswith("400–600")


def test_the_crosshair_reads_the_value_at_or_before_its_step() -> None:
    assert text(draw(two_curves(), ChartView(crosshair=59), 100, 70, 10))[0] == (
        "step 59  ⠤⠤⠤ loss 1.052 · ⠤⠤  eval 1.4 at 40"
    )
    assert "eval –" in text(draw(two_curves(), ChartView(crosshair=10), 100, 70, 10))[0]


def test_a_header_that_is_too_long_is_cut_and_the_state_stays() -> None:
    view = ChartView(log=True, smoothing=0.6)
    header = text(draw(two_curves(), view, 100, 34, 10))[0]
    assert len(header) == 34
    assert "…  ~0.6  log" in header


def test_labels_from_elsewhere_cannot_command_the_terminal() -> None:
    curve = ChartCurve(HOSTILE, pyramid([1.0, 2.0]), note=HOSTILE)
    for unicode in (True, False):
        for row in text(draw([curve], ChartView(crosshair=None), 10, 80, 8, unicode=unicode)):
            assert clean(row) == row
            assert "\n" not in row
    assert "[INST]" in text(draw([curve], ChartView(), 10, 80, 8))[0]


def test_wide_labels_keep_the_columns() -> None:
    curve = ChartCurve("損失の値は下がる", pyramid([1.0, 2.0]))
    for width in range(1, 40):
        row = draw([curve], ChartView(clip=True), 10, width, 8).rows[0]
        assert columns("".join(row.signs)) == width == len(row.styles)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.lists(
            st.none()
            | st.floats(allow_nan=True)
            | st.floats(-1, 3)
            | st.sampled_from([0.0, 5e-324, 1e308, -1e308]),
            max_size=40,
        ),
        max_size=3,
    ),
    st.builds(
        ChartView,
        range=st.none() | st.tuples(st.floats(0, 20), st.floats(21, 90)),
        log=st.booleans(),
        clip=st.booleans(),
        smoothing=st.sampled_from([0.0, 0.6, 0.97]),
        crosshair=st.none() | st.integers(0, 100),
    ),
    st.none() | st.integers(1, 60),
    st.integers(0, 90),
    st.integers(0, 20),
    st.booleans(),
)
def test_whatever_is_drawn_fills_its_cells_exactly(
    curves: list[list[float | None]],
    view: ChartView,
    planned: int | None,
    width: int,
    height: int,
    unicode: bool,
) -> None:
    drawing = draw(
        [
            ChartCurve(f"m{number}", pyramid(values), number, marks=number == 1)
            for number, values in enumerate(curves)
        ],
        view,
        planned,
        width,
        height,
        unicode=unicode,
    )
    assert len(drawing.rows) == (height if width else 0)
    for row in drawing.rows:
        assert len(row.signs) == len(row.styles) == width
        assert columns("".join(row.signs)) == width
        assert unicode or "".join(row.signs).isascii()


def test_a_trace_is_one_row_from_the_least_to_the_greatest() -> None:
    assert trace(falling(60, 100), 100, 20) == "⠉⠒⠲⠤⠤⠤⢄⣀⣀⣀⣀⣀⡀       "
    assert trace(pyramid([]), 100, 5) == "     "
    assert trace(pyramid([2.0, 2.0]), None, 12).strip()
    assert trace(pyramid([1.0, 5.0, 1.0]), 4, 8, unicode=False).isascii()

"""A chart as rows of cells: header, curves, axes. Pure: the widget compares and sends them.

loss 1.084 · eval 1.121                                    ~0.6 log clip 1–99 %
 2.4┤⡇
 1.4┤⠈⠒⠤⣀⡀
    └┬──────────┬──────────┬──────────
step 0         400        800
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from qtui import wording
from qtui.runs.pyramid import Pyramid
from qtui.terminal import clean_line, columns, cut
from qtui.widgets.chart_raster import FAINT, Canvas, Span, sample, spans
from qtui.widgets.chart_view import (
    ChartView,
    Scale,
    scale,
    step_ticks,
    value_label,
    value_ticks,
    window,
)

TEXT, MUTED, AXIS, CROSSHAIR, GAP, RAW = range(6)
CURVE = 6
"""Style of curve 0; the others follow."""
CURVES = 6
"""Styles of curves; after the last comes the first again (the line style still differs)."""

GUTTER = 8
_NO_GUTTER_BELOW = 20
_AXIS_FROM = 7
_ASCII = str.maketrans(
    {"·": "-", "–": "-", "…": "~", "≤": "<=", "×": "x", "│": "|", "┤": "+", "└": "+", "┬": "+"}
    | {"─": "-", "┆": ":", "◆": "o"}
)


@dataclass(frozen=True)
class ChartCurve:
    """One line of a chart.

    `number` chooses colour and line style; 0 lies on top. `marks`: few points, each worth a sign
    of its own (evaluations). `note` stands after the label in the header; without one it is the
    latest value. `show` makes text of a value.
    """

    label: str
    pyramid: Pyramid
    number: int = 0
    marks: bool = False
    note: str = ""
    show: Callable[[float | None], str] = wording.number


@dataclass
class Row:
    """Cells of a line: characters ("" after a wide one) and the style of each."""

    signs: list[str] = field(default_factory=list)
    styles: list[int] = field(default_factory=list)

    def add(self, text: str, style: int) -> None:
        """Put text at the end, one column a cell."""
        if text.isascii():
            self.signs += text
            self.styles += [style] * len(text)
            return
        for sign in text:
            width = columns(sign)
            if width == 0:
                if self.signs:
                    self.signs[-1] += sign
                continue
            self.signs += [sign, *[""] * (width - 1)]
            self.styles += [style] * width

    def put(self, at: int, text: str, style: int) -> None:
        """Put narrow text over the cells from `at` on."""
        self.signs[at : at + len(text)] = text
        self.styles[at : at + len(text)] = [style] * len(text)


@dataclass(frozen=True)
class Drawing:
    """What `draw` made: rows of one length, and the value axis (none without points)."""

    rows: list[Row]
    scale: Scale | None = None


def draw(
    curves: Sequence[ChartCurve],
    view: ChartView,
    planned: int | None,
    width: int,
    height: int,
    *,
    unicode: bool = True,
    before: Scale | None = None,
) -> Drawing:
    """Draw `curves` into `width` by `height` cells; `before` is the last drawing's value axis."""
    if width <= 0 or height <= 0:
        return Drawing([])
    last = max((c.pyramid.last for c in curves if c.pyramid.last is not None), default=None)
    low, high = window(view, planned, last)
    gutter = GUTTER if width >= _NO_GUTTER_BELOW else 0
    foot = 2 if height >= _AXIS_FROM else 0
    body = max(height - 1 - foot, 0)
    plot = Canvas(width - gutter, body, unicode=unicode)
    shown = [(curve, seen(curve, view)) for curve in curves]
    axis, left_out = _axis(shown, view, low, high, before)
    rows = [_header(curves, view, (low, high), width, left_out=left_out, unicode=unicode)]
    if axis is None or not body:
        rows += _blank(curves, view, width, body)
    else:
        _curves(plot, shown, view, axis, low, high)
        rows += _body(plot, axis, gutter, view, low, high)
        _marks(rows[1:], shown, plot, axis, gutter, low, high)
    if foot:
        rows += _foot(low, high, plot.columns, gutter)
    if not unicode:
        for row in rows:
            row.signs = [_plain(sign) for sign in row.signs]
    return Drawing(rows[:height], axis)


def seen(curve: ChartCurve, view: ChartView) -> Pyramid:
    """The points of a curve as they are shown: smoothed, unless each is worth a mark."""
    return curve.pyramid if curve.marks else curve.pyramid.smoothed(view.smoothing)


def _plain(sign: str) -> str:
    return (
        sign if sign.isascii() else sign.translate(_ASCII)[:1].encode("ascii", "replace").decode()
    )


def _axis(
    shown: Sequence[tuple[ChartCurve, Pyramid]],
    view: ChartView,
    low: float,
    high: float,
    before: Scale | None,
) -> tuple[Scale | None, bool]:
    """The value axis for what is in sight, and whether values were left out for the logarithm."""
    ends = []
    left_out = False
    for curve, smoothed in shown:
        sources = {id(p): p for p in (smoothed, curve.pyramid)}.values()
        for pyramid in sources if curve.number == 0 else (smoothed,):
            found = pyramid.extremes(low, high)
            if found is None:
                around = [point[1] for point in pyramid.around(low, high) if point is not None]
                found = (min(around), max(around)) if len(around) == 2 else None
            if found is not None and view.clip:
                found = pyramid.percentiles(low, high) or found
            if found is not None and view.log and found[0] <= 0:
                left_out = True
                positive = [v for c in pyramid.columns(low, high, 512) if c for v in c if v > 0]
                found = (min(positive), max(positive)) if positive else None
            if found is not None:
                ends.append(found)
    if not ends:
        return None, left_out
    least, greatest = min(end[0] for end in ends), max(end[1] for end in ends)
    return scale(least, greatest, log=view.log, before=before), left_out


def _covered(
    pyramid: Pyramid, canvas: Canvas, axis: Scale, low: float, high: float
) -> list[Span | None]:
    across = canvas.across
    found = pyramid.columns(low, high, across)
    before, after = pyramid.around(low, high)
    if axis.log:
        found = [c if c is not None and c[1] > 0 else None for c in found]
        before, after = (p if p is not None and p[1] > 0 else None for p in (before, after))
    scale_x = across / (high - low)
    return spans(
        found,
        axis.rows(canvas.up),
        gaps=pyramid.gaps(low, high, across),
        before=None if before is None else ((before[0] - low) * scale_x, before[1]),
        after=None if after is None else ((after[0] - low) * scale_x, after[1]),
    )


def _curves(
    plot: Canvas,
    shown: Sequence[tuple[ChartCurve, Pyramid]],
    view: ChartView,
    axis: Scale,
    low: float,
    high: float,
) -> None:
    """Draw the lines, number 0 last and so on top; behind it its values before smoothing."""
    for curve, smoothed in sorted(shown, key=lambda pair: -pair[0].number):
        if smoothed is not curve.pyramid and curve.number == 0:
            plot.dots(_covered(curve.pyramid, plot, axis, low, high))
        plot.line(_covered(smoothed, plot, axis, low, high), curve.number)


def _body(
    plot: Canvas, axis: Scale, gutter: int, view: ChartView, low: float, high: float
) -> list[Row]:
    labels = {}
    place = axis.rows(plot.rows)
    for value, text in value_ticks(axis, max(plot.rows // 2, 2)):
        labels[place(value)] = value_label(value, text, gutter - 1)
    cross = _column(view.crosshair, low, high, plot.columns)
    rows = []
    for number in range(plot.rows):
        text = labels.get(number, "")
        edge = text.rjust(gutter - 1) + ("┤" if text else "│") if gutter else ""
        signs = plot.row(number)
        styles = [_STYLES[owner] for owner in plot.owners(number)]
        if cross is not None and signs[cross] == " ":
            signs[cross], styles[cross] = "┆", CROSSHAIR
        rows.append(Row([*edge, *signs], [MUTED] * (gutter - 1) + [AXIS] * (gutter > 0) + styles))
    return rows


_STYLES = [TEXT, *[CURVE + number % CURVES for number in range(FAINT - 1)], RAW]


def _column(step: float | None, low: float, high: float, count: int) -> int | None:
    if step is None or not low <= step <= high:
        return None
    return min(int((step - low) / (high - low) * count), count - 1)


def _marks(
    rows: Sequence[Row],
    shown: Sequence[tuple[ChartCurve, Pyramid]],
    plot: Canvas,
    axis: Scale,
    gutter: int,
    low: float,
    high: float,
) -> None:
    """Signs on single points, and at the top edge where a value was not finite."""
    for curve, smoothed in shown:
        if curve.marks:
            found = smoothed.columns(low, high, plot.columns)
            place = axis.rows(plot.up)
            if sum(column is not None for column in found) <= plot.columns // 2:
                for number, column in enumerate(found):
                    for value in dict.fromkeys(column or ()):
                        if not (axis.log and value <= 0):
                            row = rows[place(value) * plot.rows // plot.up]
                            row.put(gutter + number, "◆", CURVE + curve.number % CURVES)
        for number in curve.pyramid.gaps(low, high, plot.columns):
            rows[0].put(gutter + number, "×", GAP)


def _foot(low: float, high: float, across: int, gutter: int) -> list[Row]:
    line, text = Row(), Row()
    if gutter:
        line.add(" " * (gutter - 1) + "└", AXIS)
        text.add("step ".rjust(gutter), MUTED)
    line.add("─" * across, AXIS)
    text.add(" " * across, MUTED)
    free = 0
    for step, label in step_ticks(low, high, max(across // 12, 2)):
        at = _column(step, low, high, across)
        if at is None:
            continue
        line.put(gutter + at, "┬", AXIS)
        start = min(max(at - len(label) // 2, 0), across - len(label))
        if start >= free:
            text.put(gutter + start, label, MUTED)
            free = start + len(label) + 1
    return [line, text]


def _blank(curves: Sequence[ChartCurve], view: ChartView, width: int, body: int) -> list[Row]:
    """The rows of a plot without anything to plot, with the reason."""
    if not any(len(curve.pyramid) for curve in curves):
        reason = "nothing measured yet"
    elif view.log and any(curve.pyramid.extremes(-1, 1e300) for curve in curves):
        reason = "no value above 0 to show with log"
    else:
        reason = "no finite value in this range"
    rows = [Row() for _ in range(body)]
    for number, row in enumerate(rows):
        text = cut(reason, width) if number == body // 2 else ""
        row.add(text.center(width), MUTED)
    return rows


def _header(
    curves: Sequence[ChartCurve],
    view: ChartView,
    limits: tuple[float, float],
    width: int,
    *,
    left_out: bool,
    unicode: bool,
) -> Row:
    """Labels and values on the left, how the chart is looked at on the right."""
    row = Row()
    state = cut(_state(view, limits, left_out), max(width - 8, 0))
    room = width - len(state) - (2 if state else 0)
    if view.crosshair is not None:
        row.add(f"step {view.crosshair}  ", MUTED)
    for number, curve in enumerate(curves):
        if number:
            row.add(" · ", MUTED)
        style = CURVE + curve.number % CURVES
        if len(curves) > 1:
            row.add(sample(curve.number, unicode=unicode) + " ", style)
        row.add(clean_line(curve.label, 40), style)
        row.add(f" {clean_line(_value(curve, view), 60)}", TEXT)
    if len(row.signs) > room:
        keep = max(room - 1, 0)
        while keep and row.signs[keep] == "":  # not through a wide character
            keep -= 1
        del row.signs[keep:], row.styles[keep:]
        row.add("…", MUTED)
    row.add(" " * (width - len(state) - len(row.signs)), TEXT)
    row.add(state, MUTED)
    return row


def _value(curve: ChartCurve, view: ChartView) -> str:
    if view.crosshair is None:
        return curve.note or curve.show(curve.pyramid.latest)
    point = seen(curve, view).at(view.crosshair)
    if point is None:
        return curve.show(None)
    return curve.show(point[1]) + (f" at {point[0]}" if curve.marks else "")


def _state(view: ChartView, limits: tuple[float, float], left_out: bool) -> str:
    """How the chart is looked at, in few words; nothing for the plain view."""
    words = []
    if view.range is not None:
        words.append(f"{limits[0]:.0f}–{limits[1]:.0f}")
    if view.smoothing:
        words.append(f"~{view.smoothing:g}")
    if view.log:
        words.append("log (≤ 0 left out)" if left_out else "log")
    if view.clip:
        words.append("clip 1–99 %")
    return "  ".join(words)


def trace(pyramid: Pyramid, planned: int | None, width: int, *, unicode: bool = True) -> str:
    """A whole curve in one row of `width` cells, from its least to its greatest value."""
    canvas = Canvas(width, 1, unicode=unicode)
    low, high = window(ChartView(), planned, pyramid.last)
    found = pyramid.extremes(low, high)
    if found is None:
        return " " * width
    least, greatest = found
    if least == greatest:
        least, greatest = least - 1, greatest + 1
    axis = Scale(least, greatest)
    canvas.line(_covered(pyramid, canvas, axis, low, high), 0)
    return "".join(canvas.row(0))

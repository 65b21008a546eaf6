"""Curves as a picture: SVG by our own hand, PNG through Pillow where it is installed.

Colours are those of Okabe and Ito, which stay apart for colour-blind readers; each curve has its
own dashes as well. One layout feeds both writers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path

from qtui.errors import ImpossibleError, InputError
from qtui.runs import durable
from qtui.runs.curves import Curve, extent, pick, ticks
from qtui.runs.series import History

WIDTH, HEIGHT = 960, 540

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_DASHES: tuple[tuple[int, ...], ...] = ((), (10, 4), (3, 3), (10, 4, 3, 4))
_INK, _GRID, _PAPER = "#333333", "#dddddd", "#ffffff"
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 50, 50
_FONT = 14


@dataclass(frozen=True)
class Line:
    """Connected points in pixels from the upper left corner."""

    points: Sequence[tuple[float, float]]
    colour: str
    width: float = 1.0
    dash: tuple[int, ...] = ()


@dataclass(frozen=True)
class Text:
    """Text whose `anchor` (start, middle or end of its vertical middle) is at `x`, `y`."""

    x: float
    y: float
    text: str
    anchor: str = "start"


def write(
    path: Path, history: History | Mapping[str, History], metrics: Sequence[str], *, title: str = ""
) -> None:
    """Write a chart to `path`, whose ending says what it becomes: `.svg` or `.png`.

    Raises `InputError` for another ending or a metric that no run has, `ImpossibleError` for PNG
    without Pillow.
    """
    form = path.suffix.lower()
    if form not in (".svg", ".png"):
        raise InputError(
            f"{path.name}: only .svg and .png can be written", remedy="give one of these endings"
        )
    histories = history if isinstance(history, Mapping) else {"": history}
    curves = pick(histories, metrics, columns=WIDTH)
    shapes = list(_layout(curves, title or ", ".join(metrics)))
    data = _svg(shapes).encode() if form == ".svg" else _png(shapes)
    durable.write_once(path, data)


def _layout(curves: Sequence[Curve], title: str) -> Iterator[Line | Text]:
    left, right, bottom, top = extent(curves)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - left) / (right - left) * (WIDTH - _LEFT - _RIGHT)
        up = (y - bottom) / (top - bottom) * (HEIGHT - _TOP - _BOTTOM)
        return _LEFT + across, HEIGHT - _BOTTOM - up

    yield Text(_LEFT, 18, title)
    for number, text in ticks(left, right, 8):
        x, floor = place(number, bottom)
        yield Line([(x, floor), (x, _TOP)], _GRID)
        yield Text(x, floor + 16, text, "middle")
    for number, text in ticks(bottom, top, 6):
        start, y = place(left, number)
        yield Line([(start, y), (WIDTH - _RIGHT, y)], _GRID)
        yield Text(start - 8, y, text, "end")
    frame = [(left, top), (left, bottom), (right, bottom)]
    yield Line([place(x, y) for x, y in frame], _INK)
    yield Text(WIDTH / 2, HEIGHT - 14, "step", "middle")
    legend_x = float(_LEFT)
    for number, curve in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]

        dash = _DASHES[number % len(_DASHES)]
        points = [place(x, y) for x, y in zip(curve.xs, curve.ys, strict=True)]
        yield Line(points, colour, 1.6, dash)
        yield Line([(legend_x, 38), (legend_x + 28, 38)], colour, 2.5, dash)
        yield Text(legend_x + 34, 38, curve.label)
        legend_x += 34 + 0.6 * _FONT * len(curve.label) + 24


def _svg(shapes: Sequence[Line | Text]) -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="{_FONT}">',
        f'<rect width="100%" height="100%" fill="{_PAPER}"/>',
    ]
    for shape in shapes:
        if isinstance(shape, Text):
            parts.append(
                f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" text-anchor="{shape.anchor}" '
                f'dominant-baseline="middle" fill="{_INK}">{escape(shape.text)}</text>'
            )
            continue
        dash = f' stroke-dasharray="{" ".join(map(str, shape.dash))}"' if shape.dash else ""
        style = f'fill="none" stroke="{shape.colour}" stroke-width="{shape.width}"{dash}'
        if len(shape.points) == 1:  # a polyline of one point is not drawn at all
            x, y = shape.points[0]
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" {style}/>')
            continue
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
        parts.append(f'<polyline points="{points}" {style}/>')
    return "\n".join([*parts, "</svg>", ""])


_OVER = 2  # drawn larger and scaled down: smooth lines


def _png(shapes: Sequence[Line | Text]) -> bytes:
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise ImpossibleError(
            "a PNG needs Pillow, which is not installed",
            remedy="pip install pillow, or write an .svg",
        ) from error
    image = Image.new("RGB", (WIDTH * _OVER, HEIGHT * _OVER), _PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(_FONT * _OVER)
    anchors = {"start": "lm", "middle": "mm", "end": "rm"}
    for shape in shapes:
        if isinstance(shape, Text):
            at = (shape.x * _OVER, shape.y * _OVER)
            draw.text(at, shape.text, fill=_INK, font=font, anchor=anchors[shape.anchor])
            continue
        points = [(x * _OVER, y * _OVER) for x, y in shape.points]
        width = round(shape.width * _OVER)
        if len(points) == 1:
            draw.circle(points[0], 3 * _OVER, outline=shape.colour, width=width)
        elif shape.dash:
            for dash in _dashes(points, [length * _OVER for length in shape.dash]):
                draw.line(dash, fill=shape.colour, width=width)
        else:
            draw.line(points, fill=shape.colour, width=width, joint="curve")
    data = BytesIO()
    image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(data, "PNG")
    return data.getvalue()


def _dashes(
    points: Sequence[tuple[float, float]], pattern: Sequence[float]
) -> Iterator[list[tuple[float, float]]]:
    """Cut a line into the dashes of `pattern` (lengths drawn and left out, in turn)."""
    turn, left = 0, pattern[0]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        gone = 0.0
        while gone < length:
            piece = min(left, length - gone)
            if turn % 2 == 0:
                a, b = gone / length, (gone + piece) / length
                yield [
                    (x0 + (x1 - x0) * a, y0 + (y1 - y0) * a),
                    (x0 + (x1 - x0) * b, y0 + (y1 - y0) * b),
                ]
            gone += piece
            left -= piece
            if left <= 1e-9:
                turn += 1
                left = pattern[turn % len(pattern)]

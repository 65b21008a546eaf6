"""Curves in the terminal, through plotext; alone or several runs in one chart."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence

from qtui.runs.curves import extent, pick, ticks
from qtui.runs.series import History

_SIGNS = "•+×o#%@&"
_ASCII_SIGNS = "*+xo#%@&"
_FRAME = str.maketrans("┌┐└┘┤├┬┴┼─│", "++++|++++-|")
_COLOURS = (4, 1, 2, 5, 6, 3)  # of the terminal's own, in which every theme is readable
_PALETTE = re.compile(r"\x1b\[38;5;([0-7])m")
_one_at_a_time = threading.Lock()  # plotext has a single figure


def draw(
    history: History | Mapping[str, History],
    metrics: Sequence[str],
    width: int,
    height: int,
    ascii: bool = False,
    colour: bool = False,
) -> str:
    """A chart of `width` by `height` character cells (at least 20 by 6), with a line of legend.

    `history` is one run's, or several by their labels. Without colour each curve has a sign of
    its own; `ascii` keeps to 7 bits. Raises `InputError` for a metric that no run has.
    """
    import plotext

    histories = history if isinstance(history, Mapping) else {"": history}
    width, height = max(width, 20), max(height, 6)
    curves = pick(histories, metrics, columns=2 * width)
    left, right, bottom, top = extent(curves)
    signs = [_sign(number, len(curves), ascii, colour) for number in range(len(curves))]
    legend = "  ".join(
        f"{_paint('⣀' if sign == 'braille' else sign, number, colour)} {curve.label}"
        for number, (sign, curve) in enumerate(zip(signs, curves, strict=True))
    )
    with _one_at_a_time:
        plotext.terminal.limit(False, False)
        figure = plotext.figure
        figure.clear()
        figure.theme("colorless")
        figure.plot_size(width, height - 1)
        for number, (sign, curve) in enumerate(zip(signs, curves, strict=True)):
            line = figure.signal(
                list(curve.xs), list(curve.ys), marker=_marker(sign, number, colour)
            )
            figure.draw(line.lines())
        figure.legend(False)
        across = ticks(left, right, max(2, width // 14))
        up = ticks(bottom, top, max(2, height // 2))
        figure.ruler("x", "lower").lim(left, right).ticks(*_pairs(across))
        figure.ruler("y", "left").lim(bottom, top).ticks(*_pairs(up))
        text: str = figure.build().string(colorless=not colour)
    text = _PALETTE.sub("\x1b[3\\1m", text)  # understood by terminals of 8 and 16 colours too
    lines = [line.rstrip() for line in text.rstrip("\n").split("\n")]
    chart = "\n".join([legend, *lines])
    return chart.translate(_FRAME) if ascii else chart


def _pairs(marks: Sequence[tuple[float, str]]) -> tuple[list[float], list[str]]:
    return [place for place, _ in marks], [text for _, text in marks]


def _sign(number: int, curves: int, plain: bool, colour: bool) -> str:
    if plain:
        return _ASCII_SIGNS[number % len(_ASCII_SIGNS)]
    return "braille" if curves == 1 or colour else _SIGNS[number % len(_SIGNS)]


def _marker(sign: str, number: int, colour: bool) -> object:
    import plotext

    pixel = (
        plotext.pixel(foreground=_COLOURS[number % len(_COLOURS)]) if colour else plotext.pixel()
    )
    return plotext.marker(sign, pixel)


def _paint(text: str, number: int, colour: bool) -> str:
    return f"\x1b[3{_COLOURS[number % len(_COLOURS)]}m{text}\x1b[0m" if colour else text

"""Sends the changed part of a line, where Textual sends all of the widget's line before it too.

When a widget asks for a region to be drawn again, Textual (8.2) sends its line from the widget's
left edge up to the region's end. One new point at the right of a chart so costs the whole line,
at each step, over a line that may be slow. Measured on the Monitor at 80x24 with a step a second:
1,000 bytes a second without this, 170 with it.
"""

from __future__ import annotations

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate
from textual.strip import Strip


def install() -> None:
    """Let all updates of this process be sent so; a second call changes nothing."""
    ChopsUpdate.render_segments = _render_segments  # type: ignore[assignment, method-assign]


def _render_segments(update: ChopsUpdate, console: Console) -> str:
    """What draws the spans `(row, first column, column after the last)` of `update`.

    Each row is made of chops: strips of cells by the column at which they begin.
    """
    drawn: list[str] = []
    for y, first, after in update.spans:
        ends = update.chop_ends[y]
        for end, (begin, strip) in zip(ends, update.chops[y].items(), strict=False):
            if strip is None or begin >= after or end <= first:
                continue
            left = _whole(strip, max(first - begin, 0), -1)
            right = _whole(strip, min(after, end) - begin, +1)
            drawn.append(Control.move_to(begin + left, y).segment.text)
            drawn.append(strip.crop(left, right).render(console))
    return "".join(drawn)


def _whole(strip: Strip, column: int, direction: int) -> int:
    """`column`, or the one beside it where it would cut a character of two columns in half."""
    # Half a character is cropped to a blank, which the text itself does not have there.
    cut = strip.text.startswith(strip.crop(0, column).text)
    return column if cut else column + direction

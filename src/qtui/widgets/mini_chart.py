"""A curve in one line, for metrics that have no chart of their own: label, value and a trace."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from qtui.runs.pyramid import Pyramid
from qtui.terminal import clean_line, columns, cut
from qtui.widgets.chart import is_seen
from qtui.widgets.chart_drawing import trace


class MiniChart(Widget):
    """One line: `label`, the text of a value, and behind them the whole curve, four dots high."""

    DEFAULT_CSS = """
    MiniChart { width: 1fr; height: 1; }
    MiniChart > .mini-chart--trace { color: $accent; }
    """
    COMPONENT_CLASSES = {"mini-chart--trace"}

    def __init__(self, label: str, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.label = label
        self._pyramid: Pyramid | None = None
        self._planned: int | None = None
        self._text = ""
        self._stale = False
        self._drawn: tuple[str, str] = ("", "")

    def show(self, pyramid: Pyramid, text: str, *, planned: int | None) -> None:
        """Show a curve over the steps up to `planned` (none: as far as it goes), and its value."""
        self._pyramid, self._text, self._planned = pyramid, text, planned
        if not is_seen(self):
            self._stale = True
            return
        self._redraw()

    def _redraw(self) -> None:
        """Refresh from the first cell that differs."""
        self._stale = False
        old, new = "".join(self._drawn), "".join(self._parts())
        if old != new:
            same = 0
            while same < min(len(old), len(new)) and old[same] == new[same]:
                same += 1
            if new.isascii() or columns(new) == len(new) == columns(old):
                self.refresh(Region(same, 0, max(self.size.width - same, 1), 1))
            else:
                self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """The line; made anew when something changed while it was hidden."""
        if self._stale:
            self._redraw()
        return super().render_lines(crop)

    def _parts(self) -> tuple[str, str]:
        width = self.size.width
        text = cut(clean_line(f"{self.label} {self._text}".rstrip()), width)
        room = width - columns(text) - 1
        if self._pyramid is None or room < 3:
            return text, ""
        unicode = bool(getattr(self.app, "unicode", True))
        return f"{text} ", trace(self._pyramid, self._planned, room, unicode=unicode)

    def render(self) -> Content:
        self._drawn = text, curve = self._parts()
        style = self.get_visual_style("mini-chart--trace", partial=True)
        return Content(text) + Content.styled(curve, style)

"""A list to choose from whose mark is seen without colour.

Textual's own `OptionList` drops "reverse" from the style of the row under the cursor: in a theme
without colours of its own the cursor would not be seen at all.
"""

from __future__ import annotations

from textual.style import Style
from textual.widgets import OptionList

_CURSOR = "option-list--option-highlighted"


class OptionRows(OptionList):
    """An `OptionList` that takes every attribute of its cursor's style from the theme."""

    def get_visual_style(self, *component_classes: str, partial: bool = False) -> Style:
        """The style of a row; that under the cursor is reversed where the theme says so."""
        style = super().get_visual_style(*component_classes, partial=partial)
        if _CURSOR in component_classes and self.get_component_styles(_CURSOR).text_style.reverse:
            style += Style(reverse=True)
        return style

"""What every screen looks like: a top line, a body, a bottom line with the keys that work here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget

from qtui.dashboard.reading import MachineRead
from qtui.widgets.key_bar import KeyBar
from qtui.widgets.top_bar import TopBar

if TYPE_CHECKING:
    from qtui.app import QtuiApp


class Frame(Screen[None]):
    """A full screen. Subclasses set `PLACE` and `BINDINGS`, and yield their parts in `body`."""

    PLACE: ClassVar[str] = ""
    """The name of the screen in the key table and in the top line."""
    AUTO_FOCUS = ""
    # Textual's own would send the whole terminal anew whenever the focus moves. What has the focus
    # shows it itself.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def compose(self) -> ComposeResult:
        yield TopBar(self.PLACE)
        yield from self.body()
        yield KeyBar()

    def body(self) -> Iterable[Widget]:
        """What lies between the two lines."""
        return ()

    @property
    def qtui(self) -> QtuiApp:
        """The application, by its own type."""
        return cast("QtuiApp", self.app)

    # Textual calls the handlers of every class of a screen, each by its own name: a subclass
    # that has these too need not call them.
    def on_screen_resume(self) -> None:
        if self.qtui.machine is not None:
            self.query_one(TopBar).gpu = self.qtui.machine.gpu_text

    def on_machine_read(self, message: MachineRead) -> None:
        self.query_one(TopBar).gpu = message.gpu_text

    def _compositor_refresh(self) -> None:
        super()._compositor_refresh()
        # Textual marks a screen below a dialog as wholly due again each time that it has passed a
        # change on; from then on every message would send all of the terminal anew.
        if self is not self.app.screen:
            self._repaint_required = False

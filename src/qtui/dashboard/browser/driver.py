"""The terminal of a browser tab: `qtui web` at the other end of two pipes passes it on.

Textual's driver for textual-serve is the base; it speaks in packets. Added to it is what
`qtui.dashboard.driver` adds for terminals: the end of the input (the tab was closed, or the server
is gone, killed even) ends the program; signals do so in order; keys come in turn; a browser that
takes nothing never makes the interface wait. What a library prints cannot come between the packets.
"""

from __future__ import annotations

import os
import signal
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING

from textual._xterm_parser import XTermParser
from textual.drivers._byte_stream import ByteStream
from textual.drivers.web_driver import WebDriver, _ExitInput
from textual.events import Key, Resize
from textual.geometry import Size

from qtui.dashboard.driver import TerminalWriter
from qtui.dashboard.leaving import Leaves

if TYPE_CHECKING:
    from qtui.app import QtuiApp

_ESCAPE = b"\x1b"
_OURS, _STANDARD_OUTPUT, _STANDARD_ERROR = "__GANGLION__\n", 1, 2


class BrowserDriver(Leaves, WebDriver):
    """Packets on standard input and output."""

    def __init__(
        self,
        app: QtuiApp,
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._packets = os.dup(_STANDARD_OUTPUT)
        os.dup2(_STANDARD_ERROR, _STANDARD_OUTPUT)
        self._writer = TerminalWriter(self._packets, self.drawn_too_little)
        self._write = self._writer.write  # type: ignore[assignment]

    def start_application_mode(self) -> None:
        """Take the tab, at the size it has."""
        self._writer.start()
        self.heed_signals()
        self._write(_OURS.encode())
        self.write("\x1b[?1049h\x1b[?25l")  # the alternate screen, no cursor
        if self._mouse:
            self._enable_mouse_support()
        self._enable_bracketed_paste()
        size = Size(*(self._size or (80, 24)))
        self._app.post_message(Resize(size, size))
        self._key_thread.start()

    def stop_application_mode(self) -> None:
        """Say that this was the end; nothing is read any more."""
        self._writer.drop_frames()
        super().stop_application_mode()

    def close(self) -> None:
        """Write what is left."""
        self._writer.stop()

    def run_input_thread(self) -> None:
        """Hand over what is typed, and other news of the tab, until there is no tab any more."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        packets = ByteStream()
        try:
            for data in self._input_reader:
                for kind, payload in packets.feed(data) if data else ():
                    if payload == _ESCAPE and kind == "D":
                        # A packet is one key: this is no beginning of a sequence to wait for.
                        self.hand_over((Key("escape", "\x1b"),))
                    elif kind == "D":
                        self.hand_over(parser.feed(decode(payload)))
                    else:
                        self._on_meta(kind, payload)
                for event in parser.tick():
                    self.process_message(event)
        except _ExitInput:
            pass
        if not self.exit_event.is_set():
            self.leave(128 + signal.SIGHUP)

    def on_meta(self, packet_type: str, payload: dict[str, object]) -> None:
        """Heed what the server says; that the tab was closed ends the program for certain."""
        if packet_type == "quit":
            self.leave(0)
        else:
            super().on_meta(packet_type, payload)

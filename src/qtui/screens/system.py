"""This machine: its GPUs as they are now, what is around them, and what doctor finds.

The readings come from the application once a second. Everything that may wait (doctor, the disk
of the model cache) runs on a thread; until it has answered the screen says for what it waits.
The same in a terminal: `qtui monitor` and `qtui doctor`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from textual import events, work
from textual.content import Content
from textual.widget import Widget

from qtui import keymap
from qtui.dashboard.background import off_loop
from qtui.dashboard.copying import copy_command
from qtui.dashboard.reading import MachineRead, failure
from qtui.runs import naming
from qtui.screens.frame import Frame
from qtui.system import about as machine
from qtui.system import doctor
from qtui.system.about import About
from qtui.system.finding import Finding
from qtui.terminal import clean_line, columns, cut
from qtui.widgets.gpu_lines import gpu_lines
from qtui.widgets.machine_lines import machine_lines
from qtui.widgets.readout import Readout

_ABOUT_SECONDS = 10.0
_MACHINE = 6
"""Lines about the machine, with their heading."""


@dataclass(frozen=True)
class _Level:
    sign: str
    plain: str
    style: str


_LEVELS = {
    "alert": _Level("!", "!", "$error"),
    "error": _Level("✗", "x", "$error"),
    "warning": _Level("!", "!", "$warning"),
    "note": _Level("·", "-", "$text-muted"),
    "ok": _Level("✓", "+", "$success"),
}
"""In the order in which they are shown."""


@dataclass(frozen=True)
class _Row:
    """A line of the list; rows are told apart by all that they say."""

    level: str
    what: str
    why: str = ""
    command: str = ""


class SystemScreen(Frame):
    """GPUs, machine and findings, drawn as one block of lines: only cells that change are sent."""

    PLACE = "system"
    CSS_PATH = "system.tcss"
    BINDINGS = [*keymap.bindings("system")]

    def __init__(self) -> None:
        super().__init__()
        self._about: About | None = None
        self._findings: list[Finding] | None = None
        self._failure = ""
        self._examining: float | None = None
        self._gpu = 0
        self._rows: list[_Row] = []
        self._selected: _Row | None = None
        self._place = 0

    def body(self) -> Iterable[Widget]:
        yield Readout(id="system")

    def on_mount(self) -> None:
        self._look_around()
        self._examine()
        self.set_interval(_ABOUT_SECONDS, self._look_around)

    def on_screen_resume(self) -> None:
        self._draw()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._draw)

    def on_machine_read(self, message: MachineRead) -> None:
        self._draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing here are not offered."""
        if action == "next_gpu":
            return self._gpus_seen() > 1
        if action == "copy":
            return bool(self._selected is not None and self._selected.command)
        return True

    # -- keys ------------------------------------------------------------------------------

    def action_again(self) -> None:
        """Look for findings once more."""
        self._look_around()
        self._examine()

    @work(group="copy")
    async def action_copy(self) -> None:
        """Copy the command of the selected finding."""
        if self._selected is not None and self._selected.command:
            await copy_command(self.qtui, self._selected.command)

    def action_next_gpu(self) -> None:
        """Show the details of the next GPU."""
        self._gpu = (self._gpu + 1) % max(self._gpus_seen(), 1)
        self._draw()

    def action_move(self, rows: int) -> None:
        """Select the finding so many rows below."""
        if self._rows:
            self._place = min(max(self._place + rows, 0), len(self._rows) - 1)
            self._selected = self._rows[self._place]
            self._draw()

    # -- what has to be waited for ---------------------------------------------------------

    @work(group="about")
    async def _look_around(self) -> None:
        if not self.is_current and self._about is not None:
            return
        self._about = await off_loop(machine.about)
        self._draw()

    @work(group="doctor")
    async def _examine(self) -> None:
        if self._examining is not None:
            return
        self._examining = time.monotonic()
        self._draw()
        try:
            self._findings = await off_loop(lambda: doctor.examine(self.qtui.workspace))
            self._failure = ""
        except Exception as error:  # whatever doctor trips over must not take the dashboard along
            self._failure = clean_line(f"{type(error).__name__}: {error}", 200)
        finally:
            self._examining = None
        self._draw()

    # -- drawing ---------------------------------------------------------------------------

    def _draw(self) -> None:
        """Compose all lines anew; the widget sends the cells that differ."""
        if not (self.is_attached and self.is_current):
            return
        readout = self.query_one("#system", Readout)
        width, height = readout.size
        if not width or not height:
            return
        self._gather()
        unicode = self.qtui.unicode
        details = 3 if height < 30 else 6
        fewest = 4 if height < 30 else 8
        lines = self._gpu_part(width, max(height - _MACHINE - fewest - details - 2, 3))
        read = self.qtui.machine
        lines.append(self._heading(self._machine_title(), "qtui monitor", width))
        lines += machine_lines(
            read.memory if read is not None else None,
            read.disk if read is not None else None,
            self._about,
            self.qtui.workspace,
            width=width,
            unicode=unicode,
        )
        lines.append(self._heading(self._findings_title(), "qtui doctor", width))
        room = max(height - len(lines) - details - 1, 1)
        listed = self._list(width, room)
        lines += [*listed, *[Content("")] * (room - len(listed))]
        lines.append(self._heading("", "", width))
        shown = self._detail(width, details)
        lines += [*shown, *[Content("")] * (details - len(shown))]
        readout.show(*lines[:height])
        self.refresh_bindings()

    def _gpus_seen(self) -> int:
        return len(self.qtui.machine.gpus.gpus) if self.qtui.machine is not None else 0

    def _gpu_part(self, width: int, height: int) -> list[Content]:
        read = self.qtui.machine
        if read is None:
            return [Content(" asking for the GPUs")]
        lines: list[Content] = []
        snapshot = read.gpus
        if not snapshot.available and (snapshot.gpus or snapshot.cause != "starting"):
            absent = not snapshot.gpus and snapshot.cause in ("library", "driver")
            if absent:
                text = f" no GPU can be read: {clean_line(failure(snapshot))}"
            else:
                text = f" ! {'last values; ' if snapshot.gpus else ''}{clean_line(read.gpu_text)}"
            said = Content.styled(text, "" if absent else "$warning")
            first, *rest = said.wrap(max(width - 3, 1))
            lines += [first, *(Content("   ") + line for line in rest[:1])]
            if snapshot.remedy:
                lines.append(Content.styled(cut(f" {clean_line(snapshot.remedy)}", width),
                                            "$text-muted"))  # fmt: skip
        elif not snapshot.gpus:
            text = snapshot.why or "no GPU: training will use the CPU"
            lines.append(Content(cut(f" {clean_line(text)}", width)))
        if snapshot.visible_note:
            lines.append(Content.styled(cut(f" {clean_line(snapshot.visible_note)}", width),
                                        "$text-muted"))  # fmt: skip
        if snapshot.gpus:
            self._gpu = min(self._gpu, len(snapshot.gpus) - 1)
            lines += gpu_lines(
                snapshot.gpus,
                self._gpu,
                self.qtui.gpu_pasts,
                width=width,
                height=max(height - len(lines), 2),
                unicode=self.qtui.unicode,
            )
        return lines

    def _heading(self, title: str, twin: str, width: int) -> Content:
        rule = "─" if self.qtui.unicode else "-"
        left = f"{rule * 2} {title} " if title else ""
        right = f" {twin} {rule * 2}" if twin else ""
        middle = rule * max(width - columns(left) - columns(right), 0)
        return Content.styled(cut(left + middle + right, width), "$text-muted")

    def _machine_title(self) -> str:
        read = self.qtui.machine
        if read is None or not read.gpus.driver.value:
            return "machine"
        cuda = f", CUDA up to {read.gpus.cuda.value}" if read.gpus.cuda.value else ""
        return clean_line(f"machine  driver {read.gpus.driver.value}{cuda}")

    def _findings_title(self) -> str:
        parts = ["findings"]
        for level, one, many in (
            ("alert", "alert", "alerts"),
            ("error", "error", "errors"),
            ("warning", "warning", "warnings"),
            ("note", "note", "notes"),
        ):
            count = sum(row.level == level for row in self._rows)
            if count:
                parts.append(f"{count} {one if count == 1 else many}")
        if self._examining is not None and self._findings is not None:
            parts.append(f"looking again for {time.monotonic() - self._examining:.0f} s")
        return "  ".join(parts)

    def _gather(self) -> None:
        """The rows: alerts that go on, then findings, worst first; the selected one is kept."""
        alerts = [
            _Row("alert", (f"{naming.name_of(alert.run)}: " if alert.run else "") + alert.message)
            for alert in self.qtui.alerting.active
            if alert.level != "note"
        ]
        order = list(_LEVELS)
        found = sorted(self._findings or (), key=lambda finding: order.index(finding.level))
        self._rows = [
            *alerts,
            *(_Row(finding.level, finding.what, finding.why, finding.command) for finding in found),
        ]
        if self._selected in self._rows:
            self._place = self._rows.index(self._selected)
        else:
            self._place = max(min(self._place, len(self._rows) - 1), 0)
            self._selected = self._rows[self._place] if self._rows else None

    def _list(self, width: int, room: int) -> list[Content]:
        if self._failure:
            return [Content.styled(cut(f" doctor ended with {self._failure}", width), "$error")]
        waiting = self._findings is None
        if waiting:
            since = time.monotonic() - (self._examining or time.monotonic())
            text = f" looking at packages, driver, disk and terminal for {since:.0f} s"
            if not self._rows:
                return [Content(cut(text, width))]
        unicode = self.qtui.unicode
        place = self._place
        room = min(room, len(self._rows))
        first = min(max(place - room // 2, 0), len(self._rows) - room)
        lines = []
        for at, row in enumerate(self._rows[first : first + room], first):
            level = _LEVELS[row.level]
            marker = ("▸" if unicode else ">") if at == place else " "
            sign = level.sign if unicode else level.plain
            head = f"{marker} {sign} {row.level:<8}"
            text = cut(f"{head}{clean_line(row.what)}", width)
            split = min(len(head), len(text))
            lines.append(
                Content.styled(text[:split], level.style)
                + Content.styled(text[split:], "bold" if at == place else "")
            )
        return lines

    def _detail(self, width: int, height: int) -> list[Content]:
        """All of the selected row: what did not fit into its line, why, and what mends it."""
        row = self._selected
        if row is None:
            return []
        parts: list[Content] = []
        what = clean_line(row.what)
        if columns(what) + 12 > width:
            parts.append(Content(f" {what}"))
        if row.why:
            parts.append(Content.styled(f" {clean_line(row.why)}", "$text-muted"))
        if row.command:
            parts.append(
                Content.assemble(
                    (" mend it  ", "$text-muted"), (clean_line(row.command), "$accent")
                )
            )
        lines = [line for part in parts for line in part.wrap(max(width - 1, 1))]
        # The command matters most: it is never the one that is cut off by a long reason.
        if len(lines) > height and row.command:
            command = parts[-1].wrap(max(width - 1, 1))[:height]
            lines = [*lines[: height - len(command)], *command]
        return lines[:height]

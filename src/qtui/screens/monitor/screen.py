"""One run, as it trains or as it went: where it stands, its curves and words, what to ask of it.

Everything is told from the run's files by a follower on its own thread, so a finished or copied
run replays the same. Drawing is limited to a few times a second and to what changed.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from textual.content import Content
from textual.events import Resize
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from qtui import keymap
from qtui.dashboard.background import off_loop
from qtui.dashboard.copying import copy_command
from qtui.dashboard.reading import MachineRead
from qtui.errors import QtuiError
from qtui.runs import folder, state
from qtui.runs.folder import Run
from qtui.runs.summary import Summary, summarize
from qtui.runs.watch import Batch
from qtui.screens import run_actions
from qtui.screens.frame import Frame
from qtui.screens.monitor import panes
from qtui.screens.monitor.chart_grid import ChartGrid
from qtui.screens.monitor.followed import Followed, News
from qtui.screens.monitor.gauges import MachinePast, lines
from qtui.screens.monitor.header import LIVING, Surroundings, planned
from qtui.screens.monitor.metrics_filter import MetricsFilter
from qtui.screens.monitor.open_alerts import OpenAlerts
from qtui.screens.monitor.run_choice import neighbour, newest
from qtui.screens.monitor.run_status import RunStatus
from qtui.screens.monitor.runs_picker import RunsPicker
from qtui.screens.monitor.texts import MonitorTexts
from qtui.terminal import clean_line
from qtui.widgets.readout import Readout

if TYPE_CHECKING:
    from qtui.app import QtuiApp

DRAW_SECONDS = 0.2
"""The shortest time between two drawings of what is new."""

_EMPTY = """There is no run to watch yet.

2 configure   sets one up, ctrl+l there launches it
1 home        lists all runs

Without the dashboard: qtui quickstart"""


class MonitorScreen(Frame):
    """Watches the run given to `show`; without one the newest living run, else the newest."""

    PLACE = "monitor"
    CSS_PATH = "monitor.tcss"
    BINDINGS = [*keymap.bindings("monitor")]

    def __init__(self) -> None:
        super().__init__()
        self.followed: Followed | None = None
        """The run that is shown; none while there is none."""
        self.overlays: list[Followed] = []
        self._config: dict[str, Any] = {}
        self._past = MachinePast()
        self._alerts: OpenAlerts | None = None
        self._drawn_at = 0.0
        self._due: Timer | None = None

    def body(self) -> Iterable[Widget]:
        yield Static(Content(_EMPTY), id="empty")
        yield RunStatus(id="status")
        yield ChartGrid(id="charts")
        yield Readout(id="gauges")
        yield MonitorTexts(id="texts")
        yield MetricsFilter(id="filter")

    # -- which run -----------------------------------------------------------------------------

    def on_mount(self) -> None:
        self.set_interval(1.0, self._tick)
        if self.followed is None:
            self.run_worker(self._choose())

    async def _choose(self) -> None:
        """Show the newest living run, else the newest; say what to do when there is none."""
        workspace = self.qtui.workspace
        try:
            run = await off_loop(lambda: newest(workspace))
        except QtuiError as error:
            self.qtui.say(error.message, "error")
            return
        if self.followed is None:
            self.set_class(run is None, "-empty")
            if run is not None:
                self.show(run)

    def show(self, run: Run) -> None:
        """Show `run` from the beginning of its log; the one shown before is left."""
        self.set_class(False, "-empty")
        if self.followed is not None:
            if self.followed.run.path == run.path:
                self.followed.wake()
                return
            self.followed.close()
        for overlay in self.overlays:
            if overlay.run.path == run.path:
                overlay.close()
        self.overlays = [o for o in self.overlays if o.run.path != run.path]
        self._config = {}
        self._alerts = OpenAlerts(run)
        self.followed = Followed(run, self._hand_over)
        self.query_one(RunStatus).begin(run)
        self._texts.begin(self.followed)
        self._charts.reset()  # steps that were chosen in another run may not exist in this one
        self.run_worker(self._read_config(self.followed))
        self._draw()

    def _hand_over(self, followed: Followed, batch: Batch) -> None:
        self.post_message(News(followed, batch))  # on the follower's thread

    async def _read_config(self, followed: Followed) -> None:
        def read() -> dict[str, Any]:
            try:
                return followed.run.spec.config
            except QtuiError:  # the info says what is wrong with it
                return {}

        config = await off_loop(read)
        if followed is self.followed:
            self._config = config
            self._draw()

    @property
    def _texts(self) -> MonitorTexts:
        return self.query_one(MonitorTexts)

    @property
    def _charts(self) -> ChartGrid:
        return self.query_one(ChartGrid)

    def on_unmount(self) -> None:
        for followed in self._all():
            followed.close()

    def on_screen_suspend(self) -> None:
        for followed in self._all():
            followed.rest()

    def on_screen_resume(self) -> None:
        for followed in self._all():
            followed.wake()
        if self.followed is None and self.has_class("-empty"):
            self.run_worker(self._choose())
        self._draw()

    def _all(self) -> list[Followed]:
        return [*([self.followed] if self.followed is not None else []), *self.overlays]

    # -- what is new ---------------------------------------------------------------------------

    def on_news(self, message: News) -> None:
        followed = message.followed
        if followed not in self._all():
            return  # one that is no longer shown
        before = followed.status
        whole = message.batch.history is not None
        followed.take(message.batch)
        if followed is self.followed:
            self._texts.take(whole=whole, unicode=self.qtui.unicode)
            if followed.status is not before:
                self.refresh_bindings()
        self._draw_soon()

    def on_machine_read(self, message: MachineRead) -> None:
        self._past.take(message, time.time())
        if self.is_current:
            self._draw_gauges()

    def _tick(self) -> None:
        """Once a second: what changes by the clock alone."""
        if not self.is_current or self.followed is None:
            return
        self._look_for_alerts()
        self._draw_status()
        if self._texts.name_shown == "worker" and self.followed.status in LIVING:
            self._texts.read_again()

    def _look_for_alerts(self) -> None:
        """Look for what a person still has to see; what the dashboard raised goes to the log."""
        followed, alerts = self.followed, self._alerts
        if followed is None or alerts is None:
            return
        if followed.history is None or followed.status not in LIVING:
            alerts.none()
            return
        new = alerts.look(followed.history, self.qtui.alerting.active)
        self._texts.add_to_log([panes.said(alert.time, alert.message) for alert in new])

    # -- drawing -------------------------------------------------------------------------------

    def _draw_soon(self) -> None:
        """Draw now, or as soon as the last drawing is `DRAW_SECONDS` old."""
        if self._due is not None:
            return
        wait = DRAW_SECONDS - (time.monotonic() - self._drawn_at)
        if wait <= 0:
            self._draw()
        else:
            self._due = self.set_timer(wait, self._draw)

    def _draw(self) -> None:
        if self._due is not None:
            self._due.stop()
            self._due = None
        if not self.is_mounted or not self.is_current or self.followed is None:
            return
        self._drawn_at = time.monotonic()
        self._draw_status()
        self._charts.show(self._all(), self._planned())
        self._draw_gauges()
        self._texts.draw()
        self._draw_line()

    def _planned(self) -> int | None:
        """The steps of the longest of the runs that are shown."""
        found = []
        for followed in self._all():
            config = self._config if followed is self.followed else {}
            if followed.history is not None:
                found.append(planned(followed.history, config))
        return max((steps for steps in found if steps), default=None)

    def _draw_status(self) -> None:
        if self.followed is not None:
            app = self.qtui
            price = app.user.price_per_hour
            around = Surroundings(self.size.width, time.time(), app.unicode, price)
            alert = self._alerts.newest if self._alerts is not None else ""
            self.query_one(RunStatus).draw(self.followed, self._config, alert, around)

    def _draw_gauges(self) -> None:
        followed = self.followed
        if followed is None or followed.history is None:
            return
        self.query_one("#gauges", Readout).show(
            *lines(
                followed,
                self.qtui.machine,
                self._past,
                self.size.width,
                living=followed.status in LIVING,
                unicode=self.qtui.unicode,
            )
        )

    def _draw_line(self) -> None:
        command = self._command(lambda run: clean_line(run.name))
        full = self.has_class("-chart-full")
        self._texts.draw_line(self._charts.position, command, full_chart=full)

    def _command(self, reference: Callable[[Run], str]) -> str:
        """The command that shows what is shown here; `reference` is how runs are named in it."""
        if self.followed is None:
            return "qtui runs list"
        if not self.has_class("-chart-full"):
            return self._texts.command(self.followed.run, reference)
        runs = " ".join(reference(followed.run) for followed in self._all())
        chart = self._charts.active
        metrics = chart.group.metrics if chart is not None and chart.group is not None else ()
        options = "".join(f" --metric {shlex.quote(clean_line(name))}" for name in metrics)
        return f"qtui runs plot {runs}{options}"

    def action_copy(self) -> None:
        """Copy the command that shows the same."""
        command = self._command(lambda run: shlex.quote(clean_line(run.id)))
        self.run_worker(copy_command(self.qtui, command))

    def on_resize(self, event: Resize) -> None:
        height = event.size.height
        self.set_class(height < 18, "-low")
        self.set_class(32 <= height < 50, "-tall")
        self.set_class(height >= 50, "-taller")
        self.call_after_refresh(self._draw)

    # -- texts ---------------------------------------------------------------------------------

    def action_pane(self, name: str) -> None:
        """Show that text below the charts; asked for again, over the whole screen."""
        self._leave_full_chart()
        if name == self._texts.name_shown:
            self.toggle_class("-text-full")
        else:
            self._texts.choose(name)
        self._draw_line()

    def action_scroll(self, where: str) -> None:
        """Scroll the text below."""
        self._texts.scroll(where)

    # -- charts --------------------------------------------------------------------------------

    def action_crosshair(self, columns: int) -> None:
        """Move the crosshair."""
        self._charts.crosshair(columns)

    def action_zoom(self, factor: float) -> None:
        """Show fewer steps, or more."""
        self._charts.zoom(factor)

    def action_pan(self, share: float) -> None:
        """Show earlier steps, or later ones."""
        self._charts.pan(share)

    def action_reset(self) -> None:
        """Show all steps, without a crosshair."""
        self._charts.reset()

    def action_look(self, what: str) -> None:
        """Smooth, take logarithms, clip."""
        self._charts.look(what)

    def action_chart(self, by: int) -> None:
        """Go to the next chart, or the one before."""
        self._charts.go(by)
        if (chart := self._charts.active) is not None:
            chart.focus()
        self._draw_line()

    def action_full(self) -> None:
        """The active chart over the whole screen, and back."""
        self.toggle_class("-chart-full")
        self.remove_class("-text-full")
        self._full(charts=self.has_class("-chart-full"))
        self._draw_line()

    def action_leave(self) -> None:
        """From what has the whole screen back to all of it."""
        self.remove_class("-text-full")
        self._leave_full_chart()
        self._draw_line()

    def _leave_full_chart(self) -> None:
        if self.has_class("-chart-full"):
            self.remove_class("-chart-full")
            self._full(charts=False)

    def _full(self, *, charts: bool) -> None:
        grid = self._charts
        if grid.full != charts:
            grid.full = charts
            grid.draw()

    def action_metrics(self) -> None:
        """Choose the charts by an expression."""
        self.query_one(MetricsFilter).ask(self._charts.pattern)
        self._say_matches()

    def on_metrics_filter_typed(self, message: MetricsFilter.Typed) -> None:
        self._charts.pattern = message.pattern
        self._draw()
        self._say_matches()

    def on_metrics_filter_left(self, message: MetricsFilter.Left) -> None:
        self.set_focus(None)

    def _say_matches(self) -> None:
        pattern = self._charts.pattern
        history = self.followed.history if self.followed is not None else None
        names = history.names() if history is not None else []
        found = [name for name in names if pattern is None or pattern.search(name)]
        wrong = pattern is not None and not found
        text = f"{len(found)} of {len(names)} metrics"
        self.query_one(MetricsFilter).say(text, wrong=wrong)

    async def _overlay(self) -> None:
        workspace, shown = self.qtui.workspace, self.followed
        if shown is None:
            return

        def gather() -> list[Summary]:
            runs = folder.all_runs(workspace)
            return [summarize(run) for run in runs if run.path != shown.run.path]

        marked = [overlay.run.id for overlay in self.overlays]
        chosen = await self.app.push_screen_wait(
            RunsPicker("Lay the curves of which runs over these?", marked, gather)
        )
        if chosen is None or shown is not self.followed:
            return
        for overlay in self.overlays:
            if overlay.run.id not in chosen:
                overlay.close()
        kept = {o.run.id: o for o in self.overlays if o.run.id in chosen}
        self.overlays = [
            kept.get(name) or Followed(Run(workspace / folder.FOLDER / name), self._hand_over)
            for name in chosen
        ]
        self._draw()

    def action_overlay(self) -> None:
        """Choose other runs whose curves are laid over these."""
        self.run_worker(self._overlay())

    # -- the run -------------------------------------------------------------------------------

    def action_stop(self) -> None:
        """Ask the run to end."""
        self._ask(run_actions.stop)

    def action_save(self) -> None:
        """Ask the run for a checkpoint."""
        self._ask(run_actions.save_now)

    def action_resume(self) -> None:
        """Go on with a run that is over."""
        self._ask(run_actions.resume)

    def action_talk(self) -> None:
        """Talk to the run's adapter, or to its newest checkpoint while it has none."""
        if self.followed is not None:
            self.qtui.chat(self.followed.run.id)

    def _ask(self, action: Callable[[QtuiApp, Run], Awaitable[bool]]) -> None:
        if self.followed is not None:
            self.run_worker(self._asked(action, self.followed))

    async def _asked(
        self, action: Callable[[QtuiApp, Run], Awaitable[bool]], followed: Followed
    ) -> None:
        await action(self.qtui, followed.run)
        followed.wake()

    def action_seen(self) -> None:
        """Take away the alert that is shown."""
        if self._alerts is not None:
            self._alerts.dismiss()
            self._look_for_alerts()
            self._draw_status()

    def action_run(self, by: int) -> None:
        """Show the run that is older (1) or newer (-1) than this one."""
        self.run_worker(self._go_to_run(by), group="run", exclusive=True)

    async def _go_to_run(self, by: int) -> None:
        workspace, shown = self.qtui.workspace, self.followed
        if shown is None:
            return
        try:
            run = await off_loop(lambda: neighbour(workspace, shown.run, by))
        except QtuiError as error:
            self.qtui.say(error.message, "error")
            return
        if run is not None:
            self.show(run)
        else:
            self.qtui.say("This is the oldest run" if by > 0 else "This is the newest run")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What cannot be done to the run in its state is not offered."""
        followed = self.followed
        if action in ("stop", "save"):
            served = followed is not None and followed.status is state.Status.SERVING
            return (
                followed is not None
                and followed.status in LIVING
                and not (action == "save" and served)
            )
        if action == "leave":
            return self.has_class("-chart-full") or self.has_class("-text-full")
        if action == "resume":
            return followed is not None and (
                state.resumable(followed.status) or followed.status is state.Status.QUEUED
            )
        return True

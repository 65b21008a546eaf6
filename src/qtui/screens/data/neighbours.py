"""What the other screens know that the data screen wants to: their run, their form.

Nothing here waits: what has to be read is a function for a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtui.runs import folder
from qtui.runs.data_choices import SETTINGS, Choices
from qtui.runs.folder import Run
from qtui.screens.configure.screen import ConfigureScreen
from qtui.screens.data import subject
from qtui.screens.data.screen import DataScreen
from qtui.screens.data.subject import Subject
from qtui.screens.home.screen import HomeScreen
from qtui.screens.monitor.screen import MonitorScreen

if TYPE_CHECKING:
    from qtui.app import QtuiApp
    from qtui.config.form import Form


def finder(app: QtuiApp) -> Callable[[], Subject]:
    """Finds out which data to show, coming from the screen that is shown now: those of the run
    under the cursor, of the run that is watched, or of the form; else what was shown last."""
    workspace, screen = app.workspace, app.screen_stack[0]
    if isinstance(screen, HomeScreen) and screen.table.selected is not None:
        under = Run(workspace / folder.FOLDER / screen.table.selected.id)
        return lambda: subject.of_run_or_newest(under, workspace)
    if isinstance(screen, MonitorScreen) and screen.followed is not None:
        watched = screen.followed.run
        return lambda: subject.of_run(watched, workspace)
    if isinstance(screen, ConfigureScreen):
        form = screen.form
        return lambda: subject.of_form(form, workspace)
    shown = app.first_screen("data")
    if isinstance(shown, DataScreen) and shown.state.subject.run is not None:
        before = shown.state.subject
        return lambda: before
    return lambda: subject.newest(workspace)


def form_of(app: QtuiApp) -> Form:
    """What is set up on the Configure screen; a new form before that was ever shown."""
    from qtui.config import form as forms

    screen = app.first_screen("configure")
    return screen.form if isinstance(screen, ConfigureScreen) else forms.blank()


def choices_written(app: QtuiApp, path: Path, choices: Choices) -> None:
    """Bring the form on the Configure screen up to date where it shows the run file at `path`."""
    screen = app.first_screen("configure")
    if not isinstance(screen, ConfigureScreen) or screen.form.path is None:
        return
    if screen.form.path.absolute() != path.absolute():
        return
    form, whole = screen.form, not screen.form.unsaved
    for choice, name in SETTINGS.items():
        form = form.with_value(f"data.{name}", list(getattr(choices, choice)))
    screen.take(replace(form, saved=form.yaml()) if whole else form)

"""What the other screens know that the data screen wants to: their run, their form.

Nothing here waits: what has to be read is a function for a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qtui.runs import folder
from qtui.runs.data_choices import SETTINGS, Choices
from qtui.runs.folder import Run
from qtui.screens.data import subject
from qtui.screens.data.subject import Subject

if TYPE_CHECKING:
    from qtui.app import QtuiApp
    from qtui.config.form import Form
    from qtui.screens.configure.screen import ConfigureScreen
    from qtui.screens.data.screen import DataScreen
    from qtui.screens.home.screen import HomeScreen
    from qtui.screens.monitor.screen import MonitorScreen


def finder(app: QtuiApp) -> Callable[[], Subject]:
    """Finds out which data to show, coming from the screen that is shown now: those of the run
    under the cursor, of the run that is watched, or of the form; else what was shown last."""
    # Which screen it is, its mode says: to import all of them would take longer than the data do.
    workspace, mode, screen = app.workspace, app.current_mode, app.screen_stack[0]
    if mode == "home" and (selected := cast("HomeScreen", screen).table.selected) is not None:
        under = Run(workspace / folder.FOLDER / selected.id)
        return lambda: subject.of_run_or_newest(under, workspace)
    if mode == "monitor" and (followed := cast("MonitorScreen", screen).followed) is not None:
        watched = followed.run
        return lambda: subject.of_run(watched, workspace)
    if mode == "configure":
        form = cast("ConfigureScreen", screen).form
        return lambda: subject.of_form(form, workspace)
    shown = cast("DataScreen | None", app.first_screen("data"))
    if shown is not None and shown.state.subject.run is not None:
        before = shown.state.subject
        return lambda: before
    return lambda: subject.newest(workspace)


def form_of(app: QtuiApp) -> Form:
    """What is set up on the Configure screen; a new form before that was ever shown."""
    from qtui.config import form as forms

    screen = cast("ConfigureScreen | None", app.first_screen("configure"))
    return screen.form if screen is not None else forms.blank()


def choices_written(app: QtuiApp, path: Path, choices: Choices) -> None:
    """Bring the form on the Configure screen up to date where it shows the run file at `path`."""
    screen = cast("ConfigureScreen | None", app.first_screen("configure"))
    if screen is None or screen.form.path is None:
        return
    if screen.form.path.absolute() != path.absolute():
        return
    form, whole = screen.form, not screen.form.unsaved
    for choice, name in SETTINGS.items():
        form = form.with_value(f"data.{name}", list(getattr(choices, choice)))
    screen.take(replace(form, saved=form.yaml()) if whole else form)

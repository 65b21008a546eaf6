"""What the configure screen does with a form: open, save, copy as a command, launch.

Each is a conversation: it may ask, refuse, wait for the disk in a thread, and it always says what
came of it. The screen is whatever can be asked for its form and told about trouble.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtui.config import form as forms
from qtui.config.models import FineTuneConfig
from qtui.dashboard.background import off_loop
from qtui.errors import QtuiError
from qtui.screens.configure import files
from qtui.screens.configure.fit import examined
from qtui.screens.dialogs import Ask, Choice, Option
from qtui.system.fit import Fit
from qtui.terminal import clean

if TYPE_CHECKING:
    from qtui.screens.configure.screen import ConfigureScreen


async def open_file(screen: ConfigureScreen, path: Path) -> None:
    """Show the run file at `path`, or every line of it that is wrong."""
    try:
        form = await off_loop(lambda: forms.opened(path))
    except QtuiError as error:
        screen.show_trouble("The run file was not opened", error)
    else:
        screen.change(form)


async def save(screen: ConfigureScreen) -> None:
    """Write the run file where the user says; never over another without asking."""
    if screen.refuses():
        return
    form = screen.form
    name = str(form.path) if form.path else files.DEFAULT_NAME
    ask = Ask("Save the run file", "Its path:", name)
    given = (await screen.app.push_screen_wait(ask) or "").strip()
    if not given:
        return
    path = files.named(given, screen.qtui.workspace)
    if await off_loop(lambda: files.exists(path)):
        options = (
            Option("no", "n", "keep it as it is"),
            Option("yes", "y", "overwrite it; comments in it are lost"),
        )
        choice = Choice(f"{given} is there already", "", options)
        if await screen.app.push_screen_wait(choice) != "yes":
            return
    form = form.rebased(path.parent)
    try:
        await off_loop(lambda: files.write(path, form.yaml()))
    except QtuiError as error:
        screen.show_trouble("The run file was not written", error)
        return
    screen.take(replace(form, path=path, saved=form.yaml()))
    screen.qtui.say(f"{path} written. qtui train {path} starts it.")


async def copy_command(screen: ConfigureScreen) -> None:
    """The form as a command: to the clipboard if the terminal allows it, and to a file."""
    if screen.refuses():
        return
    workspace, form = screen.qtui.workspace, screen.form
    try:
        command, path = await off_loop(lambda: files.write_command(form, workspace))
    except QtuiError as error:
        screen.show_trouble("The command was not written", error)
        return
    screen.app.copy_to_clipboard(clean(command))
    screen.qtui.say(f"Copied, and written to {path}\n{command}")


async def launch(screen: ConfigureScreen) -> None:
    """Start the run, unless something is to mend or the user thinks better of it."""
    config, form, app = screen.form.config, screen.form, screen.qtui
    if screen.refuses() or config is None or screen.busy:
        return
    screen.set_busy("reckoning whether it fits")
    try:
        fit = await off_loop(lambda: examined(app, config))
        if not await _agreed(screen, config, fit):
            return
        screen.set_busy("starting the worker")
        run = await off_loop(lambda: files.start(form, config, app.workspace))
    except QtuiError as error:
        screen.show_trouble("The run was not started", error)
        return
    finally:
        screen.set_busy("")
    app.open_run(run)


async def _agreed(screen: ConfigureScreen, config: FineTuneConfig, fit: Fit) -> bool:
    """Whether to start although there is something to think about."""
    reasons = list(fit.too_small)
    if config.model.trust_remote_code:
        reasons.append(
            "trust_remote_code is on: Python code that comes with "
            f"{config.model.model_name} will run as you"
        )
    if not reasons:
        return True
    options = (Option("no", "n", "not now"), Option("yes", "y", "start it all the same"))
    choice = Choice("Start this run?", "\n".join(reasons), options)
    return await screen.app.push_screen_wait(choice) == "yes"

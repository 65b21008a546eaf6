"""What the data screen does that takes a while or asks: prepare, call off, drop and keep, copy.

Each is a conversation: it may ask or refuse, it waits for the disk in a thread, and it always says
what came of it.
"""

from __future__ import annotations

import hashlib
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtui import wording
from qtui.dashboard.background import off_loop
from qtui.dashboard.copying import command_file, copy_command
from qtui.errors import InputError, QtuiError
from qtui.runs import data_choices, folder, preparing
from qtui.runs.data_choices import Choice as Choice
from qtui.runs.data_choices import Choices
from qtui.runs.folder import Run
from qtui.screens.data import subject as subjects
from qtui.screens.data.subject import Subject
from qtui.screens.dialogs import Choice as Question
from qtui.screens.dialogs import Option
from qtui.screens.picker import Entry, Picker
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from qtui.config.form import Form
    from qtui.screens.data.screen import DataScreen


async def prepare(screen: DataScreen) -> None:
    """Start a worker on the data of the run file, the form or the run, and follow it."""
    from qtui.runs import prepare as look
    from qtui.screens.data.neighbours import form_of

    state, workspace = screen.state, screen.qtui.workspace
    if state.following or state.busy:
        return
    if absent := look.missing():
        screen.qtui.say(f"Data cannot be read here: {', '.join(absent)} not installed.", "error")
        return
    found, choices = state.subject, state.choices
    if found.run is None and found.form is None:
        found = replace(found, form=form_of(screen.qtui))
    screen.begin("starting the worker")

    def start() -> Subject:
        whole = subjects.with_file(found, workspace)
        form = _form(whole, choices)
        if form.config is None:
            problem = form.problems[0]
            raise InputError(f"{problem.key}: {problem.sentence}", remedy="2: mend it on Configure")
        words = _words(form, whole.file, workspace)
        run = preparing.begin(workspace, form.config, words)
        return subjects.of_run(run, workspace, whole.file)

    try:
        begun = await off_loop(start)
    except (QtuiError, OSError) as error:
        screen.fail("The preparation was not started", error)
        return
    screen.take(begun)


async def cancel(screen: DataScreen) -> None:
    """End the worker, remove what it made, and show what was there before."""
    run, workspace = screen.state.subject.run, screen.qtui.workspace
    if run is None or not screen.state.may_cancel:
        return
    file, form = screen.state.subject.file, screen.state.subject.form
    screen.begin("calling the preparation off")
    try:
        await off_loop(lambda: preparing.call_off(run))
    except (QtuiError, OSError) as error:
        screen.fail("The preparation was not called off", error)
        return
    screen.qtui.say(f"{run.name} was called off; nothing of it is left.")

    def before() -> Subject:
        found = subjects.newest(workspace)
        return found if found.run is not None else replace(found, file=file, form=form)

    screen.show(before, again=True)


async def choose(screen: DataScreen, choice: Choice) -> None:
    """Drop or keep the row at the next preparation, or take that back."""
    from qtui.screens.data.neighbours import choices_written

    state, app = screen.state, screen.qtui
    if state.page is None:
        return
    key, number = state.page.row.key, state.page.number + 1
    if not key:
        app.say(f"Row {number:,} has no key: it says nothing that could be used.", "warning")
        return
    if not state.subject.sought:
        app.say("The run file behind these data is still being looked for.")
        return
    wanted, file = state.choices.toggled(key, choice), state.subject.file
    if file is None:
        state.choices = wanted
        flags = shlex.join(wanted.flags()) or "no such list"
        app.say(
            "No run file is known for these data, so nothing was written.\n"
            f"{screen.key('data.command')} copies the command, with {flags}"
        )
        screen.draw()
        return
    if file not in screen.agreed:
        question = Question(
            f"Write it into {file.name}?",
            f"{file}\ndata.{data_choices.SETTINGS[choice]}, by the row's key {key}. "
            "Its comments and order stay. This is asked once.",
            (Option("yes", "y", "write it"), Option("no", "n", "leave the file as it is")),
        )
        if await app.push_screen_wait(question) != "yes":
            return
        screen.agreed.add(file)

    def write() -> Choices:
        # Somebody may have changed the file meanwhile: what it says now counts.
        fresh = data_choices.read(file).toggled(key, choice)
        data_choices.write(file, fresh)
        return fresh

    try:
        state.choices = await off_loop(write)
    except (QtuiError, OSError) as error:
        screen.fail("The run file was not changed", error)
        return
    choices_written(app, file, state.choices)
    done = {"drop": "dropped", "keep": "kept", None: "judged anew"}[state.choices.of(key)]
    app.say(f"Row {number:,} will be {done} at the next preparation; written to {file.name}.")
    screen.draw()


async def choose_run(screen: DataScreen) -> None:
    """Ask for the run whose data are shown."""
    workspace = screen.qtui.workspace
    current = screen.state.subject.run
    picker = Picker(
        "Data of which run",
        gather=lambda: _runs(workspace),
        current=current.id if current is not None else "",
    )
    chosen = await screen.app.push_screen_wait(picker)
    if chosen:
        run = Run(workspace / folder.FOLDER / chosen)
        screen.show(lambda: subjects.of_run(run, workspace), again=True)


def _runs(workspace: Path) -> list[Entry]:
    found = []
    for run in folder.all_runs(workspace):
        if not preparing.prepared(run):
            continue
        try:
            ago = wording.age(time.time() - run.spec.created)
            detail = f"{run.spec.kind}, {ago} ago"
        except QtuiError as error:
            detail = error.message
        found.append(Entry(run.id, clean_line(run.name), clean_line(detail, 60)))
    return found


async def copy(screen: DataScreen) -> None:
    """Copy the command that prepares the data as they are chosen now."""
    from qtui.screens.data.neighbours import form_of

    found, choices, workspace = screen.state.subject, screen.state.choices, screen.qtui.workspace
    if found.run is None and found.form is None:
        found = replace(found, form=form_of(screen.qtui))

    def words() -> list[str]:
        whole = subjects.with_file(found, workspace)
        flags = [] if whole.file is not None or choices == found.frozen else choices.flags()
        return [*_words(_form(whole, Choices()), whole.file, workspace, keep=True), *flags]

    try:
        command = await off_loop(words)
    except (QtuiError, OSError) as error:
        screen.fail("There is no command for these data", error)
        return
    await copy_command(screen.qtui, shlex.join(command))


def _form(found: Subject, choices: Choices) -> Form:
    """The settings that are prepared next: of the run file, of Configure, or of the run."""
    from qtui.config import form as forms
    from qtui.screens.home.run_config import config_of

    if found.file is not None:
        return forms.opened(found.file)
    if found.run is not None:
        form = forms.of_config(config_of(found.run))
    else:
        assert found.form is not None
        form = found.form
    for choice, name in data_choices.SETTINGS.items():
        if keys := getattr(choices, choice):
            form = form.with_value(f"data.{name}", list(keys))
    return form


def _words(form: Form, file: Path | None, workspace: Path, *, keep: bool = False) -> list[str]:
    """The words of `qtui prepare-data` for `form`; `keep`: its run file is written where it has
    to be, so that the command works."""
    from qtui.screens.configure import files

    if file is not None:
        form = replace(form, path=file, saved=form.yaml())
    text = form.rebased(command_file().parent).yaml()
    name = f"run-{hashlib.sha256(text.encode()).hexdigest()[:8]}.yaml"
    path = command_file().with_name(name)
    words = files.command(form, path, workspace)
    if keep and str(path) in words:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, text)
    return ["qtui", "prepare-data", *words[2:]]

"""What can be asked of a run from a screen: stop, save now, resume, delete.

Each is awaited in a worker of the screen, asks first where something could be lost, does the work
off the event loop, and says in a toast what came of it, with the command that does the same. They
return whether it was done. What the run makes of it shows where it is watched.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtui.dashboard.background import off_loop
from qtui.errors import InputError, QtuiError
from qtui.runs.folder import SERVE, Run
from qtui.screens.dialogs import Choice, Option
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from qtui.app import QtuiApp


def command(verb: str, *runs: Run) -> str:
    """The headless twin: `qtui runs VERB RUN`, as it can be typed."""
    return " ".join(["qtui runs", verb, *(shlex.quote(clean_line(run.id)) for run in runs)])


async def stop(app: QtuiApp, run: Run) -> bool:
    """Ask how, then ask the run's worker to end."""
    how = await app.push_screen_wait(await off_loop(lambda: _how_to_stop(run)))
    if how not in ("save", "discard"):
        return False

    def ask() -> None:
        from qtui.runs import launch

        launch.request_stop(run, save=how == "save")

    verb = "stop" if how == "save" else "stop --discard"
    return await _done(app, ask, f"{run.name} was asked to stop", command(verb, run))


def _how_to_stop(run: Run) -> Choice:
    """The question that fits the run's kind: only a training run has checkpoints."""
    cancel = Option("cancel", "c", "do not stop it")
    title = f"Stop {run.name}?"
    try:
        kind = run.spec.kind
    except QtuiError:  # damaged; its worker can be stopped all the same
        kind = "train"
    if kind == SERVE:
        said = "Answers that are under way end; nobody can talk to it any more."
        return Choice(title, said, (Option("save", "s", "stop it"), cancel))
    options = (
        Option("save", "s", "with a checkpoint: goes on from here when resumed"),
        Option("discard", "d", "without: what came after the last checkpoint is lost"),
        cancel,
    )
    return Choice(title, "The worker ends after the step it is at.", options)


async def save_now(app: QtuiApp, run: Run) -> bool:
    """Ask the run's worker for a checkpoint at its next step."""

    def ask() -> None:
        from qtui.runs.commands import send
        from qtui.runs.events import SaveNow

        if run.spec.kind == SERVE:
            raise InputError("a server has no checkpoints")
        send(run, SaveNow())

    said = f"{run.name} was asked for a checkpoint at its next step"
    return await _done(app, ask, said, command("save", run))


async def resume(app: QtuiApp, run: Run) -> bool:
    """Start the worker of a run that is over again, or of one that was never started."""
    from qtui.runs import launch

    try:
        await off_loop(lambda: launch.refuse_unless_over(run))
    except (QtuiError, OSError) as error:
        return _failed(app, error)
    app.say(f"The worker of {run.name} is being started; this takes some seconds")

    def start() -> None:
        launch.resume(run)

    return await _done(app, start, f"{run.name} goes on", command("resume", run))


async def delete(app: QtuiApp, run: Run) -> bool:
    """Ask, then remove the run's folder. A living run is not deleted."""
    from qtui.runs import folder, state

    try:
        living = await off_loop(lambda: state.worker_lives(run))
    except (QtuiError, OSError) as error:
        return _failed(app, error)
    if living:
        app.say(f"{run.name} has a living worker and is not deleted\nTry: stop it first", "warning")
        return False
    options = (
        Option("keep", "k", "keep it"),
        Option("delete", "y", "delete it for good"),
    )
    sentence = "Its log, checkpoints and adapter are removed from the disk for good."
    answer = await app.push_screen_wait(Choice(f"Delete {run.name}?", sentence, options))
    if answer != "delete":
        return False
    return await _done(
        app, lambda: folder.delete(run), f"{run.name} was deleted", command("delete", run)
    )


async def _done(app: QtuiApp, work: Callable[[], None], said: str, twin: str) -> bool:
    try:
        await off_loop(work)
    except (QtuiError, OSError) as error:
        return _failed(app, error)
    app.say(f"{said}\n{twin}")
    return True


def _failed(app: QtuiApp, error: QtuiError | OSError) -> bool:
    remedy = error.remedy if isinstance(error, QtuiError) else ""
    said = error.message if isinstance(error, QtuiError) else str(error)
    app.say(f"{said}\nTry: {remedy}" if remedy else said, "error")
    return False

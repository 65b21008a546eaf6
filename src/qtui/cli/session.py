"""What `train`, `quickstart`, `runs attach` and `runs resume` share: a run from start to end.

The exit code of following is the run's: 0 completed, 1 failed or interrupted (or what its last
event asks for), 130 stopped. Ctrl-C ends the following alone, also while the worker is still
starting. It ends the command with 130 too: `qtui train run.yaml && next` must not go on to `next`
while the run is still training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtui.cli.follow import Ending, follow
from qtui.cli.output import Output, Styled
from qtui.errors import EXIT_DONE, EXIT_FAILED, EXIT_STOPPED
from qtui.runs.events import FailedEvent
from qtui.runs.folder import SERVE
from qtui.runs.state import Status
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from qtui.runs.folder import Run


def start_and_follow(
    run: Run, start: Callable[[], int], out: Output, *, detached: bool, quiet: bool = False
) -> int:
    """Start the worker of `run` with `start`, then follow it to its end; returns the exit code.

    The run's id is said before the worker is there, so that whoever loses patience knows what to
    come back to. `detached`: return once the worker is there. `quiet`: see `follow_to_end`.
    """
    if not detached:
        _say_run(run, None, out, detached=False)
    out.status(f"starting the worker of {run.id}")
    try:
        pid = start()
    except KeyboardInterrupt:
        out.status("")
        if detached:
            _say_run(run, None, out, detached=True)
        _no_longer_following(run, out)
        return EXIT_STOPPED
    out.status("")
    if detached:
        _say_run(run, pid, out, detached=True)
        return EXIT_DONE
    return follow_to_end(run, out, write=out.note, quiet=quiet)


def _say_run(run: Run, pid: int | None, out: Output, *, detached: bool) -> None:
    """Say which run this is and, when it is left alone, how to come back to it."""
    if out.json:
        known = {"pid": pid} if pid is not None else {}
        out.document({"type": "run", "id": run.id, "path": str(run.path), **known})
    elif detached:
        out.line(run.id)
        if pid is not None:
            _ways_back(run, out)
    else:
        out.note(Styled(run.id, "bold"), "  (Ctrl-C stops following, not the run)")


def follow_to_end(run: Run, out: Output, *, write: Callable[..., None], quiet: bool = False) -> int:
    """Follow `run` until it ends or Ctrl-C; say how it ended; return the exit code.

    `quiet`: of a run that completed nothing is said, because the caller has more to say.
    """
    try:
        ending = follow(run, out, write=write)
    except KeyboardInterrupt:
        _no_longer_following(run, out)
        return EXIT_STOPPED
    code = exit_code(ending)
    if out.json:
        out.document(
            {
                "type": "result",
                "id": run.id,
                "status": ending.status.value,
                "exit_code": code,
                "adapter": str(run.adapter) if run.adapter.is_dir() else None,
            }
        )
    elif not (quiet and ending.status is Status.COMPLETED):
        _say_end(run, ending, out)
    return code


def exit_code(ending: Ending) -> int:
    """The exit code that stands for how a run ended."""
    if ending.status is Status.COMPLETED:
        return EXIT_DONE
    if ending.status is Status.STOPPED:
        return EXIT_STOPPED
    if isinstance(ending.end, FailedEvent):
        return ending.end.exit_code or EXIT_FAILED
    return EXIT_FAILED


def _say_end(run: Run, ending: Ending, out: Output) -> None:
    out.line(f"{run.id} is ", out.run_status(ending.status))
    if ending.status is Status.COMPLETED:
        for label, path in (("adapter", run.adapter), ("model", run.path / "model")):
            if path.is_dir():
                out.line(f"{label}  ", clean_line(str(path)))
        out.note(f"  qtui runs show {run.id}    how it went")
        out.note(f"  qtui runs plot {run.id}    the loss curve")
        return
    if isinstance(ending.end, FailedEvent):
        out.note(Styled("why  ", "red"), ending.end.message.replace("\n", "\n  "))
        if ending.end.remedy:
            out.note("try  ", ending.end.remedy.replace("\n", "\n  "))
    elif ending.status is Status.INTERRUPTED:
        out.note("The worker is gone without a word (killed, or the machine went down).")
    elif ending.status is Status.QUEUED:
        out.note("It was made but never started.")
    again = "serve again" if run.spec.kind == SERVE else "go on from the newest checkpoint"
    out.note(f"  qtui runs resume {run.id}            {again}")
    out.note(f"  qtui runs logs {run.id} --worker     what the worker printed")


def _no_longer_following(run: Run, out: Output) -> None:
    out.note("")
    out.note(f"No longer following. {run.id} goes on by itself.")
    _ways_back(run, out)


def _ways_back(run: Run, out: Output) -> None:
    out.note(f"  qtui runs attach {run.id}    follow it again")
    how = "stop it" if run.spec.kind == SERVE else "stop it, with a checkpoint"
    out.note(f"  qtui runs stop {run.id}      {how}")

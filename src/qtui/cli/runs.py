"""`qtui runs`: list, attach, logs, stop, save, resume, diff, delete.

Thin: each function finds the run, asks the core, prints. Nothing here keeps state of its own.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from qtui import wording
from qtui.cli.output import Cell, Column, Output, Styled
from qtui.errors import EXIT_DONE, InputError
from qtui.runs import folder
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from argparse import Namespace

    from qtui.runs.events import SettingValue
    from qtui.runs.summary import Summary


def list_runs(arguments: Namespace, out: Output) -> int:
    """`runs list`: every run of the workspace, newest first."""
    from qtui.runs.summary import summarize

    if arguments.limit is not None and arguments.limit < 1:
        raise InputError(
            f"--limit {arguments.limit} shows nothing", remedy="give a number of 1 or more"
        )
    summaries = [summarize(run) for run in folder.all_runs(arguments.workspace)[: arguments.limit]]
    if out.json:
        out.document(summaries)
    elif summaries:
        table(summaries, out)
    else:
        empty(out)
    return EXIT_DONE


def table(summaries: list[Summary], out: Output) -> None:
    """The runs as a table; on a narrow terminal without what is least missed."""
    now = time.time()
    header = [
        Column("RUN", flexible=True),
        Column("STATE"),
        Column("MODEL", flexible=True),
        Column("STEP", "right"),
        Column("LOSS", "right"),
        Column("EVAL", "right", optional=True),
        Column("TREND", optional=True),
        Column("AGE", "right"),
    ]
    rows: list[list[Cell]] = []
    names = Counter(summary.name for summary in summaries)
    for summary in summaries:
        # On a terminal the name is enough where it is unique; scripts get what never changes.
        short = out.stdout.isatty() and names[summary.name] == 1
        total = f"/{summary.total_steps}" if summary.total_steps else ""
        rows.append(
            [
                summary.name if short else summary.id,
                out.run_status(summary.status),
                clean_line(summary.model).rpartition("/")[2],
                wording.requests(summary.step)
                if summary.kind == folder.SERVE
                else f"{summary.step}{total}",
                wording.number(summary.loss),
                wording.number(summary.eval_loss),
                wording.trend(summary.trend, 8, unicode=out.unicode),
                wording.age(now - summary.created) if summary.created else "",
            ]
        )
    out.table(header, rows)


def empty(out: Output) -> None:
    """What to do in a workspace without runs."""
    out.note("No runs here yet.")
    out.note("  qtui quickstart                   see it work: built-in model and data, no GPU")
    out.note("  qtui init run.yaml                write a run file to edit, then")
    out.note("  qtui train run.yaml               train")


def attach(arguments: Namespace, out: Output) -> int:
    """`runs attach`: the log from its beginning, then live until the run has ended."""
    from qtui.cli.session import follow_to_end

    run = folder.find(arguments.workspace, arguments.run)
    return follow_to_end(run, out, write=out.line)


def logs(arguments: Namespace, out: Output) -> int:
    """`runs logs`: the run's events as lines, or the worker's own output."""
    run = folder.find(arguments.workspace, arguments.run)
    if arguments.worker:
        return _worker_log(run, out, follow=arguments.follow)
    from qtui.cli import follow as following
    from qtui.runs.log import EventReader

    if arguments.follow:
        following.follow(run, out, write=out.line)
        return EXIT_DONE
    view = following.EventView(out, out.line)
    for event in EventReader(run.events).poll():
        view.take(event)
    return EXIT_DONE


def _worker_log(run: folder.Run, out: Output, *, follow: bool) -> int:
    """Copy worker.log to stdout as text; with `follow` until the worker is gone."""
    from qtui.runs.state import worker_lives

    if not run.worker_log.is_file():
        out.note("the worker has printed nothing")
        return EXIT_DONE
    with open(run.worker_log, encoding="utf-8", errors="replace") as file:
        while True:
            held = follow and worker_lives(run)
            for line in file:
                if out.json:
                    out.document({"line": line.rstrip("\n")})
                else:
                    out.stdout.write(line)
            out.flush()
            if not held:
                return EXIT_DONE
            time.sleep(0.2)


def stop(arguments: Namespace, out: Output) -> int:
    """`runs stop`: ask for the end, with a checkpoint or without."""
    from qtui.runs import launch

    run = folder.find(arguments.workspace, arguments.run)
    launch.request_stop(run, save=not arguments.discard)
    if arguments.wait:
        out.status(f"waiting for {run.id} to stop")
        status = launch.wait(run)
        out.status("")
        if out.json:
            out.document({"id": run.id, "status": status.value})
        else:
            out.line(f"{run.id} is ", out.run_status(status))
        return EXIT_DONE
    if out.json:
        out.document({"id": run.id, "requested": "discard" if arguments.discard else "save"})
    else:
        how = " without a checkpoint" if arguments.discard else " with a checkpoint"
        out.line(f"{run.id} was asked to stop{how if run.spec.kind == 'train' else ''}")
        out.note(f"  qtui runs attach {run.id}    see it end")
    return EXIT_DONE


def save(arguments: Namespace, out: Output) -> int:
    """`runs save`: ask for a checkpoint at the next step."""
    from qtui.runs.commands import send
    from qtui.runs.events import SaveNow

    run = folder.find(arguments.workspace, arguments.run)
    if run.spec.kind != "train":
        raise InputError(
            f"{run.id} is a run of kind {clean_line(run.spec.kind)}: it has no checkpoints",
            remedy="name a training run; see qtui runs list",
        )
    send(run, SaveNow())
    if out.json:
        out.document({"id": run.id, "requested": "checkpoint"})
    else:
        out.line(f"{run.id} was asked for a checkpoint at its next step")
    return EXIT_DONE


def resume(arguments: Namespace, out: Output) -> int:
    """`runs resume`: start the worker again; it goes on from its newest whole checkpoint."""
    from qtui.cli.session import start_and_follow
    from qtui.runs import launch

    run = folder.find(arguments.workspace, arguments.run)
    launch.refuse_unless_over(run)
    if arguments.overrides and run.spec.kind == folder.SERVE:
        raise InputError(
            f"{run.id} is a server: it serves again as it did, without --set",
            remedy="start another with qtui serve and the options wanted",
        )
    changed = _changed(run, arguments.overrides, out) if arguments.overrides else {}
    return start_and_follow(
        run, lambda: launch.resume(run, overrides=changed), out, detached=arguments.detach
    )


def _changed(run: folder.Run, assignments: list[str], out: Output) -> dict[str, SettingValue]:
    """What --set asks for, checked with the settings that earlier resumes left in force.

    What it does to the rows of a step is made up for, or said.
    """
    from qtui.config import resumable
    from qtui.runs import series

    in_force = {key: override.value for key, override in series.load(run).overrides.items()}
    config = resumable.merged(run.spec.config, in_force)
    changed = resumable.overrides(config, assignments)
    further, sentence = resumable.effective_batch(config, changed)
    if sentence:
        out.note(sentence)
    return changed | further


def diff(arguments: Namespace, out: Output) -> int:
    """`runs diff`: settings and versions that two runs do not share."""
    from qtui.runs import compare

    left = folder.find(arguments.workspace, arguments.left)
    right = folder.find(arguments.workspace, arguments.right)
    differences = compare.diff(left, right)
    if out.json:
        out.document({"left": left.id, "right": right.id, "differences": differences})
    elif differences:
        header = [
            Column("KEY"),
            Column(left.name, flexible=True),
            Column(right.name, flexible=True),
        ]
        out.table(header, [[d.key, _value(d.left), _value(d.right)] for d in differences])
    else:
        out.line(f"{left.id} and {right.id} have the same settings and versions")
    return EXIT_DONE


def _value(value: object) -> Cell:
    if value is None:
        return Styled("-", "dim")
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def delete(arguments: Namespace, out: Output) -> int:
    """`runs delete`: remove a run's folder, after asking on a terminal."""
    run = folder.find(arguments.workspace, arguments.run)
    if not arguments.yes:
        if not sys.stdin.isatty() or out.json:
            raise InputError(
                f"{run.id} was not deleted: nobody is here to ask",
                remedy="say --yes to delete it with everything in it",
            )
        out.stderr.write(f"Delete {clean_line(run.id)} with its checkpoints and adapter? [y/N] ")
        out.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            out.note("nothing was deleted")
            return EXIT_DONE
    folder.delete(run)
    if out.json:
        out.document({"id": run.id, "deleted": True})
    else:
        out.line(f"{run.id} was deleted")
    return EXIT_DONE

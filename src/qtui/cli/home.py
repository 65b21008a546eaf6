"""`qtui` without a command: the runs of this folder, the GPUs, and what to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtui.cli import runs, system
from qtui.cli.output import Output, Styled
from qtui.errors import EXIT_DONE
from qtui.runs.folder import all_runs
from qtui.runs.summary import summarize

if TYPE_CHECKING:
    from argparse import Namespace

_SHOWN = 10


def home(arguments: Namespace, out: Output) -> int:
    """Print what the dashboard's first screen shows."""
    from qtui.system import gpu

    found = all_runs(arguments.workspace)
    summaries = [summarize(run) for run in found[:_SHOWN]]
    snapshot = gpu.read_once()
    if out.json:
        out.document({"runs": summaries, "gpus": snapshot})
        return EXIT_DONE
    for line in system.gpu_lines(snapshot):
        out.line(*line)
    if not summaries:
        runs.empty(out)
        return EXIT_DONE
    out.line("")
    runs.table(summaries, out)
    if len(found) > _SHOWN:
        out.note(f"and {len(found) - _SHOWN} more: qtui runs list")
    latest = summaries[0]
    if latest.message:
        out.line("")
        out.line(latest.id, "  ", latest.message)
        if latest.remedy:
            out.line(Styled("try  ", "dim"), latest.remedy)
    out.note("")
    out.note("  qtui runs show latest    how the newest run went")
    out.note("  qtui --help              all commands")
    return EXIT_DONE

"""`qtui` without a command: the dashboard on a terminal; elsewhere what its first screen shows.

`qtui web` starts it for a browser tab, and says so in the environment. A pipe, cron, `--json` and
`--headless` get text or JSON, and an end.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from qtui.cli import runs, system
from qtui.cli.output import Output, Styled
from qtui.dashboard.browser.tab import take_size
from qtui.errors import EXIT_DONE
from qtui.runs.folder import all_runs
from qtui.runs.summary import summarize

if TYPE_CHECKING:
    from argparse import Namespace

_SHOWN = 10


def home(arguments: Namespace, out: Output) -> int:
    """Open the dashboard, or print what it would show."""
    tab = take_size()
    if arguments.headless or out.json or not (tab or on_terminal()):
        return _print(arguments, out)
    from qtui.cli.dashboard import open_dashboard

    out.flush()
    return open_dashboard(arguments.workspace, tab)


def on_terminal() -> bool:
    """Whether somebody sits at both ends, before a terminal that can move its cursor."""
    return (
        sys.stdin is not None
        and sys.stdin.isatty()
        and sys.stdout.isatty()
        and os.environ.get("TERM", "") not in ("", "dumb")
    )


def _print(arguments: Namespace, out: Output) -> int:
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

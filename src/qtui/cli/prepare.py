"""`qtui prepare-data`: the data of a run file as the model will see them, and nothing trained.

A run of its own (kind `prepare`): it can be left, attached to, stopped and resumed like any other,
the dashboard shows what it made, and a training run on the same data takes it over.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qtui.cli import data_report
from qtui.cli.config import load
from qtui.cli.output import Output, Styled
from qtui.cli.session import start_and_follow
from qtui.errors import EXIT_DONE
from qtui.runs import folder, launch, series
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from argparse import Namespace


def prepare_data(arguments: Namespace, out: Output) -> int:
    """`prepare-data`: ends as its run does; with --json one document, the report."""
    from qtui.config.load import resolve_dict
    from qtui.runs.dataset import Dataset

    config = load(arguments)
    run = folder.create(
        arguments.workspace,
        kind="prepare",
        config=resolve_dict(config),
        command=["qtui", *sys.argv[1:]],
        name=arguments.name or config.training.run_name,
    )
    # A document is one: what happens meanwhile is told beside it.
    told = out if arguments.detach or not out.json else Output(out.stderr, out.stderr)
    code = start_and_follow(
        run, lambda: launch.launch(run), told, detached=arguments.detach, quiet=True
    )
    if arguments.detach:
        return code
    if code != EXIT_DONE:
        if out.json:
            out.document({"run": run.id, "path": str(run.data), "report": None,
                          "end": series.load(run).end})  # fmt: skip
        return code
    with Dataset(run.data) as prepared:
        report = prepared.report
    if out.json:
        out.document({"run": run.id, "path": str(run.data), "report": report})
        return code
    data_report.everything(report, out)
    if config.data.output_path:
        out.line(Styled("files     ", "bold"), clean_line(config.data.output_path))
    out.note("")
    out.note("  qtui                  look at every row: Data (key 3)")
    out.note(f"  qtui train {clean_line(str(arguments.path or ''))}    takes what was prepared")
    return code

"""`qtui validate`: the settings, then the data as the model will see them, then the fit.

The data are read by a worker, as a run would read them (kind `prepare`), in a temporary
workspace: what is shown here is what training would train on, and nothing of it stays.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtui.cli import data_report, fit
from qtui.cli.output import Output, Styled
from qtui.errors import EXIT_DONE, EXIT_IMPOSSIBLE

if TYPE_CHECKING:
    from argparse import Namespace

    from qtui.config.load import Loaded
    from qtui.config.models import FineTuneConfig
    from qtui.runs.folder import Run

_PIP = "bash scripts/setup.sh in the checkout, or pip install '.[train]', adds them"


def validate(arguments: Namespace, out: Output) -> int:
    """`validate`: ends with 2 for what is wrong in run file or data, 4 for what is too big."""
    from qtui.config.load import load_with_sources, resolve_dict
    from qtui.runs import prepare
    from qtui.system.fit import examine

    loaded = load_with_sources(
        Path(arguments.path), preset=arguments.preset, overrides=arguments.overrides
    )
    if not out.json:
        preset = f" (preset {loaded.preset})" if loaded.preset else ""
        out.line(Styled("settings  ", "bold"), "all valid", preset)
        if arguments.verbose:
            _sources(loaded, out)
    report, unchecked = None, ""
    missing = prepare.missing()
    if arguments.no_data:
        unchecked = "not checked, as asked with --no-data"
    elif missing:
        unchecked = f"not checked: {', '.join(missing)} not installed; {_PIP}"
    else:
        report = _prepare(loaded.config, out)
    found = examine(loaded.config, arguments.workspace)
    if out.json:
        out.document(
            {
                "valid": True,
                "config": resolve_dict(loaded.config),
                "sources": {key: str(s.layer) for key, s in loaded.sources.items()},
                "data": report,
                "data_unchecked": unchecked,
                "fit": found.as_document(),
            }
        )
    else:
        if report is not None:
            data_report.show(report, out)
        else:
            out.line(Styled("data      ", "bold"), unchecked)
        out.line("")
        fit.show(found, out)
    return EXIT_IMPOSSIBLE if found.too_small else EXIT_DONE


def _sources(loaded: Loaded, out: Output) -> None:
    """Each setting with its value and the place that it came from."""
    from qtui.cli.output import Column
    from qtui.config.template import scalar

    header = [Column("SETTING"), Column("VALUE", flexible=True), Column("FROM", flexible=True)]
    rows: list[list[str | Styled]] = []
    for section, settings in loaded.config.model_dump(mode="json").items():
        for name, value in settings.items():
            source = loaded.sources[f"{section}.{name}"]
            place = f"{source.layer} {source.place}".strip()
            default = str(source.layer) == "default"
            rows.append(
                [f"{section}.{name}", scalar(value), Styled(place, "dim") if default else place]
            )
    out.table(header, rows)


def _prepare(config: FineTuneConfig, out: Output) -> dict[str, Any]:
    """Let a worker read the data; returns its report. Raises what it says is wrong."""
    from qtui.cli.follow import follow
    from qtui.runs import launch, prepare

    def attend(run: Run) -> None:
        if out.json:
            launch.wait(run)
        else:
            follow(run, out, write=lambda *_: None)

    return prepare.prepare(config, command=["qtui", "validate"], attend=attend).report

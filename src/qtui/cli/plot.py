"""`qtui runs plot`: curves of one or more runs, in the terminal or as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtui.errors import EXIT_DONE, InputError
from qtui.runs import series
from qtui.runs.folder import find
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from argparse import Namespace

    from qtui.cli.output import Output

_LARGEST = 24  # rows of a chart in a tall terminal


def plot(arguments: Namespace, out: Output) -> int:
    """`runs plot`: the metrics asked for (default: loss) of every run named."""
    import shutil

    found = [find(arguments.workspace, ref) for ref in arguments.runs]
    names = [run.name for run in found]
    histories = {
        run.name if names.count(run.name) == 1 else run.id: series.load(run) for run in found
    }
    metrics = list(dict.fromkeys(arguments.metrics)) or ["loss"]
    if arguments.output is not None:
        path = _picture(histories, metrics, Path(arguments.output), force=arguments.force)
        if out.json:
            out.document({"path": str(path)})
        else:
            out.line(f"{path} written")
        return EXIT_DONE
    if out.json:
        out.document(
            {
                label: {
                    name: dict(zip(("steps", "values"), history.metric(name), strict=True))
                    for name in metrics
                }
                for label, history in histories.items()
            }
        )
        return EXIT_DONE
    from qtui.runs.plot import draw

    rows = shutil.get_terminal_size((80, 24)).lines - 2
    height = min(max(rows, 8), _LARGEST)
    out.line(draw(histories, metrics, out.width - 1, height, ascii=not out.unicode))
    return EXIT_DONE


def _picture(
    histories: dict[str, series.History], metrics: list[str], path: Path, *, force: bool
) -> Path:
    from qtui.runs.picture import write

    if path.exists() and not force:
        raise InputError(
            f"{clean_line(str(path))} is there already",
            remedy="give another name, or --force to overwrite it",
        )
    write(path, histories, metrics, title=", ".join(metrics))
    return path

"""`qtui estimate`: memory and disk that a run will need, itemised, before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtui.cli import config, fit
from qtui.errors import EXIT_DONE, EXIT_IMPOSSIBLE

if TYPE_CHECKING:
    from argparse import Namespace

    from qtui.cli.output import Output


def estimate(arguments: Namespace, out: Output) -> int:
    """`estimate`: ends with 4 when what is free here is known to be too little."""
    from qtui.system.fit import examine

    loaded = config.load(arguments)
    found = examine(loaded, arguments.workspace, device=arguments.device)
    if out.json:
        out.document(found.as_document())
    else:
        fit.show(found, out)
    return EXIT_IMPOSSIBLE if found.too_small else EXIT_DONE

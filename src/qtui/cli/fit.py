"""Shows whether a run fits on this machine: see `qtui.system.fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtui import wording
from qtui.cli.output import Column, Output, Styled

if TYPE_CHECKING:
    from qtui.system.fit import Fit


def show(fit: Fit, out: Output) -> None:
    """The fit as lines: items with their band, then the verdict and the disk."""
    if fit.estimate is None:
        out.line("memory  ", Styled("not known: ", "yellow"), fit.unknown)
        return
    needed = fit.estimate
    trained = f"{needed.trained_parameters:,} of {needed.parameters:,} parameters trained"
    out.line(Styled(needed.model, "bold"), f" on {fit.device}: {trained}")
    header = [
        Column("MEMORY"),
        Column("LOW", "right"),
        Column("LIKELY", "right"),
        Column("HIGH", "right"),
        Column("", flexible=True),
    ]
    rows = [
        [item.name, *(wording.size(n) for n in (item.low, item.likely, item.high)), item.detail]
        for item in needed.items
    ]
    rows.append(["total", *(wording.size(n) for n in (needed.low, needed.likely, needed.high)), ""])
    out.table(header, rows)
    for note in needed.notes:
        out.line(Styled("note  ", "dim"), note)
    out.line("")
    if fit.verdict is not None:
        style = {"fits": "green", "tight": "yellow"}.get(fit.verdict.result, "red")
        out.line("memory  ", Styled(fit.verdict.sentence, style))  # type: ignore[arg-type]
    else:
        out.line("memory  no GPU is visible here to hold it against")
    if fit.disk is not None:
        out.line(
            f"disk    {wording.size(fit.disk.in_workspace)} in the run folder, "
            f"{wording.size(fit.disk_free)} free"
        )

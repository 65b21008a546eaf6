"""The report on prepared data as a person reads it: what `validate` and `prepare-data` print."""

from __future__ import annotations

from typing import Any

from qtui import wording
from qtui.cli.output import Output, Style, Styled
from qtui.runs.dataset import found_kinds

_STYLES: dict[str, Style] = {"error": "red", "warning": "yellow"}
_SHOWN_SOURCES = 12


def show(report: dict[str, Any], out: Output) -> None:
    """Print it: what is trained on, how long it is, where it comes from, what was found."""
    lengths = report["lengths"]
    out.line(
        Styled("data      ", "bold"),
        f"{report['train_rows']:,} rows to train on, {report['validation_rows']:,} held out",
    )
    for label, text in (
        ("trained", f"{report['trained_tokens']:,} of {report['tokens']:,} tokens "
                    f"({report['trained_share']:.1%})"),
        ("lengths", f"half up to {lengths['p50']:,} tokens, 99 % up to {lengths['p99']:,}, "
                    f"longest {lengths['max']:,}; cut at {report['max_seq_length']:,}"),
        ("truncated", f"{report['rows_truncated']:,} rows"),
        ("dropped", f"{report['rows_dropped']:,} rows with nothing of the answer left"),
        ("unusable", f"{report['rows_bad']:,} of {report['rows_read']:,} rows"),
    ):  # fmt: skip
        out.line(Styled(f"  {label:<10}", "dim"), text)
    for sentence in report["suggestions"]:
        out.line("  ", Styled("try  ", "yellow"), sentence)
    findings(report, out)


def everything(report: dict[str, Any], out: Output) -> None:
    """Print it with what became of the rows, and its sources."""
    show(report, out)
    parts = {name: count for name, count in report["parts"].items() if count}
    out.line("")
    became = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in parts.items())
    out.line(Styled("rows      ", "bold"), became)
    if report.get("cleaned"):
        changes = ", ".join(f"{what} in {count:,}" for what, count in report["cleaned"].items())
        out.line(Styled("cleaned   ", "bold"), changes)
    for source in report["sources"][:_SHOWN_SOURCES]:
        count = source["findings"]
        found = f", {count:,} finding{'s' if count > 1 else ''}" if count else ""
        out.line(f"  {source['rows']:>9,}  ", source["name"], Styled(found, "yellow"))
    more = len(report["sources"]) - _SHOWN_SOURCES
    if more > 0:
        out.line(f"  and {more} more sources")
    facts = []
    if report.get("packing_efficiency", 1) < 1:
        facts.append(f"{report['packing_efficiency']:.1%} of a batch are tokens, the rest padding")
    if report.get("epoch_seconds"):
        cost = report.get("epoch_cost")
        price = f", {cost:.2f} at your price of an hour" if cost else ""
        facts.append(f"an epoch takes about {wording.duration(report['epoch_seconds'])}{price}")
    for fact in facts:
        out.line("  ", fact)


def findings(report: dict[str, Any], out: Output) -> None:
    """Print what was found, a kind at a time: how often, and the first of them with its place."""
    for found in found_kinds(report):
        for sentence in found.sentences:
            style = _STYLES.get(found.level, "dim")
            out.line("  ", Styled(f"{found.level:<8}", style), sentence)
        more = found.count - len(found.sentences)
        if more > 0:
            like = " more" if found.sentences else ""
            out.line(" " * 10, Styled(f"and {more:,}{like} of the kind {found.kind}", "dim"))

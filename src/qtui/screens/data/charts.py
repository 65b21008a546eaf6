"""Whole pages about all rows: histograms of lengths, parts, sources and findings, as bars."""

from __future__ import annotations

from collections.abc import Sequence

from qtui.screens.data import facts
from qtui.screens.data.drawing import SIGNS, STYLES
from qtui.screens.data.facts import KindOf, Report, Source
from qtui.screens.data.signs import MUTED, Signs, Writer
from qtui.terminal import columns, cut
from qtui.widgets.marked_text import Laid

_EIGHTHS = " ▏▎▍▌▋▊▉"


def charts(report: Report, kinds: Sequence[KindOf], width: int, *, unicode: bool) -> Laid:
    """Lengths, parts, sources and findings, one under the other."""
    writer = Writer(Signs(unicode))
    _lengths(writer, report, width, unicode)
    parts = [
        (name.replace("_", " "), float(count), "")
        for name in facts.section(report, "parts")
        if (count := facts.number(facts.section(report, "parts"), name)) is not None
    ]
    _chart(writer, "Parts, rows of each", parts, width, unicode)
    sources = [(source.name, float(source.rows), "") for source in facts.sources(report)]
    _chart(writer, "Sources, rows of each", sources, width, unicode)
    found = [
        (f"{SIGNS[kind.level][0 if unicode else 1]} {kind.words}", float(kind.count),
         STYLES[kind.level])
        for kind in kinds
    ]  # fmt: skip
    _chart(writer, "Findings, how many of each kind", found, width, unicode)
    suggestions = report.get("suggestions")
    for text in suggestions if isinstance(suggestions, list) else []:
        writer.own("try  ", "$warning")
        writer.foreign(f"{text}\n")
    return writer.pen.lay_out(width)


def source_page(found: Sequence[Source], width: int, *, unicode: bool) -> Laid:
    """All sources with their rows, those used, and their findings."""
    writer = Writer(Signs(unicode))
    room = max(width - 32, 10)
    writer.line(f" {'SOURCE':<{room}}{'ROWS':>10}{'USED':>10}{'FINDINGS':>10}", "bold")
    for source in found:
        name = cut(source.name, room - 1)
        name += " " * (room - columns(name))
        writer.own(f" {name}{source.rows:>10,}{source.used:>10,}")
        writer.own(f"{source.findings:>10,}\n", "$warning" if source.findings else MUTED)
    if not found:
        writer.line(" The report does not tell the sources: prepare the data again.", MUTED)
    return writer.pen.lay_out(width)


def _lengths(writer: Writer, report: Report, width: int, unicode: bool) -> None:
    bars = facts.histogram(report)
    limit = facts.number(report, "max_seq_length")
    labels = [
        (f"{low:,.0f} to {high - 1:,.0f}", float(count),
         "$warning" if limit is not None and low >= limit else "")
        for low, high, count in bars
    ]  # fmt: skip
    _chart(writer, "Lengths in tokens, rows of each", labels, width, unicode)
    said = facts.length_line(report, width - 24)
    if limit is not None:
        said += f"  max_seq_length {limit:,.0f}"
    if said:
        writer.line(f" {said.strip()}", MUTED)
        writer.line()


def _chart(
    writer: Writer, title: str, bars: Sequence[tuple[str, float, str]], width: int, unicode: bool
) -> None:
    if not bars:
        return
    writer.line(title, "bold")
    names = min(max(columns(name) for name, *_ in bars), max(width // 3, 8))
    counts = max(len(f"{count:,.0f}") for _, count, _ in bars)
    room = max(width - names - counts - 5, 4)
    most = max(count for _, count, _ in bars) or 1.0
    for name, count, style in bars:
        name = cut(name, names)
        name += " " * (names - columns(name))
        writer.own(f" {name} {count:>{counts},.0f}  ")
        writer.own(f"{_bar(count / most, room, unicode)}\n", style or "$accent")
    writer.line()


def _bar(share: float, width: int, unicode: bool) -> str:
    if not unicode:
        return "#" * max(round(share * width), 1 if share > 0 else 0)
    eighths = max(round(share * width * 8), 1 if share > 0 else 0)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()

"""The lines around the row: what the data are, where the row comes from, findings, sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from qtui import wording
from qtui.runs.dataset import Finding
from qtui.screens.data import facts
from qtui.screens.data.asked import Page
from qtui.screens.data.facts import KindOf, Report, Source
from qtui.screens.data.views import VIEWS
from qtui.terminal import clean_line, columns, cut

MUTED = "$text-muted"
SIGNS = {"error": ("✗", "x"), "warning": ("!", "!"), "note": ("·", "-")}
STYLES = {"error": "$error", "warning": "$warning", "note": MUTED}


@dataclass(frozen=True)
class Around:
    """What all lines are drawn for: the width, whether anything but ASCII may be drawn, and the
    folder that all sources are in."""

    width: int
    unicode: bool
    root: str = ""

    @property
    def rule(self) -> str:
        return "─" if self.unicode else "-"

    @property
    def marker(self) -> str:
        return "▸" if self.unicode else ">"

    @property
    def separator(self) -> str:
        return "│" if self.unicode else "|"


def beside(left: Content, right: Content, width: int) -> Content:
    """Two texts at both ends of a line; the right one is left out where it has no room."""
    gap = width - left.cell_length - right.cell_length - 1
    return Content.assemble(left, " " * gap, right) if gap >= 2 else left


def heading(title: str, twin: str, around: Around) -> Content:
    """A line that separates, with a title and the command that does the same."""
    rule, width = around.rule, around.width
    left = f"{rule * 2} {title} " if title else ""
    room = max(width - columns(left) - 6, 0)
    twin = cut(twin, room)
    right = f" {twin} {rule * 2}" if twin else ""
    filling = rule * max(width - columns(left) - columns(right), 0)
    return Content.styled(cut(left + filling + right, width), MUTED)


def head(name: str, origin: str, rows: int, report: Report, around: Around) -> list[Content]:
    """Two lines: the run, what its data come from, how many rows; their parts and trained share."""
    arrow = "→" if around.unicode else "->"
    said = f"{rows:,} row{'s' if rows != 1 else ''}"
    room = max(around.width - columns(said) - columns(name) - 10, 8)
    first = Content.assemble(" ", (name, "bold"), f"  {cut(origin, room)} {arrow} ", (said, "bold"))
    second = Content(f" {facts.parts_line(report)}")
    more = facts.more(report)
    while more and first.cell_length + len(", ".join(more)) + 3 > around.width:
        more.pop()
    return [
        beside(first, Content.styled(", ".join(more), MUTED), around.width),
        beside(second, Content(facts.trained_line(report)), around.width),
    ]


# ---- the row -------------------------------------------------------------------------------------


def row_head(
    page: Page, rows: int, filter_name: str, choice: str, lines: int, around: Around
) -> list[Content]:
    """Which row it is and what became of it, where it comes from (`lines` of these), the views."""
    number = f" row {page.number + 1:,} of {rows:,}  "
    only = "only " if filter_name != "all" else ""
    part = Content.styled(only + facts.PARTS[page.part], "" if page.part.used else "$warning")
    first = Content.assemble((number, "bold"), part)
    if choice:  # what will be is more than what was
        whole = f"{choice} at the next preparation"
        room = around.width - columns(number)
        said = Content.styled(whole if len(whole) <= room else choice, "bold $warning")
        fits = first.cell_length + 2 + said.cell_length <= around.width
        first = Content.assemble(first if fits else (number, "bold"), "  " if fits else "", said)
    return [first, *_provenance(page, lines, around), tabs(page.ask.look.view, around)]


def _provenance(page: Page, lines: int, around: Around) -> list[Content]:
    """File, line, page, chunk, headings and key of a row, in as many lines."""
    row = page.row
    said = [f"{facts.short(row.source, around.root)}:{row.line}"]
    said += [f"page {row.page}"] if row.page else []
    said += [f"chunk {row.chunk}"] if row.chunk else []
    said += [" > ".join(clean_line(text) for text in row.headings)] if row.headings else []
    said += [f"from row {row.derived + 1:,}"] if row.derived is not None else []
    said += [clean_line(row.language)] if row.language else []
    said += [f"key {clean_line(row.key)}"] if row.key else []
    found = [f" {said[0]}"]
    for text in said[1:]:
        if len(found) < lines and columns(f"{found[-1]}  {text}") > around.width:
            found.append(f" {text}")
        else:
            found[-1] += f"  {text}"
    found += [""] * (lines - len(found))
    return [Content.styled(line, MUTED) for line in found]


def tabs(view: str, around: Around) -> Content:
    """The views, that which is shown reversed."""
    parts: list[Content | str] = [" "]
    for name in VIEWS:
        parts.append(Content.styled(f" {name} ", "reverse bold" if name == view else MUTED))
        parts.append("" if name == VIEWS[-1] else Content.styled(around.separator, MUTED))
    return Content("").join([part if isinstance(part, Content) else Content(part)
                             for part in parts])  # fmt: skip


def row_foot(page: Page, lines: int, around: Around) -> list[Content]:
    """What there is to say about the row in this view, then its findings."""
    found = [_said_of(page)]
    room = lines - 1
    shown = page.findings[: room if len(page.findings) <= room else max(room - 1, 1)]
    found += [said(finding, around, place=False) for finding in shown]
    if len(page.findings) > len(shown) and room > len(shown):
        found.append(Content.styled(f" and {len(page.findings) - len(shown)} more", MUTED))
    return [*found, *[Content("")] * (lines - len(found))][:lines]


def _said_of(page: Page) -> Content:
    tokens, done = page.tokens, ", ".join(clean_line(text) for text in page.row.done)
    view = page.ask.look.view
    if view == "raw":
        return Content.styled(" as it was read", MUTED)
    if view == "cleaned":
        when = "before cleaning" if page.ask.look.before else "cleaned"
        changed = f"{when}: {done}" if done else "cleaning changed nothing"
        return Content(f" {changed}")
    if tokens is None:
        return Content.styled(f" {facts.PARTS[page.part]}", "$warning")
    whole = len(tokens.ids) // 4
    text = Content(f" trained {tokens.trained_tokens:,} of {tokens.kept:,} tokens")
    if whole > tokens.kept:
        behind = f", {whole - tokens.kept:,} more are cut off"
        text = Content.assemble(text, (behind, "$warning"))
    return text


def said(finding: Finding, around: Around, *, place: bool) -> Content:
    """A finding in one line, its sign first."""
    sign = SIGNS[finding.level][0 if around.unicode else 1]
    where = ""
    if place and finding.source:
        line = f":{finding.line}" if finding.line else ""
        where = f"{facts.short(finding.source, around.root)}{line}: "
    return Content.assemble(
        (f" {sign} ", STYLES[finding.level]), where,
        clean_line(f"{finding.kind.replace('_', ' ')}: {finding.message}"),
    )  # fmt: skip


# ---- beside the row ------------------------------------------------------------------------------


def side(
    kinds: Sequence[KindOf],
    chosen: int,
    told: Content | None,
    report: Report,
    height: int,
    around: Around,
    *,
    reading: bool = False,
) -> list[Content]:
    """Findings by kind with their counts (all of them first), what the one that was jumped to
    says, and the lengths. `reading`: there may be more to come."""
    heading = f"FINDINGS {kinds[0].count:,}" + (" reading" if reading else "")
    lines = [Content.styled(f"{around.marker if chosen == 0 else ' '}{heading}", "bold")]
    kinds = kinds[1:]
    width = max((len(f"{kind.count:,}") for kind in kinds), default=1)
    foot = _lengths(report, around)
    detail = told.wrap(max(around.width - 1, 1))[: max(height // 3, 4)] if told is not None else []
    room = max(height - len(lines) - len(foot) - len(detail) - (2 if detail else 1), 1)
    first = min(max(chosen - 1 - room // 2, 0), max(len(kinds) - room, 0))
    for at, kind in enumerate(kinds[first : first + room], first + 1):
        sign = SIGNS[kind.level][0 if around.unicode else 1]
        marker = around.marker if at == chosen else " "
        word = f"{kind.level:<8}" if around.width >= 34 else ""
        lines.append(
            Content.assemble(
                f"{marker}", (f"{sign} {word}", STYLES[kind.level]),
                (f"{kind.count:>{width},}  {kind.words}", "bold" if at == chosen else ""),
            )
        )  # fmt: skip
    if not kinds:
        lines.append(Content.styled(" none", MUTED))
    if detail:
        lines += [Content(""), *detail]
    lines += [Content("")] * (height - len(lines) - len(foot))
    return [*lines, *foot][:height]


def _lengths(report: Report, around: Around) -> list[Content]:
    bars = facts.histogram(report)
    line = facts.length_line(report, around.width - 1)
    found = []
    if bars:
        trend = wording.trend([count for *_, count in bars], around.width - 10,
                              unicode=around.unicode)  # fmt: skip
        found.append(Content.assemble((" length ", MUTED), trend))
    if line:
        found.append(Content.styled(f" {line}", MUTED))
    return found


def source_lines(found: Sequence[Source], height: int, around: Around) -> list[Content]:
    """The sources with their rows, and a sign where something was found in one."""
    lines = [Content.styled(f" SOURCES {len(found):,}", "bold")]
    width = max((len(f"{source.rows:,}") for source in found), default=1)
    room = height - 1 if len(found) <= height - 1 else height - 2
    for source in found[: max(room, 0)]:
        note = f" !{source.findings:,}" if source.findings else ""
        name = cut(source.name, max(around.width - width - columns(note) - 4, 4))
        gap = " " * max(around.width - columns(name) - width - 7, 1)
        lines.append(Content.assemble(f" {name}{gap}{source.rows:>{width},}", (note, "$warning")))
    if len(found) > max(room, 0):
        lines.append(Content.styled(f" and {len(found) - room:,} more", MUTED))
    return [*lines, *[Content("")] * (height - len(lines))][:height]

"""report.json as the screen shows it: what is there is shown, what is absent or odd is left out.

An older worker knew fewer numbers, and a damaged file may hold anything.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qtui import wording
from qtui.runs.dataset import Part
from qtui.screens.data.found import LEVELS, Found
from qtui.terminal import clean_line

PARTS = {
    Part.TRAIN: "training",
    Part.VALIDATION: "validation",
    Part.TEST: "test",
    Part.UNUSABLE: "not used: it cannot be read",
    Part.DROPPED: "not used: dropped because of a finding",
    Part.DUPLICATE: "not used: says what an earlier row says",
    Part.LEFT_OUT: "not used: left out by a setting",
    Part.UNTRAINED: "not used: no answer within max_seq_length",
}
"""What became of a row, in words."""
NOT_USED = tuple(part for part in Part if not part.used)
FILTERS: tuple[tuple[str, tuple[Part, ...]], ...] = (
    ("all", ()),
    ("training", (Part.TRAIN,)),
    ("validation", (Part.VALIDATION,)),
    ("test", (Part.TEST,)),
    ("not used", NOT_USED),
)
"""Rows that are shown: the filter's name, and its parts (none: all)."""

Report = Mapping[str, Any]


def number(report: Report, name: str) -> float | None:
    """A number of the report; None where there is none."""
    found = report.get(name)
    if not isinstance(found, int | float) or isinstance(found, bool) or not math.isfinite(found):
        return None
    return found


def section(report: Report, name: str) -> dict[str, Any]:
    """A part of the report that has parts itself; empty where there is none."""
    found = report.get(name)
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Source:
    """A file or data set: its name, safe to show, its rows, those used, its findings."""

    name: str
    rows: int
    used: int
    findings: int


def sources(report: Report) -> list[Source]:
    """The sources in the order of the report, without the folder that all of them are in."""
    common = root(report)
    return [
        Source(short(str(each.get("name", "?")), common), *counts)
        for each in _sources(report)
        for counts in [[_count(each, name) for name in ("rows", "used", "findings")]]
    ]


def root(report: Report) -> str:
    """The folder that all sources are in, with the slash at its end; empty where there is none."""
    names = [str(each.get("name", "")) for each in _sources(report)]
    if not names or not all(name.startswith("/") for name in names):
        return ""
    folder = os.path.commonpath([os.path.dirname(name) for name in names])  # noqa: PTH120
    return f"{folder.rstrip('/')}/"


def short(source: str, common: str) -> str:
    """A source as it is shown: below the folder `common` by its path from there."""
    return clean_line(source.removeprefix(common))


def _sources(report: Report) -> list[dict[str, Any]]:
    found = report.get("sources")
    return [each for each in (found if isinstance(found, list) else []) if isinstance(each, dict)]


@dataclass(frozen=True)
class KindOf:
    """A kind of finding with its level, and how many there are (also of those not kept)."""

    name: str
    level: str
    count: int

    @property
    def words(self) -> str:
        """The kind as it is shown."""
        return clean_line(self.name.replace("_", " "))


def kinds(report: Report, found: Found | None) -> list[KindOf]:
    """The kinds of findings, worst first, then the most frequent."""
    counts, levels = section(report, "finding_counts"), section(report, "finding_levels")
    names = dict.fromkeys([*counts, *(found.kinds if found else ())])
    listed = []
    for name in names:
        kept = found.kinds.get(name) if found else None
        level = kept.level if kept else levels.get(name)
        count = max(_count(counts, name), len(kept.rows) if kept else 0)
        listed.append(KindOf(name, level if level in LEVELS else "note", count))
    return sorted(listed, key=lambda kind: (LEVELS.index(kind.level), -kind.count, kind.name))


def parts_line(report: Report) -> str:
    """How many rows are in each part: `38 train, 3 validation, 4 test, 3 not used`."""
    parts = section(report, "parts")
    known = {"train": "train_rows", "validation": "validation_rows", "test": "test_rows"}
    said = []
    for name, old in known.items():
        count = number(parts, name) if name in parts else number(report, old)
        if count:
            said.append(f"{count:,.0f} {name}")
    read, used = number(report, "rows_read"), sum(
        (number(parts, name) if name in parts else number(report, old)) or 0
        for name, old in known.items()
    )  # fmt: skip
    if read is not None and read > used:
        said.append(f"{read - used:,.0f} not used")
    return ", ".join(said)


def trained_line(report: Report) -> str:
    """The trained share: `trained 38 % of 412,345 tokens`."""
    share, tokens = number(report, "trained_share"), number(report, "tokens")
    if share is None:
        return ""
    return f"trained {share:.0%}" + (f" of {tokens:,.0f} tokens" if tokens is not None else "")


def length_line(report: Report, width: int) -> str:
    """Percentiles of the lengths in tokens, as many as have room."""
    lengths = section(report, "lengths")
    said = {
        name: f"{name} {value:,.0f}"
        for name in ("p50", "p90", "p99", "max")
        if (value := number(lengths, name)) is not None
    }
    for least in ("p90", "p99", "max", "p50"):
        if len("  ".join(said.values())) > width:
            said.pop(least, None)
    return "  ".join(said.values())


def histogram(report: Report) -> list[tuple[float, float, float]]:
    """The lengths: from, to, count of each class; empty where the report has none."""
    found = section(report, "length_histogram")
    edges, counts = found.get("edges"), found.get("counts")
    if not isinstance(edges, list) or not isinstance(counts, list):
        return []
    values = [*edges, *counts]
    usable = all(isinstance(v, int | float) and math.isfinite(v) for v in values)
    if not usable or len(edges) != len(counts) + 1:
        return []
    return [(edges[at], edges[at + 1], count) for at, count in enumerate(counts)]


def more(report: Report) -> list[str]:
    """What else the report knows, each in some words."""
    packing, seconds = number(report, "packing_efficiency"), number(report, "seconds")
    epoch, cost = number(report, "epoch_seconds"), number(report, "epoch_cost")
    content = report.get("content_hash")
    said = [f"packing {packing:.0%}"] if packing is not None else []
    if epoch is not None:
        price = f", {cost:.2f}" if cost is not None else ""
        said.append(f"an epoch about {wording.duration(epoch)}{price}")
    if seconds is not None:
        said.append(f"prepared in {wording.duration(seconds)}")
    if isinstance(content, str) and content:
        said.append(f"hash {clean_line(content, 12)}")
    return said


def _count(values: Mapping[str, Any], name: str) -> int:
    return int(number(values, name) or 0)

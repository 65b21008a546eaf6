"""The report adds up, stays small whatever the data, and says what a person can act on."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.runs.dataset import Finding, Level, Part
from qtui.stages.data.encoding.tokenise import IGNORED, Tokens
from qtui.stages.data.measure import (
    BINS,
    OTHERS,
    SHOWN_FINDINGS,
    SHOWN_SOURCES,
    Histogram,
    Lengths,
    Measure,
    Report,
    SourceCount,
    part_counts,
    shown_findings,
    shown_sources,
)

LENGTHS = st.lists(st.integers(0, 100_000), max_size=60)


def measured(lengths: list[int], limit: int = 10**9) -> Measure:
    found = Measure()
    for length in lengths:
        kept = min(length, limit)
        found.add(Tokens([0] * kept, [0] * kept, length, max(kept - 1, 0)))
    return found


def report(**changes: object) -> Report:
    values: dict[str, object] = {
        **dict.fromkeys(("rows_read", "rows_bad", "rows_shared", "rows_dropped"), 0),
        **dict.fromkeys(("train_rows", "validation_rows", "rows_truncated", "tokens"), 0),
        **dict.fromkeys(("trained_tokens", "validation_tokens", "max_seq_length"), 0),
        "trained_share": 0.5,
        "lengths": Lengths(),
        "template": "t",
        "mask": "turns",
        "suggestions": [],
        "finding_counts": {},
        "findings": [],
    }
    return Report(**{**values, **changes})  # type: ignore[arg-type]


@given(LENGTHS)
def test_every_length_is_in_one_class_of_the_histogram(lengths: list[int]) -> None:
    found = measured(lengths).histogram()
    assert sum(found.counts) == len(lengths)
    if not lengths:
        assert found == Histogram()
        return
    assert len(found.edges) == len(found.counts) + 1 <= BINS + 1
    assert found.edges == sorted(set(found.edges))
    for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
        assert count == sum(low <= length < high for length in lengths)


@given(LENGTHS.filter(bool))
def test_percentiles_are_of_the_nearest_rank(lengths: list[int]) -> None:
    ordered = sorted(lengths)
    found = measured(lengths).percentiles()
    for percent, value in ((50, found.p50), (90, found.p90), (99, found.p99), (100, found.max)):
        assert value == ordered[max(math.ceil(percent * len(ordered) / 100) - 1, 0)]


@given(LENGTHS, st.integers(1, 1000))
def test_rows_that_are_cut_count_as_long_as_they_are_kept(lengths: list[int], limit: int) -> None:
    found = measured(lengths, limit)
    assert found.rows + found.dropped == len(lengths)
    assert found.truncated == sum(length > limit for length in lengths)
    assert found.tokens == sum(min(x, limit) for x in lengths if min(x, limit) > 1)


def test_a_row_of_which_nothing_is_learnt_is_dropped() -> None:
    found = Measure()
    found.add(Tokens([1, 2], [IGNORED, IGNORED], 9, 0))
    assert (found.rows, found.tokens, found.dropped, found.truncated) == (0, 0, 1, 1)
    assert found.percentiles().max == 9


@given(st.lists(st.sampled_from(list(Part)), max_size=50))
def test_parts_add_up(parts: list[Part]) -> None:
    counts = part_counts(bytearray(parts))
    assert sum(counts.values()) == len(parts)
    assert list(counts) == [
        *("train", "validation", "test"),
        *("unusable", "dropped", "duplicate", "left_out", "untrained"),
    ]
    assert counts["left_out"] == parts.count(Part.LEFT_OUT)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=250))
def test_a_folder_of_many_files_is_summed_up(numbers: list[tuple[int, int]]) -> None:
    sources = [SourceCount(str(at), rows, rows, found) for at, (rows, found) in enumerate(numbers)]
    shown = shown_sources(sources)
    assert len(shown) <= SHOWN_SOURCES + 1
    assert shown[:SHOWN_SOURCES] == sources[:SHOWN_SOURCES]
    for name in ("rows", "used", "findings"):
        assert sum(getattr(s, name) for s in shown) == sum(getattr(s, name) for s in sources)
    if len(shown) > SHOWN_SOURCES:
        assert shown[-1].name == OTHERS


FINDINGS = st.lists(
    st.builds(
        Finding,
        st.sampled_from(["error", "warning", "note"]),
        st.sampled_from([f"kind-{number}" for number in range(30)]),
        st.just("says"),
        st.just("x.jsonl"),
        st.integers(1, 10**6),
    ),
    max_size=80,
)


@given(FINDINGS)
def test_each_kind_of_finding_is_shown_before_a_second_of_another(kept: list[Finding]) -> None:
    shown = shown_findings(kept)
    assert len(shown) == min(len(kept), SHOWN_FINDINGS)
    assert [finding for finding in kept if any(finding is one for one in shown)] == shown
    kinds = {finding.kind for finding in kept}
    assert len({finding.kind for finding in shown}) == min(len(kinds), SHOWN_FINDINGS)


def finding(level: Level, kind: str, line: int = 3) -> Finding:
    return Finding(level, kind, f"message about {kind}", "x.jsonl", line)


def test_sentences_are_few_and_hold_every_kind() -> None:
    said = report(
        train_rows=90,
        validation_rows=10,
        tokens=1000,
        trained_tokens=500,
        rows_read=103,
        rows_bad=3,
        parts={"test": 7},
        augmented_rows=9,
        finding_counts={"json": 3, "leak": 4, "short-answer": 1, "pii": 12, "language": 5},
        finding_levels={
            "json": "error",
            "leak": "warning",
            "pii": "note",
            "short-answer": "note",
            "language": "note",
        },
        findings=[
            *[finding("error", "json", line) for line in range(1, 4)],
            finding("warning", "leak"),
            finding("note", "short-answer"),
            finding("note", "pii"),
        ],
        suggestions=["do it better."],
    ).sentences()
    assert said == [
        "90 rows to train on, 10 held out, 7 kept for the test; "
        "500 of 1000 tokens are trained (50.0%)",
        "9 training rows (10.0%) are variations",
        "3 of 103 rows could not be used",
        *[f"x.jsonl:{line}: message about json" for line in range(1, 4)],
        "x.jsonl:3: message about leak (and 3 more like it)",
        "x.jsonl:3: message about short-answer",
        "pii: 12 notes, the first at x.jsonl:3",
        "language: 5 notes",
        "do it better.",
    ]


def test_a_report_of_an_older_worker_is_still_read() -> None:
    new = msgspec.json.decode(msgspec.json.encode(report(packing_efficiency=0.25)))
    old = {name: value for name, value in new.items() if name in Report.__struct_fields__[:18]}
    read = msgspec.convert(old, Report)
    assert read.parts == {}
    assert read.epoch_seconds is None
    assert msgspec.convert(new, Report).packing_efficiency == pytest.approx(0.25)

"""What the prepared data amount to, in numbers and in sentences a person can act on.

Lengths are counted before cutting; the trained share after. The report is written to the run
folder as JSON, and is what `validate` and the data screen show. Nothing here grows with the rows
but eight bytes for each.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec

from qtui.errors import InputError
from qtui.runs.dataset import Finding, Level, Part
from qtui.stages.data.encoding.tokenise import Tokens

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SHOWN_FINDINGS = 20
SHOWN_SOURCES = 100
BINS = 20
OTHERS = "others"
"""Name of the last of `Report.sources` where there are too many to list."""


class Lengths(msgspec.Struct, frozen=True):
    """Percentiles of row lengths in tokens, before cutting."""

    p50: int = 0
    p90: int = 0
    p99: int = 0
    max: int = 0


class Histogram(msgspec.Struct, frozen=True):
    """`counts[i]` rows are from `edges[i]` up to but not including `edges[i + 1]` tokens long."""

    edges: list[int] = []
    counts: list[int] = []


class SourceCount(msgspec.Struct, frozen=True):
    """A file or data set: rows read from it, those of them that are used, findings about them."""

    name: str
    rows: int
    used: int
    findings: int


class Report(msgspec.Struct, frozen=True):
    """The prepared data in numbers.

    `parts` has the number of rows of each `Part`, by its name in small letters; their sum is
    `rows_read` + `augmented_rows`. Of these, `train_rows`, `validation_rows`, `rows_bad` (unusable)
    and `rows_dropped` (nothing of the answer left after cutting) are said once more by name.
    `rows_shared` counts training rows that also stand among the held-out ones, wherever they went;
    `near_duplicates` those that differ from an earlier row in few words, used or not;
    `preference_rows` pairs and judged answers, which supervised training does not take.

    `tokens` and `trained_tokens` are of one pass over the training rows after cutting;
    `trained_share` is their ratio. `lengths` and `length_histogram` are of the training rows before
    cutting. `packing_efficiency` is the share of positions that hold a token and not padding: of
    sequences of max_seq_length where rows are packed, else of the trainer's batches. `languages`
    counts rows by ISO 639 code.

    `content_hash` stands for what all used rows say and the part that each is in. `seconds` is how
    long preparing took; `epoch_seconds` and `epoch_cost` what one pass over the training rows takes
    at the speed that was last measured in the workspace, None where none was.
    """

    rows_read: int
    rows_bad: int
    rows_shared: int
    rows_dropped: int
    train_rows: int
    validation_rows: int
    rows_truncated: int
    tokens: int
    trained_tokens: int
    trained_share: float
    validation_tokens: int
    max_seq_length: int
    lengths: Lengths
    template: str
    mask: Literal["generation", "turns", "all"]
    suggestions: list[str]
    finding_counts: dict[str, int]
    findings: list[Finding]
    parts: dict[str, int] = {}
    sources: list[SourceCount] = []
    length_histogram: Histogram = Histogram()
    finding_levels: dict[str, Level] = {}
    packing_efficiency: float = 1.0
    augmented_rows: int = 0
    near_duplicates: int = 0
    preference_rows: int = 0
    languages: dict[str, int] = {}
    cleaned: dict[str, int] = {}
    content_hash: str = ""
    seconds: float = 0.0
    epoch_seconds: float | None = None
    epoch_cost: float | None = None

    def sentences(self) -> list[str]:
        """What to tell the user before training begins, one sentence each; safe to show."""
        test = self.parts.get("test", 0)
        said = [
            f"{self.train_rows} rows to train on, {self.validation_rows} held out"
            + (f", {test} kept for the test" if test else "")
            + f"; {self.trained_tokens} of {self.tokens} tokens are trained "
            f"({self.trained_share:.1%})"
        ]
        if self.augmented_rows:
            share = self.augmented_rows / max(self.train_rows, 1)
            said.append(f"{self.augmented_rows} training rows ({share:.1%}) are variations")
        if self.rows_bad:
            said.append(f"{self.rows_bad} of {self.rows_read} rows could not be used")
        errors = [finding for finding in self.findings if finding.level == "error"]
        said += [str(finding) for finding in errors[:5]]
        firsts = {f.kind: f for f in reversed(self.findings) if f.level != "error"}
        for kind, count in self.finding_counts.items():
            level = self.finding_levels.get(kind) or (firsts[kind].level if kind in firsts else "")
            if level in ("warning", "note"):
                said.append(_about(kind, count, level, firsts.get(kind)))
        return said + self.suggestions


def _about(kind: str, count: int, level: str, first: Finding | None) -> str:
    """One line about the findings of one kind."""
    if first is not None and (level == "warning" or count == 1):
        return f"{first} (and {count - 1} more like it)" if count > 1 else str(first)
    where = f", the first at {first.where()}" if first is not None and first.where() else ""
    return f"{kind.replace('-', ' ')}: {count} notes{where}"


def shown_findings(kept: Sequence[Finding]) -> list[Finding]:
    """At most `SHOWN_FINDINGS` of them: the first of each kind, errors before others, then more."""
    firsts = list({finding.kind: finding for finding in reversed(kept)}.values())[::-1]
    ranks = {"error": 0, "warning": 1, "note": 2}
    firsts.sort(key=lambda finding: ranks[finding.level])
    chosen = [id(finding) for finding in firsts[:SHOWN_FINDINGS]]
    room = SHOWN_FINDINGS - len(chosen)
    others = [id(finding) for finding in kept if id(finding) not in set(chosen)]
    wanted = {*chosen, *others[:room]}
    return [finding for finding in kept if id(finding) in wanted]


def part_counts(parts: bytes | bytearray) -> dict[str, int]:
    """How many rows are in each part, by its name in small letters."""
    return {part.name.lower(): parts.count(part) for part in Part}


def shown_sources(sources: Iterable[SourceCount]) -> list[SourceCount]:
    """The sources in their order; of more than `SHOWN_SOURCES` the rest as one, named `OTHERS`."""
    first, rows, used, findings = [], 0, 0, 0
    for number, source in enumerate(sources):
        if number < SHOWN_SOURCES:
            first.append(source)
        else:
            rows, used = rows + source.rows, used + source.used
            findings += source.findings
    if len(first) < SHOWN_SOURCES or not (rows or used or findings):
        return first
    return [*first, SourceCount(OTHERS, rows, used, findings)]


@dataclass
class Measure:
    """Counts one part (training or validation rows) as it is tokenised.

    `lengths` are those of all rows before cutting, `kept` those of the rows that are used after.
    """

    lengths: array[int] = field(default_factory=lambda: array("I"))
    kept: array[int] = field(default_factory=lambda: array("I"))
    trained: int = 0
    truncated: int = 0
    dropped: int = 0

    def add(self, row: Tokens) -> None:
        """Count one tokenised row; a row without a trained token counts as dropped."""
        kept = len(row.input_ids)
        self.lengths.append(row.length)
        self.truncated += row.length > kept
        if row.trained == 0:
            self.dropped += 1
            return
        self.kept.append(kept)
        self.trained += row.trained

    @property
    def rows(self) -> int:
        """Rows that are used."""
        return len(self.kept)

    @property
    def tokens(self) -> int:
        """Tokens of the rows that are used, after cutting."""
        return int(_numbers(self.kept).sum(dtype="uint64"))

    def percentiles(self) -> Lengths:
        """Nearest-rank percentiles of the lengths seen."""
        import numpy as np

        if not self.lengths:
            return Lengths()
        ordered = np.sort(_numbers(self.lengths))

        def at(percent: int) -> int:
            return int(ordered[max(0, -(-percent * len(ordered) // 100) - 1)])

        return Lengths(p50=at(50), p90=at(90), p99=at(99), max=int(ordered[-1]))

    def histogram(self) -> Histogram:
        """The lengths in at most `BINS` classes, each the same number of times as long as the last.

        Classes of less than one token are joined.
        """
        import numpy as np

        lengths = _numbers(self.lengths)
        if not len(lengths):
            return Histogram()
        low, high = max(int(lengths.min()), 1), int(lengths.max()) + 1
        edges = np.unique(np.geomspace(low, max(high, low + 1), BINS + 1).round().astype(np.int64))
        edges[0] = int(lengths.min())
        counts = np.histogram(lengths, edges)[0]
        return Histogram(edges.tolist(), counts.tolist())


def _numbers(values: array[int]) -> npt.NDArray[np.uint32]:
    """The array as it lies; it cannot grow while somebody holds what is returned."""
    import numpy as np

    return np.frombuffer(values, dtype=np.uint32)


def refuse_nothing_trained(train: Measure, max_seq_length: int, counts: Mapping[str, int]) -> None:
    """Raise InputError when there is not one token to learn from.

    `counts` are the findings by kind, those of `encode` among them.
    """
    if train.trained:
        return
    if not train.lengths:
        overlong, refused = counts.get("overlong", 0), counts.get("template", 0)
        why = [f"{overlong} have more than max_seq_length ({max_seq_length}) tokens"] * (
            overlong > 0
        )
        why += [f"{refused} are refused by the chat template"] * (refused > 0)
        raise InputError(
            "no training row is left: " + " and ".join(why or ["none could be rendered"]),
            remedy="Raise training.max_seq_length, or set data.on_overlong: cut."
            if overlong
            else "Set data.chat_template to a template that fits these rows.",
        )
    if train.truncated:
        raise InputError(
            f"not one trained token is left: in all {train.dropped} training rows the answer "
            f"begins behind training.max_seq_length ({max_seq_length} tokens)",
            remedy=f"Set training.max_seq_length to {train.percentiles().p99} or more.",
        )
    raise InputError(
        f"not one token would be trained in {train.dropped} training rows: the chat template "
        "renders none of the answers",
        remedy="Set data.chat_template to a template that renders the assistant's messages, "
        "or training.assistant_only_loss: false.",
    )


def suggestions(train: Measure, max_seq_length: int) -> list[str]:
    """Sentences on what could be set better, the most useful first; none when all is well."""
    found: list[str] = []
    seen = len(train.lengths)
    lengths = train.percentiles()
    if not seen:
        return found
    if train.dropped:
        found.append(
            f"{train.dropped} of {seen} rows are not used because nothing of the answer is within "
            f"max_seq_length {max_seq_length}; the longest row has {lengths.max} tokens."
        )
    cut = train.truncated / seen
    if cut >= 0.01:
        found.append(
            f"{cut:.0%} of the rows are cut at {max_seq_length} tokens and lose their end; "
            f"max_seq_length {lengths.p99} would keep 99 % whole."
        )
    elif lengths.p99 * 4 <= max_seq_length and train.truncated == 0:
        found.append(
            f"max_seq_length {max_seq_length} is more than four times what the rows need "
            f"(99 % have at most {lengths.p99} tokens, the longest {lengths.max})."
        )
    share = train.trained / train.tokens if train.tokens else 0.0
    if train.tokens and share < 0.02:
        found.append(
            f"only {share:.1%} of the tokens are trained: the prompts are very long "
            "compared with the answers."
        )
    return found

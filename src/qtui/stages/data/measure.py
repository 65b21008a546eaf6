"""What the prepared data amount to, in numbers and in sentences a person can act on.

Lengths are counted before cutting; the trained share after. The report is written to the run
folder as JSON, and is what `validate` and the data screen show.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from qtui.errors import InputError
from qtui.runs.dataset import Finding
from qtui.stages.data.tokenise import Tokens

SHOWN_FINDINGS = 20


class Lengths(msgspec.Struct, frozen=True):
    """Percentiles of row lengths in tokens, before cutting."""

    p50: int = 0
    p90: int = 0
    p99: int = 0
    max: int = 0


class Report(msgspec.Struct, frozen=True):
    """The prepared data in numbers.

    `rows_read` = `rows_bad` (unreadable, unrecognised or refused by the template) + `rows_shared`
    (also in the validation rows) + `rows_dropped` (nothing of the answer left after cutting) +
    `train_rows` + `validation_rows`. `tokens` and `trained_tokens` are of one pass over the
    training rows after cutting; `trained_share` is their ratio.
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

    def sentences(self) -> list[str]:
        """What to tell the user before training begins, one sentence each; safe to show."""
        said = [
            f"{self.train_rows} rows to train on, {self.validation_rows} held out; "
            f"{self.trained_tokens} of {self.tokens} tokens are trained "
            f"({self.trained_share:.1%})"
        ]
        if self.rows_bad:
            said.append(f"{self.rows_bad} of {self.rows_read} rows could not be used")
            errors = [finding for finding in self.findings if finding.level == "error"]
            said += [str(finding) for finding in errors[:5]]
        for kind in dict.fromkeys(f.kind for f in self.findings if f.level != "error"):
            first = next(f for f in self.findings if f.kind == kind and f.level != "error")
            others = self.finding_counts.get(kind, 1) - 1
            said.append(f"{first} (and {others} more like it)" if others else str(first))
        return said + self.suggestions


@dataclass
class Measure:
    """Counts one part (training or validation rows) as it is tokenised."""

    lengths: array[int] = field(default_factory=lambda: array("q"))
    rows: int = 0
    tokens: int = 0
    trained: int = 0
    truncated: int = 0
    dropped: int = 0

    def add(self, row: Tokens) -> None:
        """Count one tokenised row; a row without a trained token counts as dropped."""
        self.lengths.append(row.length)
        self.truncated += row.length > len(row.input_ids)
        if row.trained == 0:
            self.dropped += 1
            return
        self.rows += 1
        self.tokens += len(row.input_ids)
        self.trained += row.trained

    def percentiles(self) -> Lengths:
        """Nearest-rank percentiles of the lengths seen."""
        if not self.lengths:
            return Lengths()
        ordered = sorted(self.lengths)

        def at(percent: int) -> int:
            return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]

        return Lengths(p50=at(50), p90=at(90), p99=at(99), max=ordered[-1])


def refuse_nothing_trained(train: Measure, max_seq_length: int) -> None:
    """Raise InputError when there is not one token to learn from."""
    if train.trained:
        return
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

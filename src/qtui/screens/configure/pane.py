"""What stands beside the form: whether it fits, how long it takes, the YAML, the data.

Plain functions from what is known to paragraphs; none of them reads anything. Numbers that are
not known are not guessed: the text says what would have to be done to know them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from textual.content import Content

from qtui import wording
from qtui.config.form import Form, text_of
from qtui.config.models import FineTuneConfig
from qtui.errors import QtuiError
from qtui.runs.dataset import found_kinds
from qtui.runs.pace import estimate
from qtui.runs.prepare import Look, PreviewRow
from qtui.runs.recent import Speed
from qtui.system.fit import Fit
from qtui.system.sizes import size
from qtui.system.verdict import Suggestion, Verdict
from qtui.terminal import clean, clean_line

_STYLES = {"fits": "bold $text-success", "tight": "bold $text-warning", "no": "bold $text-error"}


def verdict_line(form: Form, fit: Fit | None) -> Content:
    """Whether it fits, in one line."""
    if form.problems:
        count = len(form.problems)
        what = "this is to mend" if count == 1 else f"these {count} are to mend"
        return Content.styled(f" ! {what} before anything can be reckoned", "$text-error")
    if fit is None:
        return Content.styled(" reckoning whether it fits", "$text-muted")
    if fit.verdict is None:
        why = clean_line(fit.unknown) or "no GPU is visible to hold the estimate against"
        return Content.styled(f" Memory: {why}", "$text-warning")
    sentence = _capital(clean_line(fit.verdict.sentence))
    return Content.styled(f" {sentence}", _STYLES[fit.verdict.result])


def problems(form: Form) -> list[Content]:
    """Every problem of the form, a paragraph each."""
    found = [Content.styled("To mend before this can run", "bold"), Content("")]
    for problem in form.problems:
        where = problem.key or problem.file
        found.append(
            Content.assemble(
                ("! ", "bold $text-error"),
                (clean_line(where), "bold"),
                f"  {clean_line(problem.sentence)}",
            )
        )
    return found


def refusal(title: str, error: QtuiError) -> list[Content]:
    """An error as it is told: what happened, line by line, and the way out."""
    found = [Content.styled(clean_line(title), "bold $text-error"), Content("")]
    found += [Content(line) for line in clean(error.message).split("\n")]
    if error.remedy:
        found += [
            Content(""),
            *(Content(line) for line in clean(f"Try {error.remedy}").split("\n")),
        ]
    return found


def fit_pane(form: Form, fit: Fit | None, time_lines: Sequence[str]) -> list[Content]:
    """Verdict, items with their band, suggestions, disk, time, and the run file as YAML."""
    if form.problems:
        return [*problems(form), Content(""), *yaml(form)]
    found: list[Content] = []
    if fit is None:
        found.append(Content.styled("Reckoning whether it fits", "$text-muted"))
    elif fit.estimate is None:
        why = clean_line(fit.unknown)
        found.append(Content.styled(f"Memory is not known: {why}", "$text-warning"))
    else:
        found += _memory(fit)
    if fit is not None and fit.disk is not None:
        needed = f"disk  {size(fit.disk.in_workspace)} needed"
        found += [Content(""), Content(f"{needed}, {size(fit.disk_free)} free")]
        short = [text for text in fit.too_small if text.startswith("disk")]
        found += [Content.styled(_capital(clean_line(text)), "bold $text-error") for text in short]
    found += [Content(""), *(Content(clean_line(line)) for line in time_lines)]
    return [*found, Content(""), *yaml(form)]


def _memory(fit: Fit) -> list[Content]:
    needed = fit.estimate
    assert needed is not None
    found = []
    if fit.verdict is not None:
        # The advice of the sentence stands below as suggestions.
        sentence = _capital(clean_line(fit.verdict.sentence).partition("; ")[0])
        found.append(Content.styled(sentence, _STYLES[fit.verdict.result]))
    else:
        found.append(Content("No GPU is visible here to hold this against."))
    found.append(Content(""))
    found.append(
        Content.styled(
            f"{'on ' + fit.device:<14}{'likely':>9}{'low':>9}{'high':>9}",
            "$text-muted",
        )
    )
    rows = [(item.name, item.likely, item.low, item.high) for item in needed.items]
    for name, likely, low, high in (
        *rows,
        ("total", needed.likely, needed.low, needed.high),
    ):
        text = f"{name:<14}{size(likely):>9}{size(low):>9}{size(high):>9}"
        found.append(Content.styled(text, "bold") if name == "total" else Content(text))
    share = needed.trained_parameters / max(needed.parameters, 1)
    found.append(
        Content.styled(
            f"trains {_millions(needed.trained_parameters)} of "
            f"{_millions(needed.parameters)} parameters ({share:.2%})",
            "$text-muted",
        )
    )
    checkpointing = "on" if needed.gradient_checkpointing else "off"
    found.append(Content.styled(f"gradient checkpointing is {checkpointing}", "$text-muted"))
    found += [Content(clean_line(note)) for note in needed.notes]
    return found + (_suggestions(fit.verdict) if fit.verdict is not None else [])


def _suggestions(verdict: Verdict) -> list[Content]:
    """What would make it fit; when nothing does, what would help."""
    enough = [suggestion for suggestion in verdict.suggestions if suggestion.fits]
    shown = enough or verdict.suggestions
    if not shown:
        return []
    found = [
        Content(""),
        Content.styled(
            "Any of these is enough" if enough else "Nothing is enough; what helps most", "bold"
        ),
    ]
    for number, suggestion in enumerate(shown):
        key: Content | tuple[str, str] = ("a ", "bold $accent") if not number else Content("  ")
        found.append(
            Content.assemble(key, f"{change(suggestion)}  (saves {size(suggestion.saves)})")
        )
    return found


def change(suggestion: Suggestion) -> str:
    """A suggestion in words, such as `batch_size 2, gradient_accumulation_steps 8`."""
    return ", ".join(
        f"{key.partition('.')[2]} {text_of(key, value)}"
        for key, value in suggestion.settings.items()
    )


def yaml(form: Form) -> list[Content]:
    """The run file as it would be saved."""
    title = "run file" if not form.problems else "run file (cannot be saved yet)"
    lines = clean(form.yaml()).rstrip("\n").split("\n")
    return [Content.styled(title, "$text-muted"), *(Content(line) for line in lines)]


def time_lines(
    config: FineTuneConfig,
    report: Mapping[str, Any] | None,
    speed: Speed | None,
    price: float | None,
) -> list[str]:
    """How much work it is and how long that takes, from what was counted and measured."""
    if report is None:
        return ["time  not known: look at the data first (p)"]
    training = config.training
    rows, tokens = report["train_rows"], report["tokens"]
    a_step = training.batch_size * training.gradient_accumulation_steps
    if training.max_steps is not None:
        steps, epochs = training.max_steps, training.max_steps * a_step / max(rows, 1)
    else:
        epochs = training.num_epochs
        steps = math.ceil(math.ceil(rows / a_step) * epochs)
    total = tokens * epochs
    words = "epoch" if epochs == 1 else "epochs"
    work = f"work  {epochs:.3g} {words}, {steps:,} steps, {_millions(total)} tokens"
    taking = estimate(total, speed, price)
    if taking is None:
        return [work, "time  not known: no run of this model was measured in this workspace"]
    rate = f"{taking.speed.tokens_per_second:,.0f} tokens/s, as {taking.speed.name} measured"
    cost = "" if taking.cost is None else f", {taking.cost:.2f} at {price:g} an hour"
    return [work, f"time  about {wording.duration(taking.seconds)}{cost}", f"      at {rate}"]


def looking(doing: str, waited: float) -> list[Content]:
    """A look at the data that is going on: what it does, and for how long."""
    return [
        Content.styled("Looking at the data", "bold"),
        Content(f"{_capital(clean_line(doing))}, {wording.duration(waited)} so far"),
        Content(""),
        Content.styled(
            "A worker reads the rows as a run would. p or escape: stop it", "$text-muted"
        ),
    ]


def data_pane(look: Look, row: int, *, stale: bool, unicode: bool) -> list[Content]:
    """The report on the data, then row number `row` of the first ones as the model will see it."""
    report = look.report
    lengths = report["lengths"]
    found = [
        Content.styled(
            f"{report['train_rows']:,} rows to train on, {report['validation_rows']:,} held out",
            "bold",
        )
    ]
    if stale:
        found.append(Content.styled("Of before the last changes; p looks again", "$text-warning"))
    facts = (
        ("trained", f"{report['trained_share']:.1%} of {report['tokens']:,} tokens"),
        ("lengths", f"half up to {lengths['p50']:,}, 99 % up to {lengths['p99']:,}, "
                    f"longest {lengths['max']:,} tokens"),
        ("truncated", f"{report['rows_truncated']:,} rows at {report['max_seq_length']:,} tokens"),
        ("dropped", f"{report['rows_dropped']:,} rows with nothing of the answer left"),
        ("unusable", f"{report['rows_bad']:,} of {report['rows_read']:,} rows"),
    )  # fmt: skip
    found += [Content.assemble((f"{name:<10}", "$text-muted"), text) for name, text in facts]
    found += [
        Content.assemble(("try  ", "$text-warning"), clean_line(text))
        for text in report["suggestions"]
    ]
    for kind in found_kinds(report, errors=3):
        style = "$text-error" if kind.level == "error" else "$text-warning"
        for sentence in kind.sentences:
            found.append(Content.assemble((f"{kind.level:<8}", style), clean_line(sentence)))
        more = kind.count - len(kind.sentences)
        if more > 0:
            found.append(
                Content.styled(f"and {more:,} more of the kind {kind.kind}", "$text-muted")
            )
    if look.rows:
        found += [Content(""), *_row(look.rows, row, unicode)]
    return found


def _row(rows: Sequence[PreviewRow], number: int, unicode: bool) -> list[Content]:
    row = rows[number]
    place = f"{row.source}:{row.line}" if row.line else row.source
    cut = ", cut" if row.truncated else ""
    head = (
        f"row {number + 1} of the first {len(rows)}  {place}  "
        f"{row.trained_tokens:,} of {row.tokens:,} tokens trained{cut}"
    )
    begin, end = ("▌", "▐") if unicode else ("{{", "}}")
    found = [
        Content.styled(clean_line(head), "bold"),
        Content.styled(f"{begin}what is trained{end}   [ and ] other rows", "$text-muted"),
    ]
    parts: list[Content | tuple[str, str] | str] = []
    at = 0
    # Spans count characters of the raw text, so it is taken apart before it is made safe.
    for first, last in row.trained:
        parts += [Content(clean(row.text[at:first]))]
        parts.append((f"{begin}{clean(row.text[first:last])}{end}", "bold $accent"))
        at = last
    parts.append(Content(clean(row.text[at:])))
    whole = Content.assemble(*parts)
    return [*found, *whole.split("\n", allow_blank=True)]


def _millions(count: float) -> str:
    if count >= 1e9:
        return f"{count / 1e9:.1f} B"
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count:,.0f}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

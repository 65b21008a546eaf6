"""The one path from `data.input_path` to rows of token ids, with a report on what they hold.

What is prepared lies in the run's folder and belongs to the run: a resumed run takes it as it is,
whatever has become of the files it was read from. The manifest is written last; a folder without
one is prepared again from the start.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from qtui.config.models import FineTuneConfig
from qtui.errors import StoppedError
from qtui.stages.data import manifest as manifests
from qtui.stages.data import measure
from qtui.stages.data.copies import json_lines, refuse_overwriting, write_copies
from qtui.stages.data.load import Loaded, load, refuse_bad
from qtui.stages.data.manifest import Manifest, SamplePrompt
from qtui.stages.data.render import ChatTemplate, Rendered, RenderError, fold_system
from qtui.stages.data.render_process import RenderProcess
from qtui.stages.data.rows import Row
from qtui.stages.data.store import RowWriter, open_rows, write_atomically
from qtui.stages.data.template import choose, tried
from qtui.stages.data.tokenise import Tokens, tokenise

BATCH = 512
PREVIEW_ROWS = 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Prepared:
    """What a trainer needs. `sample_prompts`: (messages up to the last answer, that answer).

    `train` and `validation` are `datasets.Dataset` with the columns input_ids and labels (-100
    where nothing is learnt). `chat_template` is the Jinja text that the model is used with.
    """

    train: Any
    validation: Any
    report: measure.Report
    sample_prompts: list[SamplePrompt]
    chat_template: str


def prepare(
    config: FineTuneConfig,
    tokenizer: Any,
    out: Path,
    *,
    progress: Progress = lambda done, total: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Prepared:
    """Prepare the rows into `out`, or take what a former start of this run has prepared there.

    `progress(done, total)` counts rows. When `data.chat_template` is set, the tokenizer gets it,
    so that it is saved with the result. Raises InputError where the data cannot be trained on
    (see `load`, `template.tried` and `measure.refuse_nothing_trained`), StoppedError when
    `stopped()`; nothing half-written is ever taken for whole.
    """
    settings = manifests.settings_hash(config, tokenizer)
    kept = manifests.read_kept(out, settings)
    if kept is not None:
        if config.data.chat_template:
            tokenizer.chat_template = kept[0].chat_template
        return _opened(out, *kept)
    template = choose(
        tokenizer,
        config.data.chat_template,
        assistant_only_loss=config.training.assistant_only_loss,
    )
    if config.data.chat_template:
        tokenizer.chat_template = template.text
    copies_to = Path(config.data.output_path).expanduser() if config.data.output_path else None
    with RenderProcess(template) as renderer:
        loaded = load(config.data, seed=config.training.seed, stopped=stopped)
        if copies_to is not None:
            refuse_overwriting(copies_to, loaded)
        template = tried(template, renderer)
        renderer.use(template)
        out.mkdir(parents=True, exist_ok=True)
        (out / manifests.FILE).unlink(missing_ok=True)
        work = _Work(config, tokenizer, template, renderer, loaded, out, progress, stopped)
        train = work.part("train", loaded.train)
        validation = work.part("validation", loaded.validation)
    refuse_bad(loaded, config.data)
    measure.refuse_nothing_trained(train, config.training.max_seq_length)
    report = _report(config, template, loaded, train, validation)
    prompts = _sample_prompts(config, template, loaded)
    write_atomically(out / "preview.jsonl", json_lines(work.preview))
    write_atomically(out / "report.json", msgspec.json.format(msgspec.json.encode(report)))
    manifest = Manifest(
        version=manifests.VERSION,
        settings=settings,
        inputs=manifests.fingerprints(loaded.sources, config.data.chat_template),
        has_validation=validation.rows > 0,
        sample_prompts=prompts,
        chat_template=template.text,
    )
    if copies_to is not None:
        write_copies(copies_to, loaded)
    write_atomically(out / manifests.FILE, msgspec.json.encode(manifest))
    return _opened(out, manifest, report)


class _Work:
    """Renders, tokenises, measures and writes the rows of one preparation."""

    def __init__(
        self,
        config: FineTuneConfig,
        tokenizer: Any,
        template: ChatTemplate,
        renderer: RenderProcess,
        loaded: Loaded,
        out: Path,
        progress: Progress,
        stopped: Callable[[], bool],
    ) -> None:
        self.preview: list[dict[str, Any]] = []
        self._length = config.training.max_seq_length
        self._tokenizer = tokenizer
        self._mask = template.mask != "all"
        self._control = _control_tokens(tokenizer)
        self._renderer = renderer
        self._loaded = loaded
        self._out = out
        self._progress = progress
        self._stopped = stopped
        self._done = 0
        self._total = len(loaded.train) + len(loaded.validation)

    def part(self, name: str, rows: list[Row]) -> measure.Measure:
        """Prepare one part into `name`.arrow; a part without rows leaves no file."""
        measured = measure.Measure()
        target = self._out / f"{name}.arrow"
        target.unlink(missing_ok=True)
        with RowWriter(target) as writer:
            for batch, replies in self._renderer.batches(_batches(rows, BATCH)):
                if self._stopped():
                    raise StoppedError("stopped while the data were prepared")
                rendered = list(self._usable(batch, replies))
                tokens = tokenise(
                    self._tokenizer,
                    [text for _, text in rendered],
                    max_seq_length=self._length,
                    mask=self._mask,
                )
                for (row, text), one in zip(rendered, tokens, strict=True):
                    self._take(name, row, text, one, measured, writer)
                self._done += len(batch)
                self._progress(self._done, self._total)
        return measured

    def _usable(
        self, rows: list[Row], replies: list[Rendered | RenderError]
    ) -> Iterator[tuple[Row, Rendered]]:
        for row, reply in zip(rows, replies, strict=True):
            if isinstance(reply, Rendered):
                self._look_for_control_tokens(row)
                yield row, reply
            else:
                self._loaded.bad += 1
                kind = "mask" if reply.mask else "template"
                self._loaded.findings.add("error", kind, str(reply), row.source, row.line)

    def _look_for_control_tokens(self, row: Row) -> None:
        """Text such as `<|im_end|>` inside a message becomes the token itself: say so."""
        for message in row.messages:
            found = self._control.search(message["content"])
            if found is not None:
                text = f"a message holds {found.group()!r}, which the model takes for its own mark"
                self._loaded.findings.add("warning", "control-token", text, row.source, row.line)
                return

    def _take(
        self,
        part: str,
        row: Row,
        text: Rendered,
        tokens: Tokens,
        measured: measure.Measure,
        writer: RowWriter,
    ) -> None:
        measured.add(tokens)
        if tokens.trained:
            writer.add(tokens.input_ids, tokens.labels)
        else:
            message = "no trained token is left within max_seq_length; not used"
            self._loaded.findings.add("warning", "dropped", message, row.source, row.line)
        if part == "train" and len(self.preview) < PREVIEW_ROWS:
            self.preview.append(
                {
                    "source": row.source,
                    "line": row.line,
                    "text": text.text,
                    "trained": [list(span) for span in text.spans],
                    "tokens": tokens.length,
                    "trained_tokens": tokens.trained,
                    "truncated": tokens.length > len(tokens.input_ids),
                }
            )


def _control_tokens(tokenizer: Any) -> re.Pattern[str]:
    """Matches the tokens that structure a conversation (not those that are plain vocabulary)."""
    added = tokenizer.added_tokens_decoder.values()
    tokens = {str(token) for token in added if token.special} | set(tokenizer.all_special_tokens)
    return re.compile("|".join(re.escape(t) for t in sorted(tokens, key=len, reverse=True)) or "$^")


def _report(
    config: FineTuneConfig,
    template: ChatTemplate,
    loaded: Loaded,
    train: measure.Measure,
    validation: measure.Measure,
) -> measure.Report:
    found = loaded.findings
    if template.folds_system and any(
        row.messages[0]["role"] == "system" for row in (*loaded.train, *loaded.validation)
    ):
        message = "the chat template has no system role: it was put before the first user message"
        found.add("note", "system-folded", message)
    length = config.training.max_seq_length
    return measure.Report(
        rows_read=loaded.read,
        rows_bad=loaded.bad,
        rows_shared=found.counts["leak"],
        rows_dropped=train.dropped + validation.dropped,
        train_rows=train.rows,
        validation_rows=validation.rows,
        rows_truncated=train.truncated + validation.truncated,
        tokens=train.tokens,
        trained_tokens=train.trained,
        trained_share=train.trained / train.tokens if train.tokens else 0.0,
        validation_tokens=validation.tokens,
        max_seq_length=length,
        lengths=train.percentiles(),
        template=template.origin,
        mask=template.mask,
        suggestions=measure.suggestions(train, length),
        finding_counts=dict(found.counts),
        findings=found.kept[: measure.SHOWN_FINDINGS],
    )


def _sample_prompts(
    config: FineTuneConfig, template: ChatTemplate, loaded: Loaded
) -> list[SamplePrompt]:
    """The prompts whose answers are shown while training: held-out rows, the first distinct ones.

    Rows whose last answer is text come before tool calls, which cannot be shown as a reference.
    """
    wanted = config.evaluation.num_samples
    prompts: list[SamplePrompt] = []
    seen: set[str] = set()
    for row in loaded.validation or loaded.train:
        if len(prompts) >= wanted:
            break
        messages = fold_system(row.messages) if template.folds_system else row.messages
        *before, last = messages
        asked = json.dumps(before)
        if before and last["content"].strip() and not row.tools and asked not in seen:
            seen.add(asked)
            prompts.append((before, last["content"]))
    return prompts


def _batches(rows: list[Row], size: int) -> Iterator[list[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _opened(out: Path, manifest: Manifest, report: measure.Report) -> Prepared:
    return Prepared(
        train=open_rows(out / "train.arrow"),
        validation=open_rows(out / "validation.arrow") if manifest.has_validation else None,
        report=report,
        sample_prompts=manifest.sample_prompts,
        chat_template=manifest.chat_template,
    )

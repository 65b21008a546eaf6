"""The one path from `data.input_path` to rows of token ids, with a report on what they hold.

Two stages: rows are collected (`collect`), then encoded (`encode`). What is prepared lies in the
run's folder and belongs to the run: a resumed run takes it as it is, whatever has become of the
files it was read from; another preparation in the workspace takes each stage whose inputs and
settings are the same. The manifest is written last; a folder without one is prepared again from
the first stage that is not whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from qtui.config.models import FineTuneConfig
from qtui.runs.dataset import FINDINGS, PARTS, REPORT, TOKENS, Part
from qtui.stages.data import collected as collections
from qtui.stages.data import manifest as manifests
from qtui.stages.data import measure
from qtui.stages.data.collect import collect, inputs, refuse_bad
from qtui.stages.data.collected import Collected, Progress, row_from
from qtui.stages.data.copies import refuse_overwriting, write_copies
from qtui.stages.data.documents.document_cache import DocumentCache
from qtui.stages.data.documents.pdf_text import PASSWORD_VARIABLE
from qtui.stages.data.encoding.encode import PARTS as ALL_PARTS
from qtui.stages.data.encoding.encode import Encoded, encode, token_file
from qtui.stages.data.encoding.render import ChatTemplate, fold_system
from qtui.stages.data.encoding.render_process import RenderProcess
from qtui.stages.data.encoding.template import choose, tried
from qtui.stages.data.manifest import Manifest, SamplePrompt
from qtui.stages.data.refining.row_pool import processes
from qtui.stages.data.rows import Findings
from qtui.stages.data.store import RecordWriter, open_rows, write_atomically

DOCUMENTS = "documents"
_PROMPTS = 32
"""Sample prompts that are kept: as many as `evaluation.num_samples` may ask for."""
_MANY = 5000
"""Rows from which on starting more than one process is worth it."""


@dataclass(frozen=True)
class Prepared:
    """What a trainer needs. `sample_prompts`: (messages up to the last answer, that answer).

    `train` and `validation` are `datasets.Dataset` with the columns input_ids and labels (-100
    where nothing is learnt). `chat_template` is the Jinja text that the model is used with.
    `taken_from` is the folder whose work was taken over, and `taken` how much of it.
    """

    train: Any
    validation: Any
    report: measure.Report
    sample_prompts: list[SamplePrompt]
    chat_template: str
    taken: str = ""
    taken_from: Path | None = None


def prepare(
    config: FineTuneConfig,
    tokenizer: Any,
    out: Path,
    *,
    tokenizer_file: Path | None = None,
    others: Sequence[Path] = (),
    progress: Progress = lambda what, done, total, unit: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Prepared:
    """Prepare the rows into `out`, or take what was prepared before.

    `tokenizer_file` is the model's tokenizer.json, for `data.splitter: token`; `others` are data
    folders of other runs, the best first, whose stages may be taken over. When `data.chat_template`
    is set, the tokenizer gets it, so that it is saved with the result. Raises InputError where the
    data cannot be trained on (see `collect`, `template.tried`, `measure.refuse_nothing_trained`),
    StoppedError when `stopped()`; nothing half-written is ever taken for whole.
    """
    settings = manifests.settings_hash(config, tokenizer)
    kept = manifests.read_kept(out, settings)
    if kept is not None:
        if config.data.chat_template:
            tokenizer.chat_template = kept[0].chat_template
        return _opened(out, *kept)
    began = time.monotonic()
    template = choose(
        tokenizer,
        config.data.chat_template,
        assistant_only_loss=config.training.assistant_only_loss,
        needed=False,
    )
    if config.data.chat_template:
        tokenizer.chat_template = template.text
    findings = Findings()
    sources = inputs(config.data, findings)
    refuse_overwriting(config.data, sources.all())
    hashes = manifests.fingerprints(sources.all())
    known = all(source.path is not None for source in sources.all())
    rows_key = manifests.collected_key(config, tokenizer, hashes, findings.kept) if known else ""
    tokens_key = manifests.encoded_key(config, tokenizer, rows_key) if known else ""
    out.mkdir(parents=True, exist_ok=True)
    (out / manifests.FILE).unlink(missing_ok=True)

    taken, taken_from = "", None
    same = _with_key(others, "encoded", tokens_key)
    if same is not None:
        report = _take_all(same, out)
        collected = collections.load(out)
        collected.parts = bytearray((out / PARTS).read_bytes())  # the second stage's are there
        taken, taken_from = "all", same
    else:
        # The process starts while rows are read. The template, foreign code, is tried before use.
        with RenderProcess(template, tokenizer) as renderer:
            half = out if _fits(out, rows_key) else None
            half = half or _with_key(others, "collected", rows_key)
            if known and half is not None:
                if half != out:
                    collections.link_from(half, out)
                    taken, taken_from = "rows", half
            else:
                _collect(
                    config,
                    sources,
                    findings,
                    out,
                    rows_key,
                    tokenizer_file,
                    others,
                    progress,
                    stopped,
                )
            collected = collections.load(out)
            refuse_bad(collected, config.data)
            template = tried(template, renderer, conversations=collected.conversations)
            many = len(collected.parts) >= _MANY
            renderer.use(template, processes=processes(config.data) if many else 1)
            encoded = _encode(
                collected, config, tokenizer, template, renderer, out, progress, stopped
            )
        refuse_bad(collected, config.data)
        if not encoded.pairs:
            measure.refuse_nothing_trained(
                encoded.measured[Part.TRAIN],
                config.training.max_seq_length,
                collected.findings.counts,
            )
        report = _report(config, template, collected, encoded, time.monotonic() - began)
        write_atomically(out / REPORT, msgspec.json.format(msgspec.json.encode(report)))
    write_copies(config.data, collected)
    prompts = _sample_prompts(template, collected)
    manifest = Manifest(
        version=manifests.VERSION,
        settings=settings,
        collected=rows_key,
        encoded=tokens_key,
        inputs=hashes | manifests.template_fingerprint(config.data.chat_template),
        parts=[token_file(out, p).name for p in ALL_PARTS if token_file(out, p).is_file()],
        sample_prompts=prompts,
        chat_template=template.text,
    )
    write_atomically(out / manifests.FILE, msgspec.json.encode(manifest))
    return _opened(out, manifest, report, taken, taken_from)


def _with_key(others: Sequence[Path], stage: str, key: str) -> Path | None:
    """The first of `others` whose manifest has that key for that stage."""
    for other in others if key else ():
        manifest = manifests.read(other)
        if (
            manifest is not None
            and getattr(manifest, stage) == key
            and _fits(other, manifest.collected)
        ):
            return other
    return None


def _fits(folder: Path, key: str) -> bool:
    """Whether rows were collected in `folder` under `key`, and would be again just so.

    What a password opens is not known from any key: where one is set, files that were not opened
    are tried again.
    """
    kinds = collections.saved_findings(folder, key)
    return kinds is not None and not ("encrypted" in kinds and os.environ.get(PASSWORD_VARIABLE))


_WHOLE = (TOKENS, f"{TOKENS}.index", FINDINGS, f"{FINDINGS}.index", PARTS, REPORT)


def _take_all(other: Path, out: Path) -> measure.Report:
    """Take everything that was prepared in `other`."""
    collections.link_from(other, out)
    names = [token_file(other, part).name for part in ALL_PARTS]
    for name in (*_WHOLE, *(name for name in names if (other / name).is_file())):
        collections.link(other / name, out / name)
    return msgspec.json.decode((out / REPORT).read_bytes(), type=measure.Report)


def _collect(
    config: FineTuneConfig,
    sources: Any,
    findings: Findings,
    out: Path,
    key: str,
    tokenizer_file: Path | None,
    others: Sequence[Path],
    progress: Progress,
    stopped: Callable[[], bool],
) -> None:
    """The first stage, in a scratch folder until it is whole."""
    scratch = out / collections.SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.rmtree(out / collections.FOLDER, ignore_errors=True)
    scratch.mkdir()
    try:
        collected = collect(
            config.data,
            sources,
            findings,
            scratch,
            seed=config.training.seed,
            cache=DocumentCache(out / DOCUMENTS, [other / DOCUMENTS for other in others]),
            tokenizer_file=tokenizer_file,
            progress=progress,
            stopped=stopped,
        )
        collections.save(collected, out, key)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _encode(
    collected: Collected,
    config: FineTuneConfig,
    tokenizer: Any,
    template: ChatTemplate,
    renderer: RenderProcess,
    out: Path,
    progress: Progress,
    stopped: Callable[[], bool],
) -> Encoded:
    """The second stage; its findings come behind those of the first."""
    with RecordWriter(out / FINDINGS) as sink:
        for line in collections.findings_so_far(out):
            sink.add(line)
        collected.findings.sink = sink.add
        encoded = encode(
            collected,
            config,
            tokenizer,
            template,
            renderer,
            out,
            progress=progress,
            stopped=stopped,
        )
        if encoded.folded:
            message = (
                "the chat template has no system role: it was put before the first user message"
            )
            collected.findings.add("note", "system-folded", message)
        collected.findings.sink = None
    write_atomically(out / PARTS, bytes(collected.parts))
    return encoded


def _report(
    config: FineTuneConfig,
    template: ChatTemplate,
    collected: Collected,
    encoded: Encoded,
    seconds: float,
) -> measure.Report:
    found = collected.findings
    train, validation = encoded.measured[Part.TRAIN], encoded.measured[Part.VALIDATION]
    parts = measure.part_counts(collected.parts)
    length = config.training.max_seq_length
    return measure.Report(
        rows_read=collected.read,
        rows_bad=parts["unusable"],
        rows_shared=found.counts["leak"],
        rows_dropped=parts["untrained"],
        train_rows=parts["train"],
        validation_rows=parts["validation"],
        rows_truncated=train.truncated + validation.truncated,
        tokens=train.tokens,
        trained_tokens=train.trained,
        trained_share=train.trained / train.tokens if train.tokens else 0.0,
        validation_tokens=validation.tokens,
        max_seq_length=length,
        lengths=train.percentiles(),
        template=template.origin,
        mask=template.mask,
        suggestions=[*collected.mixed, *measure.suggestions(train, length)],
        finding_counts=dict(found.counts),
        findings=measure.shown_findings(found.kept),
        parts=parts,
        sources=measure.shown_sources(_sources(collected)),
        length_histogram=train.histogram(),
        finding_levels=dict(found.levels),
        augmented_rows=collected.augmented,
        near_duplicates=collected.near_duplicates,
        preference_rows=encoded.pairs,
        languages=dict(collected.languages.most_common()),
        cleaned=dict(collected.done.most_common()),
        content_hash=content_hash(collected),
        seconds=seconds,
    )


def _sources(collected: Collected) -> Iterator[measure.SourceCount]:
    """Rows of one source stand one behind another."""
    at = 0
    for name, rows in collected.sources:
        parts = collected.parts[at : at + rows]
        used = sum(parts.count(part) for part in ALL_PARTS)
        yield measure.SourceCount(name, rows, used, collected.findings.by_source[name])
        at += rows


def content_hash(collected: Collected) -> str:
    """SHA-256 of what the rows that are used say, in order, with the part that each is in."""
    digest = hashlib.sha256()
    for number, part in enumerate(collected.parts):
        if part < Part.UNUSABLE:
            digest.update(bytes([part]) + collected.keys[16 * number : 16 * number + 16])
    return digest.hexdigest()


def _sample_prompts(template: ChatTemplate, collected: Collected) -> list[SamplePrompt]:
    """The prompts whose answers are shown while training: held-out rows, the first distinct ones.

    Rows whose last answer is text come before tool calls, which cannot be shown as a reference.
    """
    prompts: list[SamplePrompt] = []
    seen: set[str] = set()
    part = Part.VALIDATION if Part.VALIDATION in collected.parts else Part.TRAIN
    for _, stored in collected.rows(part):
        if len(prompts) >= _PROMPTS:
            break
        row = row_from(stored)
        if not row.messages:
            continue
        messages = fold_system(row.messages) if template.folds_system else row.messages
        *before, last = messages
        asked = json.dumps(before)
        if before and last["content"].strip() and not row.tools and asked not in seen:
            seen.add(asked)
            prompts.append((before, last["content"]))
    return prompts


def _opened(
    out: Path,
    manifest: Manifest,
    report: measure.Report,
    taken: str = "",
    taken_from: Path | None = None,
) -> Prepared:
    def rows(part: Part) -> Any:
        path = token_file(out, part)
        return open_rows(path) if path.name in manifest.parts else None

    return Prepared(
        train=rows(Part.TRAIN),
        validation=rows(Part.VALIDATION),
        report=report,
        sample_prompts=manifest.sample_prompts,
        chat_template=manifest.chat_template,
        taken=taken,
        taken_from=taken_from,
    )

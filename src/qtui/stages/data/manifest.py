"""What lies in a run's data folder and what it was made from; what a later start may take as it is.

The manifest is written last: a folder without one holds nothing that may be used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from qtui.config.models import FineTuneConfig
from qtui.runs.dataset import Finding
from qtui.stages.data.measure import Report
from qtui.stages.data.sources import Source, fingerprint_of
from qtui.terminal import clean_line

FILE = "manifest.json"
VERSION = 1

SamplePrompt = tuple[list[dict[str, Any]], str]


class Manifest(msgspec.Struct, frozen=True):
    """What lies in the folder, and what it was made from."""

    version: int
    settings: str
    inputs: dict[str, str]
    has_validation: bool
    sample_prompts: list[SamplePrompt]
    chat_template: str


def read_kept(out: Path, settings: str) -> tuple[Manifest, Report] | None:
    """What a former start with the same settings has prepared, if it is all there.

    The report is what was said then, with a finding for every input that has changed since.
    """
    try:
        manifest = msgspec.json.decode((out / FILE).read_bytes(), type=Manifest)
        report = msgspec.json.decode((out / "report.json").read_bytes(), type=Report)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    if manifest.version != VERSION or manifest.settings != settings:
        return None
    if not (out / "train.arrow").is_file():
        return None
    if manifest.has_validation and not (out / "validation.arrow").is_file():
        return None
    return manifest, _with_changes(report, manifest)


def _with_changes(report: Report, manifest: Manifest) -> Report:
    changed = []
    for name, fingerprint in manifest.inputs.items():
        try:
            same = fingerprint_of(Path(name)) == fingerprint
        except OSError:
            same = False
        if not same:
            message = "has changed since this run read it; the run goes on with what it read"
            changed.append(Finding("warning", "input-changed", message, clean_line(name)))
    if not changed:
        return report
    return msgspec.structs.replace(
        report,
        findings=[*changed, *report.findings],
        finding_counts={**report.finding_counts, "input-changed": len(changed)},
    )


def settings_hash(config: FineTuneConfig, tokenizer: Any) -> str:
    """Hash of everything but files outside the run that decides what is prepared."""
    decides = [
        config.data.model_dump(mode="json"),
        config.training.seed,
        config.training.max_seq_length,
        config.training.assistant_only_loss,
        config.evaluation.num_samples,
        None if config.data.chat_template else tokenizer.chat_template,
        sorted(tokenizer.get_vocab().items()),
    ]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def fingerprints(sources: Iterable[Source], chat_template: str | None) -> dict[str, str]:
    """SHA-256 of every local source, and of the template file, by absolute path."""
    paths = [source.path for source in sources if source.path is not None]
    if chat_template:
        paths.append(Path(chat_template).expanduser())
    return {str(path.resolve()): fingerprint_of(path) for path in paths}

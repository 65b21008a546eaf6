"""What lies in a run's data folder and what it was made from; what may be taken as it is.

The manifest is written last: a folder without one holds nothing that may be used. Its keys say
from what each stage was made, inputs and settings: a later preparation in the workspace takes the
stages whose keys are the same from the run that has them.
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
from qtui.stages.data.reading.sources import Source, fingerprint_of
from qtui.terminal import clean_line

FILE = "manifest.json"
VERSION = 2

SamplePrompt = tuple[list[dict[str, Any]], str]

_LATER = ("chat_template", "on_overlong", "output_path", "output_format", "max_bad_rows")
"""Settings of `data` that the rows which are collected do not depend on."""
_NEVER = ("dataset_num_proc",)


class Manifest(msgspec.Struct, frozen=True):
    """What lies in the folder, and what it was made from.

    `settings` is everything that decides but the files read; `collected` and `encoded` are the
    keys of the two stages, files and all (empty where the files cannot be known, as on the hub).
    `inputs` are SHA-256 by absolute path.
    """

    version: int
    settings: str
    collected: str
    encoded: str
    inputs: dict[str, str]
    parts: list[str]
    sample_prompts: list[SamplePrompt]
    chat_template: str


def read(out: Path) -> Manifest | None:
    """The manifest of `out`, if there is one that this version wrote."""
    try:
        manifest = msgspec.json.decode((out / FILE).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError):
        return None
    return manifest if manifest.version == VERSION else None


def read_kept(out: Path, settings: str) -> tuple[Manifest, Report] | None:
    """What a former start with the same settings has prepared, if it is all there.

    The report is what was said then, with a finding for every input that has changed since.
    """
    manifest = read(out)
    if manifest is None or manifest.settings != settings:
        return None
    if not all((out / name).is_file() for name in manifest.parts):
        return None
    try:
        report = msgspec.json.decode((out / "report.json").read_bytes(), type=Report)
    except (OSError, msgspec.MsgspecError):
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
    return _hash(
        config.data.model_dump(mode="json", exclude=set(_NEVER)),
        config.training.seed,
        _of_tokens(
            config, tokenizer, None if config.data.chat_template else tokenizer.chat_template
        ),
    )


def collected_key(
    config: FineTuneConfig, tokenizer: Any, inputs: dict[str, str], findings: list[Finding]
) -> str:
    """Hash of everything that decides which rows are collected, and of what is said of them.

    `findings` are those about files that are not read.
    """
    return _hash(
        VERSION,
        list(inputs.items()),
        [str(finding) for finding in findings],
        config.data.model_dump(mode="json", exclude={*_LATER, *_NEVER}),
        config.training.seed,
        _of_tokenizer(tokenizer) if config.data.splitter == "token" else None,
    )


def encoded_key(config: FineTuneConfig, tokenizer: Any, collected: str) -> str:
    """Hash of everything that decides what the model sees; the tokenizer has its template."""
    decides = _of_tokens(config, tokenizer, tokenizer.chat_template)
    return _hash(collected, config.data.on_overlong, decides)


def _of_tokens(config: FineTuneConfig, tokenizer: Any, chat_template: str | None) -> list[Any]:
    return [
        config.training.max_seq_length,
        config.training.assistant_only_loss,
        chat_template,
        tokenizer.special_tokens_map,
        _of_tokenizer(tokenizer),
    ]


def _of_tokenizer(tokenizer: Any) -> str:
    """Hash of all that a tokenizer does to a text."""
    if not tokenizer.is_fast:
        return _hash(sorted(tokenizer.get_vocab().items()), str(tokenizer.init_kwargs))
    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    # These two are set by whoever called it last, and have no say here.
    decides = {name: part for name, part in whole.items() if name not in ("truncation", "padding")}
    return _hash(decides, tokenizer.bos_token, tokenizer.split_special_tokens)


def _hash(*decides: Any) -> str:
    text = json.dumps(decides, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def fingerprints(sources: Iterable[Source]) -> dict[str, str]:
    """SHA-256 of every local source by absolute path; of one that cannot be read, why."""
    return dict(_fingerprint(source.path) for source in sources if source.path is not None)


def template_fingerprint(chat_template: str | None) -> dict[str, str]:
    """The same of the template file, where there is one."""
    path = Path(chat_template).expanduser() if chat_template else None
    return dict([_fingerprint(path)]) if path is not None and path.is_file() else {}


def _fingerprint(path: Path) -> tuple[str, str]:
    try:
        return str(path.resolve()), fingerprint_of(path)
    except OSError as error:
        return str(path), f"unreadable: {error.errno}"

"""Writes the result, loadable by plain PEFT or transformers, and says what it belongs to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtui.stages.training.trainer import TRAINING_ARGS

ADAPTER_CONFIG = "adapter_config.json"
PROVENANCE = "qtui.json"
"""Which run made it, from which base: hashes tell a wrong base from the right one."""


def name_base(folder: Path, base: str, local_base: Path, revision: str | None) -> None:
    """Write the base model's name into an adapter's config and model card.

    While training, PEFT knows the base by the folder it was read from; a path of this machine
    means nothing on another.
    """
    path = folder / ADAPTER_CONFIG
    if not path.exists():
        return
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = base
    config["revision"] = revision
    path.write_text(json.dumps(config, indent=2, sort_keys=True))
    card = folder / "README.md"
    if card.exists():
        card.write_text(card.read_text().replace(str(local_base), base))


def save(
    trainer: Any,
    target: Path,
    *,
    base: str,
    local_base: Path,
    revision: str | None,
    provenance: Mapping[str, Any],
) -> int:
    """Write adapter (or model), tokenizer, template and `provenance` to `target`; returns bytes.

    A result of an earlier end of the same run is replaced only when the new one is whole.
    """
    staging = target.with_name(f".{target.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    trainer.save_model(str(staging))
    (staging / TRAINING_ARGS).unlink(missing_ok=True)
    name_base(staging, base, local_base, revision)
    (staging / PROVENANCE).write_text(json.dumps(provenance, indent=2))
    old = target.with_name(f".{target.name}.replaced")
    if target.exists():
        target.rename(old)
    staging.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def copy_out(result: Path, output_dir: str) -> Path:
    """Copy the result to the folder that `training.output_dir` names; returns it."""
    target = Path(output_dir)
    shutil.copytree(result, target, dirs_exist_ok=True)
    return target

"""A checkpoint is complete or does not exist.

The trainer writes into a staging folder on the same disk. Each file is then flushed, hashed and
named in `manifest.json`, which is written last, and the folder is renamed to `step-000120`: a
folder without a manifest, or with one that its files do not match, is no checkpoint. Nothing of
an older checkpoint is touched until the new one is complete.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

import msgspec

from qtui.errors import QtuiError
from qtui.runs.durable import sync_folder

MANIFEST = "manifest.json"
STAGING = ".partial"
_ASIDE = ".replaced-"
_SAFETY = 1.05
"""Free disk wanted before a checkpoint is begun, over the size of the last one."""


class File(msgspec.Struct, frozen=True):
    """One file of a checkpoint."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a folder a checkpoint."""

    step: int
    files: list[File]
    epoch: float | None = None
    trained_tokens: int = 0
    """Tokens that entered the loss so far."""
    num_tokens: int = 0
    """Tokens that entered the model so far, padding not counted."""
    evaluate: bool = False
    """Whether the evaluation due at this step was cut short and is to be made up for."""

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)


class DiskFullError(QtuiError):
    """There is no room for the next checkpoint."""


def folder_name(step: int) -> str:
    return f"step-{step:06d}"


def complete(
    staging: Path,
    checkpoints: Path,
    *,
    step: int,
    epoch: float | None,
    trained_tokens: int,
    num_tokens: int,
    evaluate: bool = False,
) -> tuple[Path, Manifest]:
    """Make the files in `staging` the checkpoint of `step`; returns its folder and manifest.

    A checkpoint of the same step that is there already is replaced.
    """
    files = [_seal(path, staging) for path in sorted(staging.rglob("*")) if path.is_file()]
    manifest = Manifest(
        step=step,
        files=files,
        epoch=epoch,
        trained_tokens=trained_tokens,
        num_tokens=num_tokens,
        evaluate=evaluate,
    )
    with (staging / MANIFEST).open("wb") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(staging)
    target = checkpoints / folder_name(step)
    aside = checkpoints / f"{_ASIDE}{target.name}"
    if target.exists():
        target.rename(aside)
    staging.rename(target)
    sync_folder(checkpoints)
    shutil.rmtree(aside, ignore_errors=True)
    return target, manifest


def read(folder: Path) -> Manifest | None:
    """The manifest of a complete checkpoint; none when the folder is not one.

    Complete means: each file that the manifest names is there with its size and its hash.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError):
        return None
    for file in manifest.files:
        path = folder / file.name
        if not path.is_file() or path.stat().st_size != file.size or _hash(path) != file.sha256:
            return None
    return manifest


def newest(checkpoints: Path) -> tuple[Path, Manifest] | None:
    """The complete checkpoint with the highest step."""
    for folder in reversed(_in_order(checkpoints)):
        manifest = read(folder)
        if manifest is not None:
            return folder, manifest
    return None


def rotate(checkpoints: Path, *, keep: int, saved_step: int, best_step: int | None) -> list[Path]:
    """Remove checkpoints beyond `keep` after that of `saved_step` was written; returns them.

    Never the one just saved, nor that of `best_step`; both count among the kept. The oldest go
    first, after those of later steps: a run that goes on from an earlier checkpoint has passed
    over them because they are damaged.
    """
    folders = _in_order(checkpoints)
    protected = {folder_name(saved_step)}
    if best_step is not None:
        protected.add(folder_name(best_step))
    spare = [folder for folder in folders if folder.name not in protected]
    spare.sort(key=lambda folder: _step(folder) <= saved_step)
    removed = spare[: max(len(folders) - max(keep, len(folders) - len(spare)), 0)]
    for folder in removed:
        shutil.rmtree(folder, ignore_errors=True)
    return removed


def tidy(checkpoints: Path) -> None:
    """Clear up after a killed worker: what is half-written goes, what was set aside returns."""
    shutil.rmtree(checkpoints / STAGING, ignore_errors=True)
    for aside in checkpoints.glob(f"{_ASIDE}*"):
        target = checkpoints / aside.name.removeprefix(_ASIDE)
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(target)


def require_space(checkpoints: Path, needed: int) -> None:
    """Raise `DiskFullError` when a checkpoint of `needed` bytes would not fit."""
    free = shutil.disk_usage(checkpoints).free
    if free < needed * _SAFETY:
        raise disk_full(checkpoints, needed)


def is_disk_full(error: BaseException) -> bool:
    """Whether `error`, or what caused it, is the disk's.

    torch and safetensors wrap the system's error in their own, with its text or without.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        text = str(seen)
        if any(s in text for s in ("No space left", "PytorchStreamWriter", "File too large")):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def disk_full(checkpoints: Path, needed: int) -> DiskFullError:
    """The error that says how much is needed and what is safe."""
    free = shutil.disk_usage(checkpoints).free
    last = newest(checkpoints)
    kept = f"the checkpoint of step {last[1].step} is whole" if last else "there is no checkpoint"
    return DiskFullError(
        f"the disk is full: a checkpoint needs {needed / 1e6:,.0f} MB, "
        f"{free / 1e6:,.0f} MB are free; {kept}",
        remedy=f"free {max(needed * _SAFETY - free, 1e6) / 1e6:,.0f} MB or more "
        "(training.save_total_limit keeps fewer checkpoints), then qtui runs resume",
    )


def _in_order(checkpoints: Path) -> list[Path]:
    """Folders named like checkpoints, by step: names stop sorting right at seven digits."""
    named = [path for path in checkpoints.glob("step-*") if path.name[5:].isdecimal()]
    return sorted(named, key=_step)


def _step(folder: Path) -> int:
    return int(folder.name[5:])


def _seal(path: Path, root: Path) -> File:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    return File(str(path.relative_to(root)), path.stat().st_size, _hash(path))


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

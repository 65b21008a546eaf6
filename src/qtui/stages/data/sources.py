"""Finds what `input_path` means: files, folders, data set folders, hub ids, built-in data.

A folder stands for all *.json and *.jsonl files in it and in its sub-folders, sorted by path.
Links to folders are not followed (so loops do no harm), and a link to a file counts only if the
file lies in the same folder: what is trained on is what lies where the user pointed. A path that
is itself a link is followed, because the user named it.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qtui.config.models import DataConfig
from qtui.errors import InputError, NotFoundError
from qtui.stages.data.rows import Findings
from qtui.terminal import clean_line

SUFFIXES = (".json", ".jsonl", ".ndjson")
_TABLES = (".parquet", ".arrow")
_LATER = (".csv", ".tsv", ".txt", ".md", ".pdf", ".docx", ".html", ".xlsx")
# Files that describe a data set rather than hold rows.
_REGISTRIES = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")


Kind = Literal[
    "auto",
    "json",
    "jsonl",
    "csv",
    "tsv",
    "parquet",
    "pdf",
    "docx",
    "html",
    "md",
    "txt",
    "dataset",
]


Compression = Literal["", "gz", "zst"]


@dataclass(frozen=True)
class Source:
    """One thing to read rows from. `name` is what findings call it; `path` is None for the hub.

    `entry` is the number of the entry of `input_path` that it came from, from 0. `compression` is
    how the file's bytes are packed; `kind` is then that of what is inside.
    """

    name: str
    kind: Kind
    path: Path | None = None
    split: str = "train"
    entry: int = 0
    compression: Compression = ""


def fingerprint_of(path: Path) -> str:
    """SHA-256 of a file's bytes, or of all names and bytes in a folder."""
    if not path.is_dir():
        return _file_digest(path).hex()
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
            digest.update(_file_digest(file))
    return digest.hexdigest()


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def locate(
    paths: str | list[str], config: DataConfig, findings: Findings, *, split: str | None = None
) -> list[Source]:
    """Return the sources that `paths` name, in the order given (a folder's files sorted).

    Raises NotFoundError for a path that does not exist, InputError for one that cannot be read.
    """
    wanted = split or config.split
    sources: list[Source] = []
    for name in [paths] if isinstance(paths, str) else paths:
        if name.startswith("builtin:"):
            sources.append(_builtin(name, wanted))
        elif config.input_type == "dataset":
            local = Path(name).expanduser()
            sources.append(Source(name, "dataset", local if local.exists() else None, wanted))
        else:
            sources += _local_or_hub(name, config, findings, wanted)
    if not sources:
        raise InputError("data.input_path is empty", remedy="Name a file, a folder or a data set.")
    return sources


def _builtin(name: str, split: str) -> Source:
    from qtui.builtin import data_path

    folder = data_path(name.removeprefix("builtin:"))
    file = "validation.jsonl" if split == "validation" else "train.jsonl"
    return Source(f"{name}/{file}", "jsonl", folder / file, split)


def _local_or_hub(name: str, config: DataConfig, findings: Findings, split: str) -> list[Source]:
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(path, config, findings, split)
    if path.exists():
        if not path.is_file():
            raise InputError(f"{clean_line(name)} is neither a file nor a folder")
        if path.suffix.lower() in _TABLES:
            return [Source(name, "dataset", path, split)]
        if path.suffix.lower() in _LATER:
            raise InputError(
                f"{clean_line(name)}: {path.suffix} files cannot be trained on directly",
                remedy="Convert it to JSONL with one object a line: "
                '{"messages": [{"role": "user", ...}, {"role": "assistant", ...}]}.',
            )
        return [Source(name, config.input_type, path, split)]
    if _HUB_ID.fullmatch(name) and path.suffix.lower() not in (*SUFFIXES, *_TABLES, *_LATER):
        return [Source(name, "dataset", None, split)]
    raise _not_found(name, path)


def _not_found(name: str, path: Path) -> NotFoundError:
    remedy = "Paths are relative to the folder in which the command is run."
    if path.parent.is_dir():
        near = difflib.get_close_matches(path.name, os.listdir(path.parent), n=1)  # noqa: PTH208
        if near:
            remedy = f"Did you mean {clean_line(str(path.parent / near[0]))}?"
    return NotFoundError(f"{clean_line(name)} does not exist", remedy=remedy)


def _folder(path: Path, config: DataConfig, findings: Findings, split: str) -> list[Source]:
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        return [Source(str(path), "dataset", path, split)]
    root = path.resolve()
    files: list[Path] = []
    tables = False
    for folder, folders, names in os.walk(path, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file_name in names:
            file = Path(folder) / file_name
            tables |= file.suffix.lower() in _TABLES
            if file.suffix.lower() not in SUFFIXES or file_name.startswith("."):
                continue
            if file_name in _REGISTRIES:
                findings.add("note", "skipped", "describes a data set, holds no rows", str(file))
            elif file.is_symlink() and not file.resolve().is_relative_to(root):
                message = "is a link out of the folder; not read (name the file itself to use it)"
                findings.add("warning", "skipped", message, str(file))
            elif file.is_file():
                files.append(file)
    if files:
        ordered = sorted(files, key=lambda file: file.relative_to(path).as_posix())
        return [Source(str(file), config.input_type, file, split) for file in ordered]
    if tables:
        return [Source(str(path), "dataset", path, split)]
    raise InputError(
        f"{clean_line(str(path))} holds no JSON, JSONL, Parquet or Arrow file",
        remedy="Name the folder or file that holds the rows.",
    )

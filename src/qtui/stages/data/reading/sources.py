"""Finds what `input_path` means: files, folders, patterns, data sets, hub ids, built-in data.

A folder stands for all files in it and in its sub-folders that hold rows or text, sorted by path,
so that the order of a directory never matters. Links to folders are not followed (so loops do no
harm), and a link to a file counts only if the file lies in the same folder: what is trained on is
what lies where the user pointed. A path that is itself a link is followed, because the user named
it. The same holds for a pattern: it is looked for below its part without wildcards.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from qtui.config.models import DataConfig
from qtui.errors import InputError, NotFoundError
from qtui.stages.data.reading import patterns
from qtui.stages.data.reading.suffixes import (
    COMPRESSED,
    Compression,
    Kind,
    advice,
    by_content,
    by_name,
)
from qtui.stages.data.rows import Findings
from qtui.terminal import clean_line

__all__ = ["DOCUMENTS", "Compression", "Kind", "Source", "fingerprint_of", "locate"]

DOCUMENTS = frozenset(("pdf", "docx", "html", "md", "txt"))
"""Kinds that are read as documents: text without rows."""

# Files that describe a data set rather than hold rows.
_REGISTRIES = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
# Files that describe a folder rather than belong to its texts. A README is a text where there are
# no rows beside it: a folder of documents may well begin with one.
_ABOUT = re.compile(
    r"(licen[cs]es?|copying|copyright|notice|changelog|changes|contributing|code_of_conduct"
    r"|authors|codeowners|requirements|robots)(\.\w+)+"
    r"|licen[cs]e[-_.](mit|apache|bsd|l?gpl|cc|mpl)\b.*",
    re.IGNORECASE,
)
_README = re.compile(r"readme([^a-z].*)?", re.IGNORECASE)
_SPLITS = (("train", "training"), ("validation", "valid", "val", "dev"), ("test", "eval"))
"""Names of splits in the names of files; those in one bracket mean the same."""
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")


@dataclass(frozen=True)
class Source:
    """One thing to read rows from. `name` is what findings call it; `path` is None for the hub.

    `kind` auto is JSON or JSON Lines, whichever the content says. `entry` is the number of the
    entry of `input_path` that it came from, from 0. `compression` is how the file's bytes are
    packed; `kind` is then that of what is inside. No two sources have one name, and a name is safe
    to show and to encode, whatever the file is called.
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
            digest.update(os.fsencode(file.relative_to(path)) + b"\0")
            digest.update(_file_digest(file))
    return digest.hexdigest()


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def locate(
    paths: str | list[str], config: DataConfig, findings: Findings, *, split: str | None = None
) -> list[Source]:
    """Return the sources that `paths` name, in the order given (a folder's files sorted).

    What lies in a folder and is not read is said in notes. `split` is that of held-out rows, whose
    files need not be of the kind that `data.input_type` says of `data.input_path`. Raises
    NotFoundError for a path that does not exist and a pattern that matches nothing, InputError for
    what cannot be read.
    """
    wanted = split or config.split
    if split is not None:
        config = config.model_copy(update={"input_type": "auto"})
    found: dict[str, Source] = {}
    for entry, name in enumerate([paths] if isinstance(paths, str) else paths):
        for source in _entry(name, config, findings, wanted):
            before = found.get(source.name)
            if before is None or before.path != source.path:
                unique = source.name if before is None else f"{source.name} ({len(found) + 1})"
                found[unique] = replace(source, name=unique, entry=entry)
            else:
                findings.add("note", "skipped", "is named twice; read once", source.name)
    if not found:
        raise InputError("data.input_path is empty", remedy="Name a file, a folder or a data set.")
    return list(found.values())


def _entry(name: str, config: DataConfig, findings: Findings, split: str) -> list[Source]:
    if name.startswith("builtin:"):
        return [_builtin(name, split)]
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - pathlib raises for unknown users
    exists = os.path.exists(path)  # noqa: PTH110 - pathlib raises for names that are too long
    if config.input_type == "dataset" and not exists:
        return [Source(name, "dataset", None, split)]
    if os.path.isdir(path):  # noqa: PTH112
        return _folder(path, config, findings, split)
    if exists:
        return [_file(name, path, config, split)]
    if patterns.is_pattern(name):
        return _matches(path, config, findings, split)
    if _HUB_ID.fullmatch(name) and by_name(path.name) is None and advice(path.name) is None:
        return [Source(name, "dataset", None, split)]
    raise _not_found(name, path)


def _builtin(name: str, split: str) -> Source:
    from qtui.builtin import data_path

    folder = data_path(name.removeprefix("builtin:"))
    file = "validation.jsonl" if split == "validation" else "train.jsonl"
    return Source(f"{name}/{file}", "jsonl", folder / file, split)


def _not_found(name: str, path: Path) -> NotFoundError:
    remedy = "Paths are relative to the folder in which the command is run."
    if os.path.isdir(path.parent):  # noqa: PTH112
        try:
            names = os.listdir(path.parent)  # noqa: PTH208
        except OSError:
            names = []
        near = difflib.get_close_matches(path.name, names, n=1)
        if near:
            remedy = f"Did you mean {clean_line(str(path.parent / near[0]))}?"
    return NotFoundError(f"{clean_line(name)} does not exist", remedy=remedy)


def _safe(name: str) -> str:
    """A file's name with escapes in place of what is no text or commands a terminal."""
    if clean_line(name) == name:
        return name
    return "".join(
        character if clean_line(character) == character else _escaped(character)
        for character in name
    )


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that fits no character
        return f"\\x{ord(character) & 0xFF:02x}"
    return character.encode("unicode_escape").decode("ascii")


# ---- one file -----------------------------------------------------------------------------------


def _file(name: str, path: Path, config: DataConfig, split: str) -> Source:
    """A file that was named itself: its name says what it is, else the setting, else its content.

    Raises InputError for what cannot be read in any way.
    """
    if not path.is_file():
        raise InputError(f"{clean_line(name)} is neither a file nor a folder")
    named = by_name(path.name)
    compression = named[1] if named else COMPRESSED.get(path.suffix.lower(), "")
    if config.input_type == "dataset":
        return Source(_safe(name), "parquet", path, split)
    if config.input_type != "auto":
        return Source(_safe(name), config.input_type, path, split, compression=compression)
    if named is not None:
        return Source(_safe(name), named[0], path, split, compression=compression)
    remedy = advice(path.name)
    try:
        kind = by_content(path) if remedy is None else None
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        raise InputError(f"{clean_line(name)} {what}") from error
    if kind is None:
        raise InputError(
            f"{clean_line(name)} is of a kind that is not read",
            remedy=remedy or "Name files of JSON, CSV, Parquet, PDF, DOCX, HTML or text.",
        )
    return Source(_safe(name), kind, path, split)


# ---- folders and patterns -----------------------------------------------------------------------


def _folder(path: Path, config: DataConfig, findings: Findings, split: str) -> list[Source]:
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        return [Source(_safe(str(path)), "dataset", path, split)]
    files = patterns.files_below(path, findings, not_in=_copies(config))
    sources = _readable(path, files, config, findings, split)
    if sources:
        return sources
    what = {
        "auto": "JSON, JSONL, CSV, Parquet, PDF, DOCX, HTML or text file",
        "dataset": "saved data set, Parquet or Arrow file",
    }.get(config.input_type, f"{config.input_type} file")
    raise InputError(
        f"{clean_line(str(path))} holds no {what}",
        remedy="Name the folder or file that holds the rows.",
    )


def _matches(pattern: Path, config: DataConfig, findings: Findings, split: str) -> list[Source]:
    root, wildcards = patterns.parted(pattern)
    if not os.path.isdir(root):  # noqa: PTH112
        raise _not_found(str(root), root)
    files = patterns.files_below(root, findings, wildcards, not_in=_copies(config))
    # `*.md` asks for READMEs too; `*` does not ask for anything.
    asks = bool(Path(wildcards[-1]).suffix) and not wildcards[-1].endswith(".*")
    sources = _readable(root, files, config, findings, split, asks_for_all=asks)
    if sources:
        return sources
    raise NotFoundError(
        f"no file that can be read matches {clean_line(str(pattern))}",
        remedy="`*` stands for any part of one name, `**` for any number of folders.",
    )


def _copies(config: DataConfig) -> Path | None:
    """Where this run writes its copies, which are not its input."""
    return None if config.output_path is None else Path(config.output_path).expanduser()


def _readable(
    root: Path,
    files: list[Path],
    config: DataConfig,
    findings: Findings,
    split: str,
    *,
    asks_for_all: bool = False,
) -> list[Source]:
    """The files among those of one folder that hold something to learn, as sources."""
    wanted: Kind = "parquet" if config.input_type == "dataset" else config.input_type
    unread: Counter[str] = Counter()
    known: list[tuple[Path, Kind, Compression]] = []
    for file in files:
        named = by_name(file.name)
        if named is None and asks_for_all and wanted == "auto" and advice(file.name) is None:
            try:
                kind = by_content(file)
            except OSError as error:  # locked, or gone meanwhile
                message = f"cannot be read: {error.strerror or error}"
                findings.add("error", "unreadable-file", message, _safe(str(file)))
                continue
            named = None if kind is None else (kind, "")
        if file.name in _REGISTRIES:
            findings.add("note", "skipped", "describes a data set, holds no rows", _safe(str(file)))
        elif wanted != "auto" and (asks_for_all or _is_kind(named, wanted)):
            compression = named[1] if named else ""
            known.append((file, wanted, compression))
        elif named is None or wanted != "auto":
            unread[_suffix(file)] += 1
        else:
            known.append((file, *named))
    if not asks_for_all:
        known = _without_descriptions(known, findings)
    known = _of_split(known, root, split, findings)
    if unread:
        kinds = ", ".join(f"{number} × {suffix}" for suffix, number in sorted(unread.items()))
        findings.add("note", "skipped", f"not read, of another kind: {kinds}", _safe(str(root)))
    return [
        Source(_safe(str(file)), kind, file, split, compression=compression)
        for file, kind, compression in known
    ]


def _is_kind(named: tuple[Kind, Compression] | None, wanted: str) -> bool:
    if named is None:
        return False
    return named[0] == wanted or (named[0] == "auto" and wanted in ("json", "jsonl"))


def _suffix(file: Path) -> str:
    return clean_line(file.suffix.lower()[:20]) or "no suffix"


def _without_descriptions(
    known: list[tuple[Path, Kind, Compression]], findings: Findings
) -> list[tuple[Path, Kind, Compression]]:
    """Leave out licences and the like; READMEs too where files of rows lie in the same folder."""
    with_rows = {file.parent for file, kind, _ in known if kind not in DOCUMENTS}
    kept = []
    for file, kind, compression in known:
        about = kind in ("md", "txt", "html") and (
            _ABOUT.fullmatch(file.name)
            or (_README.fullmatch(file.name) and file.parent in with_rows)
        )
        if about:
            message = "describes the folder; not read (name the file itself to use it)"
            findings.add("note", "skipped", message, _safe(str(file)))
        else:
            kept.append((file, kind, compression))
    return kept


def _of_split(
    known: list[tuple[Path, Kind, Compression]], root: Path, split: str, findings: Findings
) -> list[tuple[Path, Kind, Compression]]:
    """Without the Parquet and Arrow files that are named after another split, where any are named
    after this one (train-00000-of-…). A name is a whole part of the path, and the last one counts.
    """

    def named_after(file: Path) -> str:
        found = names.findall(file.relative_to(root).as_posix())
        return found[-1].lower() if found else ""

    known_as = next((same for same in _SPLITS if split.lower() in same), (split.lower(),))
    every = {*known_as, *chain(*_SPLITS)}
    longest_first = sorted(map(re.escape, every), key=len, reverse=True)
    names = re.compile(rf"(?:^|(?<=[-_./]))({'|'.join(longest_first)})(?=[-_./]|$)", re.IGNORECASE)
    named = {file: named_after(file) for file, kind, _ in known if kind == "parquet"}
    others = {file for file, name in named.items() if name and name not in known_as}
    if not others or not any(name in known_as for name in named.values()):
        return known
    message = f"{len(others)} Parquet or Arrow files of other splits than {split} were left out"
    findings.add("note", "skipped", message, _safe(str(root)))
    return [one for one in known if one[0] not in others]

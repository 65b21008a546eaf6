"""The files below a folder, all of them or those that a pattern names; safe in any folder.

No link is followed out of the folder or in a loop, hidden files and folders stay hidden, and
nothing is opened: pipes, sockets and devices are not files.
"""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from pathlib import Path

from qtui.runs.folder import SPEC
from qtui.stages.data.reading.compressed import FindingSink

_WILDCARD = re.compile(r"[*?[]")


def is_pattern(name: str) -> bool:
    """Whether a path has wildcards in it (`*`, `?`, `[…]`)."""
    return _WILDCARD.search(name) is not None


def parted(pattern: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder before the first wildcard, and the parts from there on."""
    parts = pattern.parts
    first = next(i for i, part in enumerate(parts) if is_pattern(part))
    return Path(*parts[:first]), parts[first:]


def files_below(
    folder: Path,
    findings: FindingSink,
    wildcards: tuple[str, ...] = ("**",),
    *,
    not_in: Path | None = None,
) -> list[Path]:
    """Return the files below `folder` whose path from there matches, sorted by path.

    `**` matches any number of folders, and as the last part all files in them. What qtui wrote is
    no input: runs in a folder `runs`, and the folder `not_in`, are left out with a note wherever
    they lie below `folder` (not where they are that folder). Warns of links that lead out of the
    folder and of folders that cannot be opened.
    """
    depth = None if "**" in wildcards else len(wildcards)
    shown_hidden = any(part.startswith(".") for part in wildcards)
    root = os.path.realpath(folder)
    copies = None if not_in is None else Path(os.path.realpath(not_in))
    found: list[tuple[str, Path]] = []

    def cannot(error: OSError) -> None:
        message = f"the folder cannot be read: {error.strerror}"
        findings.add("warning", "skipped", message, str(error.filename))

    for at, folders, names in os.walk(folder, onerror=cannot, followlinks=False):
        parts = Path(at).relative_to(folder).parts
        folders[:] = [
            name
            for name in folders
            if (shown_hidden or not name.startswith("."))
            and (depth is None or len(parts) + 1 < depth)
        ]
        ours = _written_by_qtui(at, folders, copies)
        if ours:
            what = "qtui writes there; not read (name the folder itself to use it)"
            message = f"{_listed(ours)}: {what}"
            findings.add("note", "skipped", message, at)
            folders[:] = [name for name in folders if name not in ours]
        for name in names:
            hidden = name.startswith(".") and not shown_hidden
            if not hidden and _matches((*parts, name), wildcards):
                file = Path(at, name)
                if _is_file_inside(file, root, findings):
                    found.append(("/".join((*parts, name)), file))
    return [file for _, file in sorted(found)]


def _written_by_qtui(at: str, folders: list[str], copies: Path | None) -> set[str]:
    """Those of the `folders` in `at` that are runs, or the one where the copies of rows go."""
    real = Path(os.path.realpath(at))
    in_runs = real.name == "runs"
    return {
        name
        for name in folders
        if (in_runs and os.path.isfile(real / name / SPEC))  # noqa: PTH113 - as below
        or real / name == copies
    }


def _listed(names: set[str]) -> str:
    first = ", ".join(sorted(names)[:3])
    return f"{first} and {len(names) - 3} more" if len(names) > 3 else first


def _is_file_inside(file: Path, root: str, findings: FindingSink) -> bool:
    if not os.path.isfile(file):  # noqa: PTH113 - pathlib raises for links in a loop
        return False
    if file.is_symlink() and not Path(os.path.realpath(file)).is_relative_to(root):
        message = "is a link out of the folder; not read (name the file itself to use it)"
        findings.add("warning", "skipped", message, str(file))
        return False
    return True


def _matches(parts: tuple[str, ...], wildcards: tuple[str, ...]) -> bool:
    if not wildcards:
        return not parts
    first, *rest = wildcards
    if first == "**":
        if not rest:
            return bool(parts)
        return any(_matches(parts[i:], tuple(rest)) for i in range(len(parts)))
    return bool(parts) and fnmatchcase(parts[0], first) and _matches(parts[1:], tuple(rest))

"""What a relative path in a setting is relative to.

In a run file: to the run file's folder, so that the file and its data can be moved together and
the worker, which runs elsewhere, finds them. After `--set` or in the environment: to the current
folder, as in any command. `~` is the home folder. Paths in the resolved config are absolute.

`model.model_name`, `data.input_path` and `data.validation_path` may also be a hub id, which looks
like a path. What begins with `/`, `./`, `../` or `~` is a path. So is what exists (for a model: as
a folder), because whoever has a folder of that name means it; `transformers` and `datasets` decide
likewise. Whatever is left is a hub id, save data whose name ends as a data file does, and patterns
(`data/**/*.pdf`), which are made absolute and stay patterns.
`builtin:NAME` and addresses (`hf://…`) are never paths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ALWAYS_PATHS = ("data.chat_template", "data.output_path", "training.output_dir")
MAYBE_HUB = ("data.input_path", "data.validation_path", "data.test_path")
TEMPLATES = ("alpaca", "chatml")
"""Values of `data.chat_template` that name a template of qtui's own, not a file."""

_EXPLICIT = re.compile(r"\.{0,2}/|~|\.{1,2}$")
_ELSEWHERE = re.compile(r"builtin:|[a-z0-9+]+://")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_DATA_FILE = re.compile(
    r"\.(jsonl?|ndjson|csv|tsv|tab|parquet|arrow|feather|txt|text|md|markdown|x?html?|pdf|docx|xlsx"
    r"|log|ya?ml)(\.(gz|zst|bz2|xz))?$",
    re.IGNORECASE,
)


def absolute(values: Mapping[str, Any], folder_of: Callable[[str], Path]) -> dict[str, Any]:
    """Return the settings among `values` (key → value) that hold paths, made absolute.

    `folder_of(key)` is the folder that the key's value is relative to.
    """
    found: dict[str, Any] = {
        key: _absolute(values[key], folder_of(key))
        for key in ALWAYS_PATHS
        if values[key] is not None and values[key] not in TEMPLATES
    }
    found["model.model_name"] = _model(values["model.model_name"], folder_of("model.model_name"))
    kind = values["data.input_type"]
    for key in MAYBE_HUB:
        data, folder = values[key], folder_of(key)
        if isinstance(data, list):
            found[key] = [_data(item, kind, folder) for item in data]
        elif data is not None:
            found[key] = _data(data, kind, folder)
    return found


def _model(name: str, folder: Path) -> str:
    if _ELSEWHERE.match(name):
        return name
    # os.path says no where pathlib raises: a name that is too long, a user who is not there.
    if _EXPLICIT.match(name) or os.path.isdir(folder / name):  # noqa: PTH112
        return _absolute(name, folder)
    return name


def _data(name: str, input_type: str, folder: Path) -> str:
    if _ELSEWHERE.match(name):
        return name
    if _EXPLICIT.match(name) or input_type not in ("auto", "dataset"):
        return _absolute(name, folder)
    is_hub_id = _HUB_ID.fullmatch(name) and not _DATA_FILE.search(name)
    if is_hub_id and not os.path.exists(folder / name):  # noqa: PTH110
        return name
    return _absolute(name, folder)


def _absolute(name: str, folder: Path) -> str:
    """Join without following the last part: a link keeps its name, and so its suffix."""
    joined = folder.absolute() / os.path.expanduser(name)  # noqa: PTH111
    if ".." not in joined.parts:
        return str(joined)
    # `..` after a link leads elsewhere than the text says, so ask the file system.
    if joined.name == "..":
        return os.path.realpath(joined)
    return str(Path(os.path.realpath(joined.parent), joined.name))

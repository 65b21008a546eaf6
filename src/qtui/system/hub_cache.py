"""Where the hub's files lie on this machine, and whether somebody is logged in.

Reads the folder layout of the hub's own cache, so that a model that was downloaded before is
known without the network. Only whether a token exists is ever told, never the token.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


def hub_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The hub library's own folder: HF_HOME, else under XDG_CACHE_HOME, else ~/.cache."""
    if environment.get("HF_HOME"):
        return Path(environment["HF_HOME"]).expanduser()
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "huggingface"


def hub_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder that holds downloaded models: HF_HUB_CACHE, else `hub` in `hub_home`."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environment.get(variable):
            return Path(environment[variable]).expanduser()
    return hub_home(environment) / "hub"


def is_hub_id(name: str) -> bool:
    """Whether `name` has the form of a hub repository's id; it cannot leave the cache then."""
    return len(name) <= 200 and ".." not in name and _HUB_ID.fullmatch(name) is not None


def cached_config(
    name: str, revision: str | None = None, environment: Mapping[str, str] = os.environ
) -> Path | None:
    """The `config.json` of hub model `name` in the local cache, or None.

    Follows `revision` (a commit, branch or tag; main when none is given) as the hub does.
    """
    wanted = revision or "main"
    if not is_hub_id(name) or ".." in wanted or not _REVISION.fullmatch(wanted):
        return None
    folder = hub_cache(environment) / ("models--" + name.replace("/", "--"))
    reference = folder / "refs" / wanted
    commit = wanted
    if reference.is_file():
        commit = reference.read_text(encoding="ascii", errors="replace").strip()
    if not _COMMIT.fullmatch(commit):
        return None
    config = folder / "snapshots" / commit / "config.json"
    return config if config.is_file() else None


def cached_models(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Hub ids of the models whose default revision lies in the local cache, by name."""
    try:
        folders = sorted(entry.name for entry in os.scandir(hub_cache(environment)))
    except OSError:
        return []
    names = [
        folder.removeprefix("models--").replace("--", "/", 1)
        for folder in folders
        if folder.startswith("models--")
    ]
    return [name for name in names if cached_config(name, environment=environment) is not None]


def token_source(environment: Mapping[str, str] = os.environ) -> str | None:
    """Where a hub token is found (a variable's name or a file), or None. Never the token."""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if environment.get(variable, "").strip():
            return variable
    path = Path(environment.get("HF_TOKEN_PATH") or hub_home(environment) / "token").expanduser()
    try:
        found = path.is_file() and path.stat().st_size > 0
    except OSError:
        return None
    return str(path) if found else None

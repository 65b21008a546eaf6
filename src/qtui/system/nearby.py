"""Models and data that lie below a folder, for whoever has to name one.

A walk with bounds: a workspace may hold millions of files, lie on a slow volume, or contain links
in circles. What is not found this way can still be typed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

DEEPEST = 4
"""Levels below the folder that are looked into."""
MOST_ENTRIES = 20_000
"""Entries that are looked at, in all."""
MOST_FOUND = 200

_PASSED_OVER = frozenset({"runs", "node_modules", "__pycache__", "venv", "site-packages"})
_DATA = (".jsonl", ".json", ".ndjson")
_NOT_DATA = frozenset(
    {
        *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
        *("adapter_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json"),
        *("preprocessor_config.json", "package.json", "package-lock.json"),
    }
)


def models_below(folder: Path) -> list[str]:
    """Folders with a `config.json` and weights, as paths relative to `folder` (`./name`)."""
    found = [
        _relative(place, folder)
        for place, names in _walk(folder)
        if "config.json" in names and any(name.endswith(".safetensors") for name in names)
    ]
    return sorted(found)[:MOST_FOUND]


def data_below(folder: Path) -> list[str]:
    """Data files, and folders that hold several, as paths relative to `folder` (`./name`)."""
    found = []
    for place, names in _walk(folder):
        data = [
            name
            for name in names
            if name.lower().endswith(_DATA)
            and name not in _NOT_DATA
            and not name.endswith(".safetensors.index.json")
        ]
        found += [_relative(place / name, folder) for name in data]
        if len(data) > 1 and place != folder:
            found.append(_relative(place, folder) + "/")
    return sorted(found)[:MOST_FOUND]


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders with the names of their files, nearest first; never through a link."""
    waiting, budget = [(folder, 0)], MOST_ENTRIES
    while waiting:
        place, depth = waiting.pop(0)
        try:
            entries = list(os.scandir(place))
        except OSError:
            continue
        budget -= len(entries)
        if budget < 0:
            return
        yield place, [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
        if depth < DEEPEST:
            waiting += [
                (Path(entry.path), depth + 1)
                for entry in sorted(entries, key=lambda entry: entry.name)
                if entry.is_dir(follow_symlinks=False)
                and entry.name not in _PASSED_OVER
                and not entry.name.startswith(".")
            ]


def _relative(path: Path, folder: Path) -> str:
    return f"./{path.relative_to(folder)}"

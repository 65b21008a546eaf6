"""Rows that somebody wants dropped or kept, in the run file: `data.drop_rows`, `data.keep_rows`.

Only the list itself is changed in the file's text; comments, order, quotes and line ends stay as
they are. The new text is read again before it is written, and has to differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from qtui.errors import InputError, NotFoundError
from qtui.runs import durable
from qtui.terminal import clean_line

Choice = Literal["drop", "keep"]
SETTINGS: Mapping[Choice, str] = {"drop": "drop_rows", "keep": "keep_rows"}


@dataclass(frozen=True)
class Choices:
    """Keys of rows to drop and to keep at the next preparation, in the order of the run file."""

    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    def of(self, key: str) -> Choice | None:
        """What is wanted of the row with that key."""
        return "drop" if key in self.drop else "keep" if key in self.keep else None

    def toggled(self, key: str, choice: Choice) -> Choices:
        """With `choice` for the row, or without where it is chosen already."""
        both = {name: tuple(k for k in getattr(self, name) if k != key) for name in SETTINGS}
        if self.of(key) != choice:
            both[choice] += (key,)
        return replace(self, **both)

    def flags(self) -> list[str]:
        """The words after `qtui prepare-data` that say the same."""
        from qtui.config.template import scalar

        lists = [(SETTINGS[name], list(getattr(self, name))) for name in SETTINGS]
        return [word for name, keys in lists if keys
                for word in ("--set", f"data.{name}={scalar(keys)}")]  # fmt: skip


def of_config(config: Mapping[str, Any]) -> Choices:
    """What a resolved config says, such as the frozen one of a run."""
    data = config.get("data")
    lists = [data.get(name) if isinstance(data, dict) else None for name in SETTINGS.values()]
    return Choices(*(tuple(map(str, keys)) if isinstance(keys, list) else () for keys in lists))


def read(path: Path) -> Choices:
    """What the run file at `path` says. Raises NotFoundError, InputError."""
    return _listed(_parsed(_text(path), path), path)


def write(path: Path, choices: Choices) -> None:
    """Put `choices` into the run file at `path`, whole or not at all.

    Raises InputError when the file cannot be changed in this way, saying what to write by hand.
    """
    from qtui.runs.run_file_text import edited

    path = path.resolve()
    text = _text(path)
    before = _parsed(text, path)
    now = _listed(before, path)
    for choice, name in SETTINGS.items():
        keys = getattr(choices, choice)
        if getattr(now, choice) != keys:
            text = edited(text, name, keys)
    after = _parsed(text, path)
    wanted = {**before, **{f"data.{SETTINGS[c]}": list(getattr(choices, c)) for c in SETTINGS}}
    if {k: v for k, v in after.items() if v} != {k: v for k, v in wanted.items() if v}:
        raise _by_hand(path, choices)
    durable.write_once(path, text.encode(), mode=path.stat().st_mode & 0o777)


def _text(path: Path) -> str:
    from qtui.config.run_file import MAX_BYTES

    shown = clean_line(str(path))
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            raise InputError(f"{shown} is larger than 1 MB; a run file has some hundred lines")
        return raw.decode("utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"{shown} is gone") from error
    except OSError as error:
        raise InputError(f"{shown} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{shown} is not UTF-8", remedy="save the file as UTF-8") from error


def _parsed(text: str, path: Path) -> dict[str, Any]:
    from qtui.config import run_file

    found = run_file.parse(text, str(path))
    if found.problems:
        problem = found.problems[0]
        where = f", line {problem.line}" if problem.line else ""
        raise InputError(
            f"{clean_line(str(path))}{where}: {clean_line(problem.sentence, 200)}",
            remedy="mend the run file first; qtui validate shows all that is wrong with it",
        )
    settings = {setting.key: setting.value for setting in found.settings}
    return settings if found.preset is None else {**settings, "preset": found.preset.value}


def _listed(settings: Mapping[str, Any], path: Path) -> Choices:
    lists = [settings.get(f"data.{name}") or [] for name in SETTINGS.values()]
    for keys in lists:
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise InputError(
                f"{clean_line(str(path))}: drop_rows and keep_rows must be lists of texts",
                remedy="put each key in quotes",
            )
    return Choices(*map(tuple, lists))


def _by_hand(path: Path, choices: Choices) -> InputError:
    said = ", ".join(word for word in choices.flags() if word != "--set") or "empty both lists"
    return InputError(
        f"{clean_line(str(path))} is written in a way that is not changed here",
        remedy=f"write it into the file by hand: {said}",
    )

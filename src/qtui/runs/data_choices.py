"""Rows that somebody wants dropped or kept, in the run file: `data.drop_rows`, `data.keep_rows`.

Only the list itself is changed in the file's text; comments, order, quotes and line ends stay as
they are. The new text is read again before it is written, and has to differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from qtui.config import run_file
from qtui.config.run_file import MAX_BYTES
from qtui.config.template import scalar
from qtui.config.yaml_text import YamlError, compose
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
    path = path.resolve()
    text = _text(path)
    before = _parsed(text, path)
    now = _listed(before, path)
    for choice, name in SETTINGS.items():
        keys = getattr(choices, choice)
        if getattr(now, choice) != keys:
            text = _edited(text, name, keys, path)
    after = _parsed(text, path)
    wanted = {**before, **{f"data.{SETTINGS[c]}": list(getattr(choices, c)) for c in SETTINGS}}
    if {k: v for k, v in after.items() if v} != {k: v for k, v in wanted.items() if v}:
        raise _by_hand(path, choices)
    durable.write_once(path, text.encode(), mode=path.stat().st_mode & 0o777)


def _text(path: Path) -> str:
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


# ---- the text ------------------------------------------------------------------------------------


def _edited(text: str, name: str, keys: tuple[str, ...], path: Path) -> str:
    """`text` with `keys` as `data.NAME`."""
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix("\ufeff")
    try:
        root = compose(text)
    except YamlError as error:  # it was read a moment ago
        raise InputError(f"{clean_line(str(path))}: {error.sentence}") from error
    found = _entry(root, "data")
    data = found[1] if found else None
    entry = _entry(data, name)
    value = scalar(list(keys))
    if entry is not None:
        return mark + _replaced(text, *entry, keys)
    return mark + _inserted(text, root, found, f"{name}: {value}")


def _entry(node: Node | None, name: str) -> tuple[Node, Node] | None:
    """The nodes of the entry's name and value."""
    if not isinstance(node, MappingNode):
        return None
    return next(((key, value) for key, value in node.value if key.value == name), None)


def _replaced(text: str, key: Node, value: Node, keys: tuple[str, ...]) -> str:
    start, end = value.start_mark.index, value.end_mark.index
    line = text.rfind("\n", 0, key.start_mark.index) + 1
    if isinstance(value, SequenceNode) and value.flow_style:
        behind = text.find("\n", end)
        whole = text[line : len(text) if behind < 0 else behind].rstrip("\r")
        if not keys and whole.strip() == text[key.start_mark.index : end]:
            return text[:line] + text[behind + 1 if behind >= 0 else len(text) :]
        if "#" in text[start:end]:  # a comment within: to be changed by hand
            return text
        return text[:start] + scalar(list(keys)) + text[end:]
    if not isinstance(value, SequenceNode):  # nothing, or null
        colon = text.index(":", key.end_mark.index) + 1
        end = max(end, colon) if value.value else colon  # nothing is marked where the next thing is
        return f"{text[:colon]} {scalar(list(keys))}{text[end:]}"
    items = {item.value: item for item in value.value if isinstance(item, ScalarNode)}
    gone = [item for name, item in items.items() if name not in keys]
    if not keys:
        colon = text.index(":", key.end_mark.index) + 1
        return text[:colon] + " []" + _without(text[colon:], gone, colon)
    new = [name for name in keys if name not in items]
    last = max(items.values(), key=lambda item: item.end_mark.index)
    place = _line_end(text, last.end_mark.index)
    dash = " " * value.start_mark.column + "- "
    added = "".join(f"{_newline(text)}{dash}{scalar(name)}" for name in new)
    return _without(text[:place], gone, 0) + added + text[place:]


def _without(text: str, items: list[Any], offset: int) -> str:
    """`text` without the lines of `items`, whose marks count from `offset` characters before."""
    for item in sorted(items, key=lambda item: -item.start_mark.index):
        start = text.rfind("\n", 0, item.start_mark.index - offset)
        text = text[: max(start, 0)] + text[_line_end(text, item.end_mark.index - offset) :]
    return text


def _inserted(text: str, root: Node | None, found: tuple[Node, Node] | None, entry: str) -> str:
    newline = _newline(text)
    if isinstance(root, MappingNode) and root.flow_style:
        if found is not None and isinstance(found[1], MappingNode):
            return _in_braces(text, found[1], entry)
        return _in_braces(text, root, f"data: {{{entry}}}") if found is None else text
    if found is None:
        ends = "" if not text or text.endswith("\n") else newline
        return f"{text}{ends}data:{newline}  {entry}{newline}"
    key, data = found
    if isinstance(data, MappingNode) and data.flow_style:
        return _in_braces(text, data, entry)
    if not isinstance(data, MappingNode):
        place = _line_end(text, key.end_mark.index)
        return f"{text[:place]}{newline}  {entry}{text[place:]}"
    place = _line_end(text, _end(text, data))
    return f"{text[:place]}{newline}{' ' * data.start_mark.column}{entry}{text[place:]}"


def _in_braces(text: str, node: MappingNode, entry: str) -> str:
    if not node.value:
        start = node.start_mark.index + 1
        return f"{text[:start]}{entry}{text[start:]}"
    end = _end(text, node.value[-1][1])
    return f"{text[:end]}, {entry}{text[end:]}"


def _end(text: str, node: Node) -> int:
    """Where the last of the text that belongs to `node` ends."""
    if isinstance(node, (MappingNode, SequenceNode)) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last)
    if isinstance(node, ScalarNode) and not node.value and node.style is None:
        return int(node.start_mark.index)
    return len(text[: node.end_mark.index].rstrip())


def _line_end(text: str, at: int) -> int:
    """Where the line ends in which `at` is, before its line break."""
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return end - 1 if end > at and text[end - 1] == "\r" else end


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"

"""One list in the text of a run file, replaced where it stands: all else keeps its every character.

The nodes say where in the text each thing begins and ends. What is written in an unusual way may
come out wrong: whoever calls this reads the new text again and compares (see `data_choices`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from qtui.config.template import scalar
from qtui.config.yaml_text import compose


def edited(text: str, name: str, keys: Sequence[str]) -> str:
    """`text`, which is a run file without problems, with the list `keys` as `data.NAME`."""
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix("\ufeff")
    root = compose(text)
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


def _replaced(text: str, key: Node, value: Node, keys: Sequence[str]) -> str:
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

"""YAML text → nodes with line numbers → plain values, whoever wrote it.

A run file may come from anywhere, and a parser that trusts it can be made to run code (tags), to
fill the memory (aliases of aliases) or to stop answering (a million brackets). So the text is
first gone through event by event within bounds, then composed into nodes, and values are made
from nodes here: texts, numbers, true and false, nothing, lists and sections. YAML 1.2: `2e-4` is
a number, `yes` is a text. Everything else is a `YamlError` with its place.
"""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import MappingStartEvent, NodeEvent, SequenceStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_DEPTH = 20
MAX_NODES = 20_000

_TAG = "tag:yaml.org,2002:"
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_NOT_IN_VALUES = re.compile("[\x00\ud800-\udfff]")
_LONGEST = 2**63

# What the parser says → what to do about it.
_SENTENCES = (
    (r"character '\t'", "a tab stands here; YAML is indented with spaces"),
    ("mapping values are not allowed", "a second ': ' is not allowed here; put the text in quotes"),
    ("expected a single document", "a second document begins below; a run file is only one"),
    ("undefined alias", "an alias (*name) stands before any anchor (&name) of that name"),
    ("expected <block end>", "the indentation does not match the lines above"),
    ("could not find expected ':'", "a setting needs a colon: `name: value`"),
    ("unexpected end of stream", "a quote that is opened here is never closed"),
    ("<stream end>", "a bracket or quote is never closed"),
    ("cannot start any token", "text that begins with this character must be in quotes"),
)


class YamlError(Exception):
    """The text cannot be read: a plain sentence, line and column (from 1, or None)."""

    def __init__(self, sentence: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.line = line
        self.column = column


def compose(text: str) -> Node | None:
    """Parse one YAML document; None for an empty one. Raises YamlError."""
    unreadable = _UNREADABLE.search(text)
    if unreadable:
        before = text[: unreadable.start()]
        raise YamlError(
            f"a control character (U+{ord(unreadable[0]):04X}) stands here; remove it",
            before.count("\n") + 1,
            len(before) - before.rfind("\n"),
        )
    try:
        _check_bounds(text)
        node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        raise _in_plain_words(error) from None
    except YamlError:
        raise
    except Exception as error:
        # The parser has other exceptions for odd input (ValueError, OverflowError, ...).
        raise YamlError(f"is not valid YAML ({type(error).__name__}: {error})") from None
    return node


def value_of(node: Node) -> Any:
    """Return the node as plain Python: str, int, float, bool, None, list or dict.

    Raises YamlError for tags, numbers nobody can mean and anything too deep or too large.
    """
    return _value(node, 0, [0])


def place_of(node: Node) -> tuple[int, int]:
    """Return line and column of a node, from 1."""
    return node.start_mark.line + 1, node.start_mark.column + 1


def is_bare(node: Node) -> bool:
    """Whether a scalar stands there without quotes."""
    return isinstance(node, ScalarNode) and node.style is None


def _check_bounds(text: str) -> None:
    """Stop at the first event too many, before the parser's own cost explodes."""
    depth = 0
    for count, event in enumerate(YAML(typ="safe", pure=True).parse(text)):
        if isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            depth += 1
        elif not isinstance(event, NodeEvent):
            depth = max(depth - 1, 0)
        if depth > MAX_DEPTH:
            raise _error(f"is nested more than {MAX_DEPTH} levels deep", event)
        if count > MAX_NODES:
            raise _error(f"holds more than {MAX_NODES:,} values; a run file is short", event)


def _value(node: Node, depth: int, budget: list[int]) -> Any:
    budget[0] += 1
    if budget[0] > MAX_NODES:
        raise _error(f"its aliases expand to more than {MAX_NODES:,} values", node)
    if depth > MAX_DEPTH:
        raise _error(f"is nested more than {MAX_DEPTH} levels deep, or contains itself", node)
    if isinstance(node, SequenceNode):
        _check_tag(node, "seq")
        return [_value(item, depth + 1, budget) for item in node.value]
    if isinstance(node, MappingNode):
        _check_tag(node, "map")
        return {
            str(_value(name, depth + 1, budget)): _value(value, depth + 1, budget)
            for name, value in node.value
        }
    return _scalar(node)


def _scalar(node: Node) -> str | int | float | bool | None:
    kind = str(node.tag).removeprefix(_TAG)
    text = str(node.value)
    if kind in ("str", "timestamp", "value", "merge"):
        if _NOT_IN_VALUES.search(text):
            raise _error("holds a NUL or half a character, which no text can", node)
        return text
    if kind == "null":
        return None
    if kind not in ("bool", "int", "float"):
        raise _error(f"the tag {node.tag} is not read; write the value plainly", node)
    try:
        value = _number(node, kind)
    except (ValueError, KeyError, IndexError):
        raise _error("is no number; put it in quotes if it is text", node) from None
    if isinstance(value, int) and abs(value) >= _LONGEST:
        raise _error("has more digits than any setting takes", node)
    return value


def _number(node: Node, kind: str) -> int | float | bool:
    constructor = SafeConstructor(loader=YAML(typ="safe", pure=True))
    if kind == "bool":
        return bool(constructor.construct_yaml_bool(node))
    if kind == "int":
        return int(constructor.construct_yaml_int(node))
    return float(constructor.construct_yaml_float(node))


def _check_tag(node: Node, kind: str) -> None:
    if str(node.tag) != _TAG + kind:
        raise _error(f"the tag {node.tag} is not read; write the value plainly", node)


def _error(sentence: str, at: Any) -> YamlError:
    return YamlError(sentence, at.start_mark.line + 1, at.start_mark.column + 1)


def _in_plain_words(error: MarkedYAMLError) -> YamlError:
    said = f"{error.context or ''} {error.problem or ''}"
    sentence = next(
        (ours for theirs, ours in _SENTENCES if theirs in said),
        f"is not valid YAML: {error.problem or error.context}",
    )
    opened = sentence.startswith("a quote")
    mark = (error.context_mark if opened else None) or error.problem_mark or error.context_mark
    if mark is None:
        return YamlError(sentence)
    return YamlError(sentence, mark.line + 1, mark.column + 1)

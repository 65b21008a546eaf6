"""The run file on disk → its settings with their places, and everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from qtui.config.fields import by_key, sections
from qtui.config.names import unknown_section, unknown_setting
from qtui.config.problems import Problem, shown
from qtui.config.sources import Layer, Place, Setting
from qtui.config.yaml_text import YamlError, compose, is_bare, place_of, value_of

MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class RunFile:
    """What a run file says; `preset` is its top-level key of that name, or None."""

    settings: tuple[Setting, ...] = ()
    preset: Setting | None = None
    problems: tuple[Problem, ...] = ()


def read(path: Path) -> RunFile:
    """Read a run file. Never raises: what is wrong stands in `problems`."""
    file = str(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        return _refused(file, _unreadable(path, error))
    except ValueError:
        return _refused(file, "is no file name")
    if len(raw) > MAX_BYTES:
        return _refused(file, "is larger than 1 MB; a run file has some hundred lines")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        sentence = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        return _refused(file, sentence, line)
    return parse(text, file)


def parse(text: str, file: str) -> RunFile:
    """Read the text of a run file; `file` is its name in problems."""
    try:
        root = compose(text)
    except YamlError as error:
        return _refused(file, error.sentence, error.line, error.column)
    if root is None:
        return RunFile()
    return _Reading(file).run(root)


def _refused(
    file: str, sentence: str, line: int | None = None, column: int | None = None
) -> RunFile:
    return RunFile(problems=(Problem(file, line, column, "", sentence),))


def _unreadable(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file; `qtui init PATH` writes one"
    if isinstance(error, IsADirectoryError):
        beside = sorted(found.name for found in path.glob("*.y*ml"))[:3]
        return "is a folder" + (f"; it holds {', '.join(beside)}" if beside else "")
    return f"cannot be read ({error.strerror})"


class _Reading:
    """One pass over the nodes of one file, collecting as it goes."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.settings: list[Setting] = []
        self.problems: list[Problem] = []
        self.preset: Setting | None = None

    def run(self, root: Node) -> RunFile:
        if not isinstance(root, MappingNode):
            if value_or_none(root) is not None:
                names = ", ".join(f"{name}:" for name in sections())
                self._say(root, "", f"must hold sections ({names})")
            return RunFile(problems=tuple(self.problems))
        for name, key_node, node in self._entries(root, ""):
            if name == "preset":
                self.preset = self._setting("preset", key_node, node)
            elif name in sections():
                self._section(name, key_node, node)
            elif isinstance(node, MappingNode):
                self._say(key_node, name, unknown_section(name))
            else:
                sentence = unknown_setting(name)
                known = sentence != "unknown setting"
                self._say(key_node, name, sentence if known else unknown_section(name))
        return RunFile(tuple(self.settings), self.preset, tuple(self.problems))

    def _section(self, section: str, key_node: Node, node: Node) -> None:
        if not isinstance(node, MappingNode):
            given = value_or_none(node)
            if given is not None:
                sentence = f"must be a section, its settings indented below; given {shown(given)}"
                self._say(key_node, section, sentence)
            return
        for name, name_node, value_node in self._entries(node, section):
            key = f"{section}.{name}"
            if key not in by_key():
                self._say(name_node, key, unknown_setting(key))
                continue
            setting = self._setting(key, name_node, value_node)
            if setting is not None:
                self.settings.append(setting)

    def _entries(self, node: MappingNode, section: str) -> Iterator[tuple[str, Node, Node]]:
        """Yield the name, its node and the value's node of each entry that is given once."""
        if str(node.tag) != "tag:yaml.org,2002:map":
            self._say(node, section, f"the tag {node.tag} is not read; remove it")
            return
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            try:
                name = value_of(key_node)
            except YamlError as error:
                self._say(key_node, section, error.sentence)
                continue
            if isinstance(name, (list, dict)):
                self._say(key_node, section, "a list or section cannot be the name of a setting")
                continue
            name = name if isinstance(name, str) else str(key_node.value)
            dotted = f"{section}.{name}" if section else name
            if name == "<<":
                self._say(key_node, dotted, "merge keys are not read; write the settings out")
            elif name in seen:
                sentence = f"is given twice, first in line {seen[name]}; remove one of the two"
                self._say(key_node, dotted, sentence)
            else:
                seen[name] = place_of(key_node)[0]
                yield name, key_node, value_node

    def _setting(self, key: str, key_node: Node, node: Node) -> Setting | None:
        try:
            value = value_of(node)
        except YamlError as error:
            self.problems.append(Problem(self.file, error.line, error.column, key, error.sentence))
            return None
        field = by_key().get(key)
        if field is not None and field.nullable and is_bare(node) and is_none(value):
            value = None
        items = (
            tuple(Place(self.file, *place_of(item)) for item in node.value)
            if isinstance(node, SequenceNode)
            else ()
        )
        place = Place(self.file, *place_of(key_node))
        return Setting(key, value, Layer.FILE, place, items)

    def _say(self, node: Node, key: str, sentence: str) -> None:
        self.problems.append(Problem(self.file, *place_of(node), key, sentence))


def is_none(value: object) -> bool:
    """Whether a value without quotes means none; the word is how the help texts say it."""
    return value is None or (isinstance(value, str) and value.lower() == "none")


def value_or_none(node: Node) -> object:
    """Return a node's value for showing it; a text if it cannot be read."""
    try:
        return value_of(node)
    except YamlError as error:
        return error.sentence

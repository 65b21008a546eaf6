"""Settings from outside the run file: `--set section.name=value` and `QTUI_SECTION__NAME`.

The value is read as YAML (`true`, `2e-4`, `[q_proj, v_proj]`), except that a setting which takes
any text gets the text as it stands, so that `--set data.system_prompt="Answer: #1"` needs no
second pair of quotes. `null`, `none` and, after `--set`, nothing at all mean none. An environment
variable that is set and empty counts as not set. Variables without a double underscore belong
to qtui itself and are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from qtui.config.fields import FieldInfo, by_key, fields, sections
from qtui.config.names import unknown_setting
from qtui.config.problems import Problem
from qtui.config.run_file import is_none
from qtui.config.sources import Layer, Place, Setting
from qtui.config.yaml_text import YamlError, compose, value_of

FLAG = "--set"
PREFIX = "QTUI_"


def from_flags(overrides: Iterable[str]) -> Iterator[Setting | Problem]:
    """Read the values of all `--set` flags, in order: of two for one setting the last counts."""
    for override in overrides:
        key, equals, text = override.partition("=")
        if equals:
            yield _read(key.strip(), text, Layer.FLAG, FLAG)
        else:
            sentence = "write it as section.name=value, such as training.learning_rate=1e-4"
            yield Problem(FLAG, None, None, key, sentence)


def from_environment(environ: Mapping[str, str]) -> Iterator[Setting | Problem]:
    """Read every variable `QTUI_SECTION__NAME` that is not empty."""
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and "__" in variable and environ[variable]:
            key = variable.removeprefix(PREFIX).lower().replace("__", ".")
            yield _read(key, environ[variable], Layer.ENVIRONMENT, variable)


def _read(key: str, text: str, layer: Layer, source: str) -> Setting | Problem:
    field = by_key().get(key)
    if field is None:
        return Problem(source, None, None, key, _unknown(key))
    try:
        value = _value(field, text)
    except YamlError as error:
        return Problem(source, None, None, key, error.sentence)
    return Setting(key, value, layer, Place(source))


def _value(field: FieldInfo, text: str) -> Any:
    stripped = text.strip()
    bare = stripped[:1] not in ("'", '"')
    if bare and field.nullable and (stripped in ("", "~", "null") or is_none(stripped)):
        return None
    is_yaml = not field.text or not bare or (field.listed and stripped.startswith("["))
    if not is_yaml and stripped:
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
            raise YamlError("holds a NUL or is not UTF-8, which no text can be")
        return text
    node = compose(stripped)
    return None if node is None else value_of(node)


def _unknown(key: str) -> str:
    if key == "preset":
        return "a preset is not set this way; use --preset NAME, or `preset: NAME` in the run file"
    if key in sections():
        example = next(field.key for field in fields() if field.section == key)
        return f"is a section; set one of its settings, such as {example}"
    return unknown_setting(key)

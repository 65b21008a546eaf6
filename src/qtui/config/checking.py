"""Merged settings → a valid config, or one plain sentence for each setting that is wrong.

The models decide what is valid; the sentences are made here, from what the field allows and what
was given, and not from the validator's own messages. Settings that contradict each other are told
in the same go as values that are wrong by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from qtui.config.conflicts import Conflict
from qtui.config.fields import FieldInfo, by_key
from qtui.config.models import FineTuneConfig
from qtui.config.names import closest
from qtui.config.problems import Problem, shown
from qtui.config.sources import Layer, Place, Setting


def check(settings: Mapping[str, Setting]) -> tuple[FineTuneConfig | None, list[Problem]]:
    """Return the config of `settings` (key → setting, defaults left out), or all its problems."""
    try:
        return FineTuneConfig.model_validate(_nested(settings.values())), []
    except ValidationError as error:
        wrong, conflicts = _taken_apart(error)
    problems = [_invalid(settings[key], item) for key, item in wrong.items()]
    if wrong:
        # The models look for contradictions only between valid values: leave the others out.
        # A contradiction that involves one of those may be gone once it is mended.
        try:
            FineTuneConfig.model_validate(
                _nested(setting for key, setting in settings.items() if key not in wrong)
            )
        except ValidationError as error:
            conflicts = [c for c in _taken_apart(error)[1] if not wrong.keys() & set(c.keys)]
    problems += [_contradiction(conflict, settings) for conflict in conflicts]
    return None, problems


def _nested(settings: Iterable[Setting]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for setting in settings:
        section, _, name = setting.key.partition(".")
        nested.setdefault(section, {})[name] = setting.value
    return nested


def _taken_apart(error: ValidationError) -> tuple[dict[str, int | None], list[Conflict]]:
    """Return the keys with wrong values (each with the list item at fault), and the conflicts."""
    wrong: dict[str, int | None] = {}
    conflicts: list[Conflict] = []
    for detail in error.errors(include_url=False, include_input=False):
        if detail["type"] == "conflict":
            conflicts += detail["ctx"]["conflicts"]
            continue
        section, name, *rest = detail["loc"]
        item = next((part for part in rest if isinstance(part, int)), None)
        key = f"{section}.{name}"
        wrong[key] = wrong.get(key) if item is None else item
    return wrong, conflicts


def _invalid(setting: Setting, item: int | None) -> Problem:
    field = by_key()[setting.key]
    place, value = setting.place, setting.value
    if item is not None and isinstance(value, list):
        value = value[item]
        place = setting.items[item] if item < len(setting.items) else place
    sentence = f"must be {field.allowed}; given {shown(value)}{_way_out(field, value)}"
    return Problem(place.file, place.line, place.column, setting.key, sentence)


def _way_out(field: FieldInfo, value: object) -> str:
    if isinstance(value, str):
        if value in field.choices or (field.listed and _is_name(value)):
            return f"; did you mean [{value}]?"
        close = closest(value.lower(), field.choices, cutoff=0.6)
        if close:
            return f"; did you mean {close}?"
        if "number" in field.type and _is_number(value):
            return "; write it without quotes"
        if "true or false" in field.type and value.lower() in ("yes", "no", "on", "off"):
            return f"; did you mean {str(value.lower() in ('yes', 'on')).lower()}?"
    if field.text and isinstance(value, (int, float)):
        return "; put it in quotes"
    return ""


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z]\w*_\w+", text, re.ASCII) is not None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _contradiction(conflict: Conflict, settings: Mapping[str, Setting]) -> Problem:
    """Tell it at the first of its settings that somebody wrote, rather than at a preset's."""
    given = [settings[key] for key in conflict.keys if key in settings]
    written = [setting for setting in given if setting.layer != Layer.PRESET]
    place = next((setting.place for setting in [*written, *given]), Place(""))
    return Problem(place.file, place.line, place.column, conflict.keys[0], conflict.sentence)

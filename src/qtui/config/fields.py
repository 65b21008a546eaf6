"""The flat list of all settings, for whoever lists, explains or edits them.

Read from the JSON Schema of the models, so that docs, template, form and `--help` say what the
models check and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from qtui.config.models import ALLOWED, FineTuneConfig


@dataclass(frozen=True)
class FieldInfo:
    """One setting.

    `key` is `training.learning_rate`; `type` says in words what is allowed, without bounds (`a
    number`, `one of nf4, fp4`). `minimum`, `maximum` are inclusive, `above`, `below` are not; all
    are None where there is no bound. `choices` are the only texts allowed, or empty. `text` is
    true where any text is a valid value (so a number must be quoted), `listed` where a list is.
    """

    key: str
    section: str
    name: str
    type: str
    default: Any
    nullable: bool
    text: bool
    listed: bool
    choices: tuple[str, ...]
    minimum: float | None
    maximum: float | None
    above: float | None
    below: float | None
    help: str

    @property
    def bounds(self) -> str:
        """The bounds in words, such as `at least 1`; empty where there are none."""
        words = (
            ("above", self.above),
            ("at least", self.minimum),
            ("below", self.below),
            ("at most", self.maximum),
        )
        return " and ".join(f"{word} {bound:.12g}" for word, bound in words if bound is not None)

    @property
    def allowed(self) -> str:
        """Type, bounds and whether it may be none: `a whole number, at least 1, or none`."""
        parts = [self.type, self.bounds, "or none" if self.nullable else ""]
        return ", ".join(part for part in parts if part)


@cache
def fields() -> tuple[FieldInfo, ...]:
    """Return every setting, in the order of the run file."""
    schema = FineTuneConfig.model_json_schema()
    found = []
    for section, model in _sections(schema).items():
        for name, described in model["properties"].items():
            found.append(_field(section, name, described))
    return tuple(found)


@cache
def by_key() -> dict[str, FieldInfo]:
    """Return the settings by key."""
    return {field.key: field for field in fields()}


@cache
def sections() -> dict[str, str]:
    """Return the sections, in order, each with what it is about."""
    found = _sections(FineTuneConfig.model_json_schema())
    return {name: model["description"] for name, model in found.items()}


def _sections(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Section name → the schema of its model."""
    return {
        name: schema["$defs"][described["$ref"].rpartition("/")[2]]
        for name, described in schema["properties"].items()
    }


def _field(section: str, name: str, described: dict[str, Any]) -> FieldInfo:
    kinds = described.get("anyOf", [described])
    bounds: dict[str, float] = {}
    for kind in kinds:
        bounds |= {word: kind[word] for word in _BOUNDS if word in kind}
    return FieldInfo(
        key=f"{section}.{name}",
        section=section,
        name=name,
        type=", or ".join(
            described.get(ALLOWED) or _type(kind) for kind in kinds if kind.get("type") != "null"
        ),
        default=described["default"],
        nullable=any(kind.get("type") == "null" for kind in kinds),
        text=any(kind.get("type") == "string" and not _choices(kind) for kind in kinds),
        listed=any(kind.get("type") == "array" for kind in kinds),
        choices=tuple(
            choice
            for kind in kinds
            for choice in (*_choices(kind), *_choices(kind.get("items", {})))
        ),
        minimum=bounds.get("minimum"),
        maximum=bounds.get("maximum"),
        above=bounds.get("exclusiveMinimum"),
        below=bounds.get("exclusiveMaximum"),
        help=" ".join(described["description"].split()),
    )


_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_WORDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
}


def _choices(kind: dict[str, Any]) -> list[str]:
    if "const" in kind:
        return [kind["const"]]
    return list(kind.get("enum", []))


def _type(kind: dict[str, Any]) -> str:
    choices = _choices(kind)
    if len(choices) == 1:
        return choices[0]
    if choices:
        return f"one of {', '.join(choices)}"
    if kind["type"] == "array":
        items = kind["items"]
        if ALLOWED in items:
            return f"a list of {items[ALLOWED]}"
        if items["type"] == "number":
            return "a list of numbers"
        choices = _choices(items)
        return f"a list with any of {', '.join(choices)}" if choices else "a list of texts"
    return "text, not empty" if "minLength" in kind else _WORDS[kind["type"]]

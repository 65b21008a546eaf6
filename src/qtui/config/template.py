"""Run files as text: the commented one that `qtui init` writes, and a resolved config as YAML."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from qtui.config.fields import FieldInfo, fields, sections
from qtui.config.load import resolve_dict
from qtui.config.models import FineTuneConfig
from qtui.config.presets import PRESETS
from qtui.config.problems import ConfigError, Problem

WIDTH = 88

_PLAIN = re.compile(r"[A-Za-z][\w./:+-]*[\w/]|[A-Za-z]|\.{0,2}/[\w./+-]*[\w/]", re.ASCII)
_NOT_A_TEXT = {"true", "false", "null", "none", "yes", "no", "on", "off"}
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t"}


def commented(preset: str) -> str:
    """Return a run file with every setting explained; only what `preset` sets is active.

    Loaded, it is exactly the preset. Raises ConfigError if there is no such preset.
    """
    if preset not in PRESETS:
        sentence = f"there is no such preset; there are {', '.join(PRESETS)}"
        raise ConfigError([Problem("--preset", None, None, preset, sentence)])
    active = PRESETS[preset].settings
    lines = [
        f"# A run file for qtui, made from the preset {preset}.",
        *_comment(PRESETS[preset].sentence, ""),
        "#",
        "# Lines that begin with # and a setting show its default: remove the # to change it.",
        "# Relative paths are relative to this file's folder. `qtui validate` checks the file,",
        "# `qtui train` trains it; --set section.name=value and QTUI_SECTION__NAME=value win",
        "# over what stands here.",
    ]
    for section, about in sections().items():
        lines += ["", *_comment(about, ""), f"{section}:"]
        for field in fields():
            if field.section == section:
                lines += _explained(field, active)
    return "\n".join(lines) + "\n"


def dump(config: FineTuneConfig, only_changed: bool) -> str:
    """Return `config` as YAML that loads back to it; `only_changed` leaves defaults out.

    Printable ASCII throughout (other characters are escaped), a line a setting; `{}` when there
    is nothing to say.
    """
    resolved = resolve_dict(config)
    lines = []
    for section in sections():
        of_section = [
            f"  {field.name}: {scalar(value)}"
            for field in fields()
            if field.section == section
            for value in [resolved[section][field.name]]
            if not only_changed or value != field.default
        ]
        lines += [f"{section}:", *of_section] if of_section else []
    return "\n".join(lines or ["{}"]) + "\n"


def scalar(value: Any) -> str:
    """Write a value (text, number, true or false, none, list of these) as YAML on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list):
        return f"[{', '.join(scalar(item) for item in value)}]"
    if isinstance(value, str):
        is_plain = _PLAIN.fullmatch(value) and value.lower() not in _NOT_A_TEXT
        return value if is_plain else f'"{"".join(map(_escaped, value))}"'
    return str(value)


def _explained(field: FieldInfo, active: Any) -> list[str]:
    # What a path, a text or a switch may hold can be seen from its default.
    allowed = f" [{field.allowed}]" if field.choices or field.bounds else ""
    help_text = f"{field.help}{allowed}"
    is_active = field.key in active
    value = active[field.key] if is_active else field.default
    line = f"{'  ' if is_active else '  #'}{field.name}: {scalar(value)}"
    return [*_comment(help_text, "  "), line]


def _comment(text: str, indent: str) -> list[str]:
    mark = f"{indent}# "
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=mark,
        subsequent_indent=mark,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _number(value: float) -> str:
    """As people of this field write it: 2e-4, 0.05, 64."""
    if value != 0 and abs(value) < 1e-3:
        digits, _, power = f"{value:e}".partition("e")
        short = f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
        return short if float(short) == value else repr(value)
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    code = ord(char)
    if 0x20 <= code < 0x7F:
        return char
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

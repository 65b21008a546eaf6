"""The user's own settings: what the dashboard looks like, its keys, the price of an hour.

They lie in `~/.config/qtui/config.toml` (or below `XDG_CONFIG_HOME`). The environment wins over
the file. Reading never fails: a setting that cannot be used is left at its default, and the
problem is a sentence for the user, who gets a dashboard all the same. No setting of a run is
here: a run is described by its run file alone.
"""

from __future__ import annotations

import difflib
import os
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from qtui.terminal import clean_line


class UserConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, each usable as it is."""

    theme: str = ""
    """Name of a theme; empty: by what the terminal can show."""
    ascii: bool = False
    """Draw with ASCII characters only."""
    mouse: bool = True
    """Take the mouse; without it the terminal's own selecting works as usual."""
    bell: bool = True
    """Ring the terminal's bell at an alert."""
    price_per_hour: float | None = None
    """What an hour of this machine costs, in whatever currency the user thinks in."""
    webhook: str = ""
    """Address that alerts are posted to as JSON."""
    keys: Mapping[str, str] = {}
    """Id of a key in the table (`home.resume`) to the keys that shall do it (`R` or `r,R`)."""


ENVIRONMENT: Mapping[str, str] = {
    "QTUI_THEME": "theme",
    "QTUI_PRICE_PER_HOUR": "price_per_hour",
    "QTUI_WEBHOOK": "webhook",
}
"""Variables that win over the file, and the setting each one sets."""


def config_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where `config.toml` and the user's `themes/` lie."""
    above = environment.get("XDG_CONFIG_HOME", "")
    # The XDG rules say that a relative path there is to be ignored.
    folder = Path(above) if Path(above).is_absolute() else Path.home() / ".config"
    return folder / "qtui"


def config_file(environment: Mapping[str, str] = os.environ) -> Path:
    """The file with the user's settings; it need not exist."""
    return config_folder(environment) / "config.toml"


def read_user_config(
    environment: Mapping[str, str] = os.environ,
) -> tuple[UserConfig, tuple[str, ...]]:
    """The user's settings, and a sentence for everything in them that cannot be used."""
    path = config_file(environment)
    found, problems = _read_file(path)
    values: dict[str, Any] = {}
    for name, value in found.items():
        _take(name, value, clean_line(str(path)), values, problems)
    for variable, name in ENVIRONMENT.items():
        text = environment.get(variable, "").strip()
        if text:
            _take(name, _number(text) if name == "price_per_hour" else text, variable, values,
                  problems)  # fmt: skip
    return UserConfig(**values), tuple(problems)


def _read_file(path: Path) -> tuple[dict[str, Any], list[str]]:
    shown = clean_line(str(path))
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), []
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        why = "is not UTF-8 text"
    except tomllib.TOMLDecodeError as error:
        why = f"is not TOML: {clean_line(str(error))}"
    return {}, [f"{shown} {why}. Mend it or take it away; until then the defaults hold."]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _take(
    name: str, value: object, where: str, values: dict[str, Any], problems: list[str]
) -> None:
    """Put a setting into `values`, or what is wrong with it into `problems`."""
    check = _CHECKS.get(name)
    if check is None:
        known = list(_CHECKS)
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
        problems.append(f"{where}: there is no setting {clean_line(name, 40)!r}; {meant}")
    elif name == "keys" and isinstance(value, dict):
        values["keys"] = _keys(value, where, problems)
    elif wanted := check(value):
        problems.append(f"{where}: {name} is {clean_line(repr(value), 40)}; it must be {wanted}.")
    else:
        values[name] = float(value) if name == "price_per_hour" else value  # type: ignore[arg-type]


def _keys(table: Mapping[str, object], where: str, problems: list[str]) -> dict[str, str]:
    """The entries of `[keys]`; `home.resume = "R"` without quotes is a table within a table."""
    flat: dict[str, object] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{verb}": keys for verb, keys in value.items()}
        else:
            flat[name] = value
    good = {}
    for name, value in flat.items():
        if isinstance(value, str) and value.strip():
            good[name] = value.strip()
        else:
            problems.append(
                f'{where}: [keys] {clean_line(name, 40)} must be a text such as "R" or "r,ctrl+r".'
            )
    return good


def _text(value: object) -> str:
    return "" if isinstance(value, str) else "a text in quotes"


def _switch(value: object) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _price(value: object) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    good = number and 0 <= value <= sys.float_info.max  # type: ignore[operator]
    return "" if good else "a number such as 0.69"


def _address(value: object) -> str:
    good = isinstance(value, str) and (not value or value.startswith(("https://", "http://")))
    return "" if good else "an address that begins with https:// or http://"


def _table(value: object) -> str:
    return "" if isinstance(value, dict) else "a table: a line [keys], then one key a line"


_CHECKS: Mapping[str, Callable[[object], str]] = {
    "theme": _text,
    "ascii": _switch,
    "mouse": _switch,
    "bell": _switch,
    "price_per_hour": _price,
    "webhook": _address,
    "keys": _table,
}

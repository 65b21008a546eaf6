"""The user's own keys: reads `[keys]` of the config file against the table of all keys.

What cannot be used (an id that does not exist, a key that no keyboard has, one key for two things
on one screen) is left at its default and told in a sentence; the rest counts.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping

from textual.binding import Binding, BindingError
from textual.keys import KEY_ALIASES, Keys

from qtui import keymap
from qtui.keymap import EVERYWHERE, Key
from qtui.terminal import clean_line

_NAMES = (
    {key.value for key in Keys}
    | {alias for aliases in KEY_ALIASES.values() for alias in aliases}
    | {f"f{number}" for number in range(1, 25)}
)
_MODIFIERS = ("ctrl", "shift", "alt", "super", "meta", "hyper")


def remap(
    wanted: Mapping[str, str], table: Iterable[Key] = keymap.TABLE
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Id to keys for Textual's keymap, and a sentence for every wish that cannot be granted."""
    by_id = {key.id: key for key in table}
    problems: list[str] = []
    granted: dict[str, str] = {}
    for id, keys in wanted.items():
        if id not in by_id:
            problems.append(_unknown(id, by_id))
        elif wrong := _not_keys(keys):
            problems.append(
                f"[keys] {id}: {clean_line(wrong, 30)!r} is no key. Keys are written like R, "
                "ctrl+r, f5, enter, space; several with commas between."
            )
        else:
            granted[id] = keys
    _drop_clashes(granted, by_id, problems)
    return granted, tuple(problems)


def _unknown(id: str, by_id: Mapping[str, Key]) -> str:
    near = difflib.get_close_matches(id, by_id, n=1)
    meant = f"did you mean {near[0]}?" if near else "? in the dashboard shows all of them."
    return f"[keys] {clean_line(id, 40)} is not the name of any key; {meant}"


def _not_keys(keys: str) -> str:
    """The first of `keys` that is none, or nothing."""
    for key in keys.split(","):
        *modifiers, name = key.strip().split("+") if len(key.strip()) > 1 else (key.strip(),)
        if any(modifier not in _MODIFIERS for modifier in modifiers):
            return key.strip()
        if len(name) != 1 and name not in _NAMES and not _named_character(name):
            return key.strip() or keys
    return ""


def _named_character(name: str) -> bool:
    """Whether Textual calls a character so, such as `question_mark`."""
    try:
        unicodedata.lookup(name.replace("_", " ").upper())
    except KeyError:
        return name in ("plus", "minus", "slash", "underscore", "backslash", "at", "hash", "pipe")
    return True


def _drop_clashes(granted: dict[str, str], by_id: Mapping[str, Key], problems: list[str]) -> None:
    """Take back what would make one key do two things at one place; says both."""
    for id in list(granted):
        # A key that it has by default may be shared on purpose, as q and escape are.
        new = [key for key in spelled(granted[id]) if key not in spelled(by_id[id].keys)]
        for key in new:
            other = _owner(key, by_id[id], granted, by_id)
            if other is not None:
                does = other.help.rstrip(".")
                problems.append(
                    f"[keys] {id}: {display(key)} is already {other.id} ({does}). {id} stays "
                    f"{display(by_id[id].keys)}; choose another key, or move {other.id}."
                )
                del granted[id]
                break


def _owner(
    key: str, asking: Key, granted: Mapping[str, str], by_id: Mapping[str, Key]
) -> Key | None:
    """What else `key` does where `asking` works.

    A screen that has a key for itself which leads elsewhere by default, as Chat has 1 and 2, keeps
    it wherever that key is made to lead.
    """
    everywhere = [each for each in by_id.values() if each.screen == EVERYWHERE]
    leads = asking.screen == EVERYWHERE and any(key in spelled(each.keys) for each in everywhere)
    for other in by_id.values():
        if other.id == asking.id or not _meet(asking, other):
            continue
        if leads and other.screen != EVERYWHERE and key in spelled(other.keys):
            continue
        if key in spelled(granted.get(other.id, other.keys)):
            return other
    return None


def _meet(one: Key, other: Key) -> bool:
    return one.screen == other.screen or EVERYWHERE in (one.screen, other.screen)


def spelled(keys: str) -> tuple[str, ...]:
    """`keys` one by one as Textual names them: `?` is question_mark."""
    try:
        return tuple(binding.key for binding in Binding.make_bindings([Binding(keys, "")]))
    except BindingError:
        return ()


_SHORT = {
    "question_mark": "?",
    "exclamation_mark": "!",
    "colon": ":",
    "semicolon": ";",
    "comma": ",",
    "full_stop": ".",
    "slash": "/",
    "solidus": "/",
    "plus": "+",
    "plus_sign": "+",
    "minus": "-",
    "hyphen_minus": "-",
    "equals_sign": "=",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "asterisk": "*",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "escape": "esc",
    "pageup": "pgup",
    "pagedown": "pgdn",
}


def display(keys: str) -> str:
    """Keys as a person reads them: `r, ctrl+r` for `r,ctrl+r`, `?` for `question_mark`."""
    return ", ".join(map(_display_one, spelled(keys)))


def _display_one(key: str) -> str:
    *modifiers, name = key.split("+")
    if name.startswith("upper_") and len(name) == 7:
        name = name[6:]
    return "+".join((*modifiers, _SHORT.get(name, name)))

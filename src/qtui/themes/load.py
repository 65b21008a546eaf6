"""Reads theme files into Textual's themes, and says in a sentence what is wrong with a broken one.

A theme is a TOML file; its name is the file's. `colours` says what it paints with: "own" (the
default: every colour is written in the file), "terminal" (the 16 colours that the terminal
itself is set to) or "none". Wherever a cursor or a selection is, it is also reversed, bold or
underlined, so that no theme needs colour to be understood.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

from qtui.terminal import clean_line

_HERE = Path(__file__).parent
_PAINTS = ("primary", "secondary", "accent", "success", "warning", "error")
_GROUNDS = ("foreground", "background", "surface", "panel", "muted")
_WORDS = ("about", "colours", "dark")
_KNOWN = (*_WORDS, *_GROUNDS, *_PAINTS)
_KINDS = ("own", "terminal", "none")

# Cursors that are seen in every terminal: by turning round what is there.
_REVERSED = {
    "ansi-background": "ansi_default",
    "ansi-foreground": "ansi_default",
    "block-cursor-foreground": "ansi_default",
    "block-cursor-background": "ansi_default",
    "block-cursor-text-style": "reverse",
    "block-cursor-blurred-foreground": "ansi_default",
    "block-cursor-blurred-background": "ansi_default",
    "block-cursor-blurred-text-style": "bold underline",
    "block-hover-background": "ansi_default",
    "input-cursor-foreground": "ansi_default",
    "input-cursor-background": "ansi_default",
    "input-cursor-text-style": "reverse",
    "input-selection-foreground": "ansi_default",
    "input-selection-background": "ansi_default",
    "border": "ansi_default",
    "border-blurred": "ansi_default",
    "scrollbar": "ansi_default",
    "scrollbar-hover": "ansi_default",
    "scrollbar-active": "ansi_default",
    "scrollbar-background": "ansi_default",
    "scrollbar-background-hover": "ansi_default",
    "scrollbar-background-active": "ansi_default",
}


@dataclass(frozen=True)
class Look:
    """A theme as Textual knows it, and what qtui has to know beside."""

    theme: Theme
    about: str
    colours: bool = True
    """Whether it shows any colour; the application takes away what is left of it otherwise."""


def load_themes(folder: Path) -> tuple[dict[str, Look], tuple[str, ...]]:
    """All themes by name, the user's from `folder` last, and a sentence for each broken file.

    A theme of the user's takes the place of one of ours that has the same name.
    """
    looks: dict[str, Look] = {}
    problems: list[str] = []
    for path in (*_ours(), *sorted(folder.glob("*.toml"))):
        try:
            looks[path.stem] = _look(path)
        except _BrokenThemeError as broken:
            shown = clean_line(str(path))
            problems.append(f"{shown}: {broken}. The theme is left out until it is mended.")
    return looks, tuple(problems)


def _ours() -> Iterable[Path]:
    """In the order in which the key goes through them."""
    order = ("dark", "light", "high-contrast", "colour-blind-safe", "16-colour", "mono")
    return (_HERE / f"{name}.toml" for name in order)


class _BrokenThemeError(Exception):
    """What is wrong, as the middle of a sentence."""


def _look(path: Path) -> Look:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _BrokenThemeError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _BrokenThemeError("is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise _BrokenThemeError(f"is not TOML: {clean_line(str(error))}") from error
    _check(found)
    kind = found.get("colours", "own")
    about = clean_line(found.get("about", ""), 60)
    if kind == "own":
        return Look(_painted(clean_line(path.stem), found), about)
    return Look(_of_the_terminal(clean_line(path.stem), found), about, colours=kind != "none")


def _check(found: Mapping[str, Any]) -> None:
    """Raises `_BrokenThemeError` when Textual could not make a theme of it."""
    for name, value in found.items():
        if name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, n=1)
            meant = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(_KNOWN)}"
            raise _BrokenThemeError(f"nothing is called {clean_line(name, 40)!r}{meant}")
        if name == "dark":
            if not isinstance(value, bool):
                raise _BrokenThemeError("dark must be true or false")
        elif not isinstance(value, str):
            raise _BrokenThemeError(f"{name} must be a text in quotes")
        elif name == "colours":
            if value not in _KINDS:
                raise _BrokenThemeError(f"colours must be one of {', '.join(_KINDS)}")
        elif name != "about":
            _check_colour(name, value)
    if found.get("colours", "own") == "own":
        missing = [name for name in (*_GROUNDS, *_PAINTS) if name not in found]
        if missing:
            raise _BrokenThemeError(f"it does not say {', '.join(missing)}")


def _check_colour(name: str, value: str) -> None:
    try:
        Color.parse(value)
    except ColorParseError as error:
        shown = clean_line(value, 30)
        raise _BrokenThemeError(
            f"{name} is {shown!r}, which is no colour; write it like #62aef5"
        ) from error


def _painted(name: str, found: Mapping[str, Any]) -> Theme:
    muted = found["muted"]
    return Theme(
        name=name,
        dark=found.get("dark", True),
        **{ground: found[ground] for ground in ("foreground", "background", "surface", "panel")},
        **{paint: found[paint] for paint in _PAINTS},
        variables={
            "text-muted": muted,
            "foreground-muted": muted,
            "border-blurred": muted,
            "block-cursor-foreground": found["background"],
            "block-cursor-background": found["accent"],
            "block-cursor-text-style": "bold",
            "block-cursor-blurred-foreground": found["foreground"],
            "block-cursor-blurred-background": found["panel"],
            "block-cursor-blurred-text-style": "underline",
            "scrollbar": muted,
            "scrollbar-hover": found["accent"],
            "scrollbar-active": found["accent"],
            "scrollbar-background": found["background"],
            "scrollbar-background-hover": found["background"],
            "scrollbar-background-active": found["background"],
        },
    )


def _of_the_terminal(name: str, found: Mapping[str, Any]) -> Theme:
    paints = {paint: found.get(paint, "ansi_default") for paint in _PAINTS}
    return Theme(
        name=name,
        ansi=True,
        dark=found.get("dark", True),
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        **paints,
        # Textual gives these a transparent ground; what lies over something else must hide it.
        variables=_REVERSED | {"surface": "ansi_default", "panel": "ansi_default"},
    )

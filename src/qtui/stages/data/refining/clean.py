"""Cleans the texts of a row: characters first, then white space; what was done is said.

Nothing is invented: what comes out are the characters that went in, in the Unicode form asked for,
without control characters and superfluous white space, and wrongly decoded ones decoded anew.
Cleaning twice does nothing more. An answer that is JSON stays JSON: white space never changes its
value, and its strings are those that went in, cleaned.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from qtui.config.models import DataConfig
from qtui.stages.data.refining import control, fences, mojibake
from qtui.stages.data.refining.texts import with_texts
from qtui.stages.data.rows import Row

_LINE_ENDS = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_CARRIAGE_RETURNS = re.compile("\r\n?")
_IN_JSON_STRINGS = re.compile("[\x85\u2028\u2029]")
_INDENTED = re.compile(r"\n[ \t]+\S")
# Each pass after the first mends what the one before laid open (a letter that came together when a
# control character between its halves went), and makes the text shorter.
_PASSES = 100


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A row after cleaning: the same object, and `done` empty, when there was nothing to do.

    `done` says what was done in the order it was done, such as "control characters removed: 2".
    """

    row: Row
    done: tuple[str, ...]


@dataclass(slots=True)
class _Done:
    """What was done to the texts of one row."""

    mojibake: bool = False
    controls: int = 0
    unicode: bool = False
    white_space: bool = False

    def add(self, other: _Done) -> None:
        self.mojibake |= other.mojibake
        self.controls += other.controls
        self.unicode |= other.unicode

    def said(self, form: str) -> tuple[str, ...]:
        steps = (
            (self.mojibake, "mojibake fixed"),
            (self.controls, f"control characters removed: {self.controls}"),
            (self.unicode, f"unicode {form}"),
            (self.white_space, "white space"),
        )
        return tuple(text for was_done, text in steps if was_done)


class Cleaner:
    """Does what `data.normalize_unicode`, `normalize_whitespace` and two `on_…` settings say."""

    def __init__(self, config: DataConfig) -> None:
        self._form = config.normalize_unicode
        self._white_space = config.normalize_whitespace
        self._remove = config.on_control_characters == "remove"
        self._fix = config.on_mojibake == "fix"

    def __call__(self, row: Row) -> Cleaned:
        done = _Done()
        cleaned = with_texts(row, lambda text: self._text(text, done))
        return Cleaned(cleaned, () if cleaned is row else done.said(self._form))

    def _text(self, text: str, done: _Done) -> str:
        for _ in range(_PASSES):
            new = self._characters(text, done)
            if self._white_space:
                tidied = tidy(new)
                done.white_space |= tidied != new
                new = tidied
            if new == text or new.isascii():
                return new
            text = new
        return text

    def _characters(self, text: str, done: _Done) -> str:
        """What is done to characters wherever they stand; JSON is left alone if it would break."""
        if text.isascii() and not (self._remove and control.found(text)):
            return text
        made = _Done()
        new = self._mended(text, made)
        if new == text:
            return text
        if text.lstrip()[:1] in ("{", "[", '"') and not self._keeps_json(text, new):
            return text
        done.add(made)
        return new

    def _mended(self, text: str, done: _Done) -> str:
        # Mojibake first: its bytes 80 to 9F are control characters to everything that follows.
        if self._fix:
            fixed = mojibake.fixed(text)
            done.mojibake |= fixed != text
            text = fixed
        if self._remove:
            bare = control.removed(text)
            done.controls += len(text) - len(bare)
            text = bare
        if self._form != "none" and not unicodedata.is_normalized(self._form, text):
            text = unicodedata.normalize(self._form, text)
            done.unicode = True
        return text

    def _keeps_json(self, before: str, after: str) -> bool:
        """Whether JSON, if it is any, still says the same but for the characters of its strings."""
        try:
            value = json.loads(before)
        except (ValueError, RecursionError):
            return True
        try:
            return self._same(value, json.loads(after))
        except (ValueError, RecursionError):
            return False

    def _same(self, before: Any, after: Any) -> bool:
        if isinstance(before, str):
            return isinstance(after, str) and self._mended(before, _Done()) == after
        if isinstance(before, list):
            return (
                isinstance(after, list)
                and len(before) == len(after)
                and all(map(self._same, before, after))
            )
        if isinstance(before, dict):
            return isinstance(after, dict) and self._same(
                [part for pair in before.items() for part in pair],
                [part for pair in after.items() for part in pair],
            )
        # repr: NaN is no NaN, and 1 is no True.
        return repr(before) == repr(after)


def tidy(text: str) -> str:
    """White space as `data.normalize_whitespace` wants it; see there.

    The first line keeps its indentation (a tab, or two and more spaces) where another line is
    indented too: it is code, a table or a poem then.
    """
    if _has_other_line_ends(text):
        strings = _IN_JSON_STRINGS.search(text) and _is_json(text)
        text = (_CARRIAGE_RETURNS if strings else _LINE_ENDS).sub("\n", text)
    if "\n" not in text:
        return text.strip()
    text = "\n".join([line.rstrip() for line in text.split("\n")]).strip("\n")
    if "\n\n\n" in text:
        text = _collapsed(text)
    if text[:1].isspace() and not (text.startswith(("  ", "\t")) and _INDENTED.search(text)):
        text = text.lstrip()
    return text


def _has_other_line_ends(text: str) -> bool:
    # Several searches for one character each are many times as fast as one pattern.
    if "\r" in text or "\f" in text or "\v" in text:
        return True
    return not text.isascii() and ("\x85" in text or "\u2028" in text or "\u2029" in text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _collapsed(text: str) -> str:
    """The text with one blank line wherever several stand together outside of code."""
    kept: list[str] = []
    blank = False
    for line, code in fences.marked(text.split("\n")):
        if line or code or not blank:
            kept.append(line)
        blank = not line and not code
    return "\n".join(kept)

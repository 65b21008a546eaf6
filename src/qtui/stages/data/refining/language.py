"""The language of a text, by Google's Compact Language Detector 2.

It is asked about a few hundred characters of prose and believed when it calls itself reliable;
short texts, code and numbers have no language here. Nothing raises: what the detector refuses has
no language either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pycld2  # type: ignore[import-untyped]

from qtui.stages.data.refining import control, fences
from qtui.stages.data.rows import Row

SAMPLE = 400
"""Characters of a row that are looked at."""
_SHORTEST = 40  # bytes of letters in the sample; less is guessing
_SURE = 40  # percent of the text that the first language must have
_SOME = 15  # percent from which a second language is there too

# Old codes of the detector, and names for the same thing.
_CODES = {"iw": "he", "jw": "jv", "in": "id", "nb": "no", "nn": "no", "mo": "ro", "fil": "tl"}
# Written so alike that a few sentences do not tell them apart.
_ALIKE = ({"hr", "sr", "bs"}, {"id", "ms"})
_ADDRESS = re.compile(r"https?://\S+")


@dataclass(frozen=True, slots=True)
class Language:
    """`code` is ISO 639-1 (639-3 where there is none), "" if unknown; `plausible` all that it
    may be."""

    code: str
    plausible: frozenset[str]


UNKNOWN = Language("", frozenset())


def primary(code: str) -> str:
    """The language of a code, without its script or country: zh for zh-Hant."""
    short = code.partition("-")[0].lower()
    return _CODES.get(short, short)


def of_row(row: Row) -> Language:
    """The language of what is asked and answered; instructions and tools' results do not count."""
    room = SAMPLE
    pieces: list[str] = []
    texts = [row.text] if row.text is not None else _said(row)
    for text in texts:
        piece = _prose(text, room)
        pieces.append(piece)
        room -= len(piece)
        if room <= 0:
            break
    return of_text("\n".join(pieces))


def of_text(text: str) -> Language:
    """The language of a text of prose, unknown where it is short or the detector is not sure."""
    if len(text) < _SHORTEST // 3:  # three bytes a character in Chinese
        return UNKNOWN
    reliable, found, details = _detect(text)
    if not reliable or found < _SHORTEST or details[0][2] < _SURE:
        return UNKNOWN
    code = primary(details[0][1])
    if code in ("", "un", "xxx"):
        return UNKNOWN
    plausible = {code} | {primary(detail[1]) for detail in details[1:] if detail[2] >= _SOME}
    for group in _ALIKE:
        if code in group:
            plausible |= group
    return Language(code, frozenset(plausible))


_Detail = tuple[str, str, int, float]


def _detect(text: str) -> tuple[bool, int, tuple[_Detail, ...]]:
    try:
        answer: tuple[bool, int, tuple[_Detail, ...]] = pycld2.detect(text.encode())
    except (pycld2.error, UnicodeEncodeError):
        # It takes no control characters and no code points that are for no character.
        legible = "".join(c if c.isprintable() else " " for c in control.removed(text))
        try:
            answer = pycld2.detect(legible.encode())
        except pycld2.error:
            return False, 0, (("Unknown", "un", 0, 0.0),)
    return answer


def _said(row: Row) -> list[str]:
    """Answers first: they are what is learnt."""
    answers = [turn["content"] for turn in row.messages if turn["role"] == "assistant"]
    questions = [turn["content"] for turn in row.messages if turn["role"] == "user"]
    return answers + questions


def _prose(text: str, room: int) -> str:
    """The first `room` characters that are neither code nor JSON."""
    if text[:1] in ("{", "["):
        return ""
    text = text[: 4 * room]
    if fences.has_fence(text):
        lines = fences.marked(text.split("\n"))
        text = "\n".join(line for line, code in lines if not code)
    text = text[:room]
    return _ADDRESS.sub(" ", text) if "://" in text else text

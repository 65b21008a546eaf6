"""Text that says the same words over and over, as a model does that has lost its way.

The measure is one of the repetition rules of MassiveText (Rae et al. 2021, arXiv 2112.11446, table
A1), which RefinedWeb uses too: of the characters in words, the share in 10-grams of words that
occur more than once; above 0.10 a document goes, and one under 50 words is not judged. On answers
those rules as published fire on 1 row in 36 (213 of 7,676 real ones), nearly all of them sound:
an answer repeats the question, a proof its terms, a list its pattern, a song its chorus. Therefore
here

- a 10-gram counts when it occurs five times; or three times, where those make up half the text;
- fewer than six in ten words must be different ones, which is cheap to know beforehand;
- code blocks, tables, JSON and lines that are mostly no letters are left out;
- the rules on 2- to 9-grams and on lines are not used: a loop of words shows in its 10-grams.

Text without spaces between words is measured by its characters, with 20-grams. That is Chinese and
Japanese; in Thai and its neighbours repetition is not seen.
"""

from __future__ import annotations

import re
from collections import Counter

from qtui.stages.data.refining import fences

_FEWEST_WORDS = 50
_MOST_DIFFERENT = 0.6
_OFTEN, _SHARE_OFTEN = 5, 0.10
_SOME, _SHARE_SOME = 3, 0.5
_WORDS, _CHARACTERS = 10, 20
_NO_SPACES = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_JSON_KEY = re.compile(r'"[^"\n]{1,80}"\s*:')
_UNITS = re.compile("[\u3040-\u30ff\u3400-\u9fff]|[^\\s\u3000-\u303f\u3040-\u30ff\u3400-\u9fff]+")


def share(text: str) -> float:
    """The share of a text, 0 to 1, that repeats what stands there several times; 0: not worth it.

    A share is given only when it is more than the rules above allow.
    """
    if len(text) < 2 * _FEWEST_WORDS:
        return 0.0
    size = _WORDS
    units = text.split()
    if len(units) * 12 < len(text) and len(_NO_SPACES.findall(text)) * 2 > len(text):
        size = _CHARACTERS
        units = _UNITS.findall(text)
    if not _is_monotonous(units) or not _repeats(units, size):
        return 0.0
    prose = _prose(text)
    units = prose.split() if size == _WORDS else _UNITS.findall(prose)
    if not _is_monotonous(units):
        return 0.0
    grams = _grams(units, size)
    counts = Counter(grams)
    often = _covered(units, [counts[gram] >= _OFTEN for gram in grams], size)
    some = _covered(units, [counts[gram] >= _SOME for gram in grams], size)
    return some if often > _SHARE_OFTEN or some > _SHARE_SOME else 0.0


def _is_monotonous(units: list[str]) -> bool:
    return len(units) >= _FEWEST_WORDS and len(set(units)) < _MOST_DIFFERENT * len(units)


def _repeats(units: list[str], size: int) -> bool:
    """Whether enough n-grams occur again that it is worth counting which do."""
    grams = _grams(units, size)
    return len(set(grams)) < (1 - _SHARE_OFTEN / 2) * len(grams)


def _grams(units: list[str], size: int) -> list[tuple[str, ...]]:
    return list(zip(*[units[index:] for index in range(size)], strict=False))


def _prose(text: str) -> str:
    lines = text.split("\n")
    if fences.has_fence(text):
        lines = [line for line, code in fences.marked(lines) if not code]
    return "\n".join(line for line in lines if _is_prose(line.strip()))


def _is_prose(line: str) -> bool:
    if line[:1] in ("", *"|{}[]<") or _JSON_KEY.match(line):
        return False
    return sum(map(str.isalpha, line)) * 2 > len(line)


def _covered(units: list[str], starts: list[bool], size: int) -> float:
    """Share of the characters in units that lie in one of the n-grams that start where it says."""
    covered = total = 0
    end = 0
    for index, unit in enumerate(units):
        if index < len(starts) and starts[index]:
            end = index + size
        total += len(unit)
        if index < end:
            covered += len(unit)
    return covered / total

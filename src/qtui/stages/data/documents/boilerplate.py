"""Finds what repeats on the pages of a document and is no part of its text.

A line at the top or bottom of a page is a header or footer when the same line, but for numbers,
stands there on at least three pages, and every number in it is either the same each time or counts
with the pages. The second condition keeps rows of tables and captions that look alike. Words that
were hyphenated at the end of a line are joined only where the document itself says that it is one
word, or that the first half is none.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from qtui.stages.data.documents.document_blocks import counted

EDGE_LINES = 4
"""Lines from the top and from the bottom of a page among which headers and footers are looked
for."""
LEAST_PAGES = 3
LONGEST = 200
"""Characters; a longer line is no header."""
_NEIGHBOURS = 4  # a running head comes again within so many pages; left and right may alternate
_AGREEING = 0.8  # of the pages on which a number has to count with them; some are printed wrongly

_NUMBER = re.compile(r"\d+")
_PAGE_WORD = r"(?:page|pg\.?|p\.|seite|s\.|página|pagina|pág\.?|стр\.?|strona|sida|side|第)"
_BARE = re.compile(
    rf"[\s\-–—|·.\[(]*{_PAGE_WORD}?\s*\d+\s*(?:(?:/|of|von|de|di|из|z|av)\s*\d+)?\s*[页頁]?"
    r"[\s\-–—|·.\])]*",
    re.IGNORECASE,
)
# Possessive, and only from the beginning of a word: a megabyte without spaces is one word.
_HALF = r"(?<![^\W\d_])(?P<first>[^\W\d_]{2,}+)(?P<hyphen>[-\u2010\u00ad])[ \t]*"
_REST = r"[ \t]*+(?P<second>[^\W\d_]{2,}+)(?P<mark>[^\s\w\u2010-]*+)(?P<space>[ \t]*+)"
_BREAK = re.compile(rf"{_HALF}\n{_REST}")
_LAST_HALF = re.compile(rf"{_HALF}\s*\Z")
_FIRST_REST = re.compile(rf"\s*+{_REST}")
_WORD = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")


@dataclass(frozen=True)
class Removed:
    """How much was taken away or joined; `str()` says it, or nothing."""

    headers: int = 0
    footers: int = 0
    numbers: int = 0
    joined: int = 0

    def __str__(self) -> str:
        gone = [
            counted(number, what)
            for number, what in (
                (self.headers, "page header"),
                (self.footers, "page footer"),
                (self.numbers, "page number"),
            )
            if number
        ]
        said = [f"{', '.join(gone)} removed"] if gone else []
        if self.joined:
            said.append(f"{counted(self.joined, 'hyphenated word')} joined")
        return ", ".join(said)


def remove(pages: list[str]) -> tuple[list[str], Removed]:
    """Return the pages without headers, footers and page numbers, and with split words joined."""
    lines = [page.split("\n") for page in pages]
    running = _running(lines)
    count: Counter[str] = Counter()
    kept = []
    for number, page in enumerate(lines):
        top, _ = _edges(page)
        gone = running[number]
        for place in gone:
            bare = _BARE.fullmatch(page[place])
            count["numbers" if bare else "headers" if place in top else "footers"] += 1
        kept.append("\n".join(line for place, line in enumerate(page) if place not in gone))
    if 2 * sum(map(len, kept)) < sum(map(len, pages)):  # then it is what the document is about
        kept, count = pages, Counter()
    joined_pages, joined = join_hyphenated([page.strip("\n") for page in kept])
    removed = Removed(count["headers"], count["footers"], count["numbers"], joined)
    return joined_pages, removed


def _edges(page: list[str]) -> tuple[list[int], list[int]]:
    """Places of the first and the last lines of a page that are not blank, each line once."""
    filled = [place for place, line in enumerate(page) if line.strip()]
    top = filled[:EDGE_LINES]
    return top, [place for place in filled[-EDGE_LINES:] if place not in top]


@dataclass(frozen=True)
class _Seen:
    page: int
    place: int
    numbers: tuple[int, ...]


def _running(pages: list[list[str]]) -> list[set[int]]:
    """For each page the places of its lines that are headers, footers or page numbers."""
    seen: dict[str, list[_Seen]] = defaultdict(list)
    for number, page in enumerate(pages):
        for edge in _edges(page):
            for place in edge:
                line = page[place]
                if len(line) > LONGEST:
                    continue
                numbers = tuple(int(digits[:12]) for digits in _NUMBER.findall(line))
                seen[_form(line)].append(_Seen(number, place, numbers))
    running: list[set[int]] = [set() for _ in pages]
    for form, lines in seen.items():
        for run in _runs(lines):
            for found in _counting(run, bare=not any(map(str.isalpha, form))):
                running[found.page].add(found.place)
    return running


def _form(line: str) -> str:
    return " ".join(_NUMBER.sub("0", line).casefold().split())


def _runs(lines: list[_Seen]) -> list[list[_Seen]]:
    """Parts of `lines` whose pages lie close together."""
    runs: list[list[_Seen]] = []
    for line in lines:
        if runs and line.page - runs[-1][-1].page <= _NEIGHBOURS:
            runs[-1].append(line)
        else:
            runs.append([line])
    return runs


def _counting(run: list[_Seen], *, bare: bool) -> list[_Seen]:
    """The lines of a run that are headers or footers; none where it is not one.

    `bare`: there are no words in it, so that a number has to count with the pages.
    """
    if len({line.page for line in run}) < LEAST_PAGES:
        return []
    chosen = run
    counts = False
    for column in range(len(run[0].numbers)):
        values = Counter(line.numbers[column] for line in chosen)
        if len(values) == 1:
            continue
        offsets = Counter(line.numbers[column] - line.page for line in chosen)
        offset, _ = offsets.most_common(1)[0]
        chosen = [line for line in chosen if line.numbers[column] - line.page == offset]
        counts = True
    pages = {line.page for line in run}
    if len({line.page for line in chosen}) < max(LEAST_PAGES, _AGREEING * len(pages)):
        return []
    return chosen if counts or not bare else []


def join_hyphenated(pages: list[str]) -> tuple[list[str], int]:
    """Join words that were hyphenated at the end of a line, also over the end of a page.

    The rest of the word moves up to its beginning; the break comes behind it. Returns the pages and
    how many words were joined. A hyphen that is part of the word stays.
    """
    words = Counter(
        word.casefold()
        for page in pages
        for word in _WORD.findall(_LAST_HALF.sub(" ", _BREAK.sub(" ", page)))
    )
    count = 0

    def one_word(first: str, hyphen: str, second: str) -> str | None:
        """How the two are written as one word, or None: that cannot be known."""
        nonlocal count
        whole, compound = first + second, f"{first}-{second}"
        if not second.islower():
            return None
        if hyphen != "\u00ad" and not words[whole.casefold()]:
            if words[compound.casefold()]:
                return compound
            if words[first.casefold()]:
                return None
        count += 1
        return whole

    def moved_up(match: re.Match[str]) -> str:
        word = one_word(match["first"], match["hyphen"], match["second"])
        if word is None:
            return match.group()
        return word + match["mark"] + ("\n" if match["space"] else "")

    whole = [_BREAK.sub(moved_up, page) for page in pages]
    for number in range(len(whole) - 1):
        half = _LAST_HALF.search(whole[number][-80:])
        rest = _FIRST_REST.match(whole[number + 1])
        if half and rest and (word := one_word(half["first"], half["hyphen"], rest["second"])):
            kept = whole[number].rstrip()[: -len(half["first"] + half["hyphen"])]
            whole[number] = kept + word + rest["mark"]
            whole[number + 1] = whole[number + 1][rest.end() :].lstrip("\n")
    return whole, count

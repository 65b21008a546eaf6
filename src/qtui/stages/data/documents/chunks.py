"""Cuts the text of a document into pieces that can be learnt from, with LangChain's splitters.

Every piece is at most `chunk_size` long, stands in the document as it is (but for white space), and
knows its page and the headings above it. Headings are borders: short sections that fit into one
piece together stay together, a long one is cut by itself, and a heading goes with the text below
it, never at the end of a piece by itself. Overlap is kept inside a section.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from qtui.stages.data.documents.document_blocks import Block

Count = Callable[[str], int]

# Two letters or digits before a full stop: "1. Introduction" and "e.g." are no ends of sentences.
_SENTENCE = r"(?<=\w\w\.)\s+|(?<=[!?…])\s+|(?<=[.!?…][\"”’')\]])\s+|(?<=[。！？])"
# Words that are longer than a piece are cut by `_halves`: LangChain takes hours over a megabyte.
_SEPARATORS = [r"\n\n", _SENTENCE, r"\n", r"\s+"]
_PARAGRAPH = "\n\n"
_MID_SENTENCE = re.compile(r"[^\W_]|[,;\-–]")


@dataclass(frozen=True)
class Piece:
    """A piece of a document: `page` is that of its beginning, `headings` the outermost first."""

    text: str
    page: int = 0
    headings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Splitting:
    """How to cut: see the settings of these names. `count` measures a text."""

    splitter: Literal["recursive", "character", "token"] = "recursive"
    chunk_size: int = 2000
    chunk_overlap: int = 200
    count: Count = len


@dataclass
class _Section:
    """The text from one heading (or several without text between them) to the next."""

    headings: tuple[str, ...] = ()
    head: str = ""
    body: list[Block] = field(default_factory=list)


@dataclass(frozen=True)
class _Text:
    """A text, and the pages that begin in it: (offset, page)."""

    text: str
    headings: tuple[str, ...]
    head: int
    """Characters of headings that it begins with."""
    pages: tuple[tuple[int, int], ...]


@lru_cache(maxsize=2)
def token_count(tokenizer_file: Path) -> Count:
    """How many tokens a text has for the tokenizer in a tokenizer.json, special ones left out."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    return count


def pieces(blocks: Iterable[Block], how: Splitting) -> Iterator[Piece]:
    """Yield the pieces of a document in order; nothing of its text is left out."""
    for text in _joined(_sections(blocks), how):
        position = 0
        place = 0
        for piece in _split(text, how):
            found = text.text.find(piece, position)
            if found >= 0:
                place = found
                position = place + 1 if how.chunk_overlap else place + len(piece)
            yield Piece(piece, _page_at(text.pages, place), text.headings)


def _sections(blocks: Iterable[Block]) -> Iterator[_Section]:
    path: list[tuple[int, str]] = []
    section = _Section()
    for block in blocks:
        if block.level:
            if section.body:
                yield section
                section = _Section()
            path = [above for above in path if above[0] < block.level]
            path.append((block.level, block.title))
            section.head += (_PARAGRAPH if section.head else "") + block.text
            section.headings = tuple(title for _, title in path)
        else:
            section.body.append(block)
    if section.body or section.head:
        yield section


def _joined(sections: Iterable[_Section], how: Splitting) -> Iterator[_Text]:
    """Texts of sections; those that fit into one piece together become one text.

    Its headings are those that all of it stands under.
    """
    open_text: _Text | None = None
    for section in sections:
        text = _text_of(section)
        if open_text is not None:
            together = open_text.text + _PARAGRAPH + text.text
            if how.count(together) <= how.chunk_size:
                shift = len(open_text.text) + len(_PARAGRAPH)
                pages = tuple((offset + shift, page) for offset, page in text.pages)
                shared = _common(open_text.headings, text.headings)
                open_text = _Text(together, shared, open_text.head, open_text.pages + pages)
                continue
            yield open_text
        open_text = text
    if open_text is not None:
        yield open_text


def _common(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(x for x, _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def _text_of(section: _Section) -> _Text:
    text = section.head
    pages = []
    for block in section.body:
        if text:
            text += _joint(text, block, section)
        pages.append((len(text), block.page))
        text += block.text
    return _Text(text, section.headings, len(section.head), tuple(pages))


def _joint(text: str, block: Block, section: _Section) -> str:
    """What stands between two blocks: a sentence that goes on over a page is not torn apart."""
    goes_on = (
        block.page
        and len(text) > len(section.head)
        and _MID_SENTENCE.match(text[-1])
        and block.text[:1].islower()
    )
    return "\n" if goes_on else _PARAGRAPH


def _page_at(pages: tuple[tuple[int, int], ...], place: int) -> int:
    if not pages:
        return 0
    number = bisect_right(pages, place, key=lambda begin: begin[0])
    return pages[max(number - 1, 0)][1]


def _split(text: _Text, how: Splitting) -> list[str]:
    found = _cut(text.text, how, how.chunk_size)
    body = text.text[text.head :].lstrip()
    if len(found) < 2 or not body or len(found[0]) > text.head:
        return found
    # The headings would stand alone: cut what is below them into pieces that leave room for them.
    head = text.text[: text.head] + _PARAGRAPH
    room = how.chunk_size - how.count(head) - 1
    if room <= max(how.chunk_size // 2, how.chunk_overlap):
        return found
    first, *rest = _cut(body, how, room)
    if how.count(head + first) > how.chunk_size:
        return found
    return [head + first, *rest]


def _cut(text: str, how: Splitting, size: int) -> list[str]:
    """Pieces of one text by LangChain's splitters, none longer than `size`."""
    if how.count(text) <= size:
        return [text.strip()] if text.strip() else []
    found = []
    for piece in _splitter(how, size).split_text(text):
        if how.count(piece) <= size:
            found.append(piece)
        else:
            # A paragraph that is too long (splitter: character), or tokens that do not add up.
            for part in _recursive(how, size).split_text(piece):
                found += _halves(part.strip(), how.count, size)
    return [piece for piece in found if piece]


def _splitter(how: Splitting, size: int) -> Any:
    if how.splitter == "character":
        from langchain_text_splitters.character import CharacterTextSplitter

        return CharacterTextSplitter(
            separator=_PARAGRAPH,
            chunk_size=size,
            chunk_overlap=how.chunk_overlap,
            length_function=how.count,
        )
    return _recursive(how, size)


def _recursive(how: Splitting, size: int) -> Any:
    from langchain_text_splitters.character import RecursiveCharacterTextSplitter

    return RecursiveCharacterTextSplitter(
        separators=_SEPARATORS,
        is_separator_regex=True,
        chunk_size=size,
        chunk_overlap=how.chunk_overlap,
        length_function=how.count,
    )


def _halves(text: str, count: Count, size: int) -> list[str]:
    """Cut in the middle, or at white space close to it, until every part fits."""
    if count(text) <= size or len(text) < 2:
        return [text]
    middle = len(text) // 2
    if space := re.search(r"\s", text[middle : middle + middle // 2]):
        middle += space.start()
    parts = (text[:middle].strip(), text[middle:].strip())
    return [half for part in parts if part for half in _halves(part, count, size)]

"""Laws of pieces: none too long, nothing lost or invented, in order, with page and headings."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qtui.stages.data.documents.chunks import Piece, Splitting, pieces, token_count
from qtui.stages.data.documents.document_blocks import Block, heading

Splitter = Literal["recursive", "character", "token"]


def words(text: str) -> int:
    """A measure in which lengths do not add up, as with tokens."""
    return len(text.split()) + text.count("x")


def bare(text: str) -> str:
    return re.sub(r"\s", "", text)


def whole(blocks: list[Block]) -> str:
    return "\n\n".join(block.text for block in blocks)


TEXT = st.text("ab x\n.。漢", max_size=300)
BLOCKS = st.lists(
    st.one_of(
        st.builds(Block, TEXT),
        st.builds(heading, st.integers(1, 4), st.text("AB c", min_size=1, max_size=30)),
    ),
    max_size=8,
)
PAGES = st.lists(TEXT, max_size=8).map(
    lambda texts: [Block(text, page) for page, text in enumerate(texts, 1)]
)
MEASURES = st.sampled_from([("recursive", len), ("character", len), ("token", words)])


@settings(max_examples=300)
@given(st.one_of(BLOCKS, PAGES), MEASURES, st.integers(20, 200), st.booleans())
@example([Block("x" * 500)], ("token", words), 20, True)
@example([heading(1, "A" * 50), Block("b " * 100)], ("recursive", len), 60, False)
def test_laws(blocks: list[Block], measure: tuple, size: int, overlapping: bool) -> None:
    splitter, count = measure
    overlap = size // 4 if overlapping else 0
    found = [*pieces(blocks, Splitting(splitter, size, overlap, count))]
    text = bare(whole(blocks))
    assert all(count(piece.text) <= size for piece in found)
    assert all(piece.text == piece.text.strip() != "" for piece in found)
    assert all(bare(piece.text) in text for piece in found)
    assert [piece.page for piece in found] == sorted(piece.page for piece in found)
    if not overlap:
        assert "".join(bare(piece.text) for piece in found) == text
    titles = [block.title for block in blocks if block.level]
    for piece in found:
        path = iter(titles)
        assert all(title in path for title in piece.headings)


def cut(blocks: list[Block], size: int, splitter: Splitter = "recursive") -> list[Piece]:
    return [*pieces(blocks, Splitting(splitter, size, 0))]


SENTENCE = "A sentence of some words that says little. "


def test_sections_stay_whole_and_know_their_headings() -> None:
    blocks = [
        heading(1, "Book"),
        heading(2, "First"),
        Block("Short."),
        heading(2, "Second"),
        Block("Short too."),
        heading(2, "Third"),
        Block(SENTENCE * 6),
        heading(3, "Within"),
        Block("The end."),
    ]
    first, *third, last = cut(blocks, 130)
    assert first == Piece("# Book\n\n## First\n\nShort.\n\n## Second\n\nShort too.", 0, ("Book",))
    assert all(piece.headings == ("Book", "Third") for piece in third)
    assert third[0].text.startswith("## Third\n\nA sentence")
    assert all(piece.text.startswith("A sentence") for piece in third[1:])
    assert last == Piece("### Within\n\nThe end.", 0, ("Book", "Third", "Within"))


def test_a_heading_never_stands_alone_above_a_long_paragraph() -> None:
    for size in (100, 130, 400):
        found = cut([heading(2, "The heading"), Block((SENTENCE * 30).strip())], size)
        assert found[0].text.startswith("## The heading\n\nA sentence")
        assert max(len(piece.text) for piece in found) <= size


def test_pieces_end_at_sentences() -> None:
    for piece in cut([Block(SENTENCE * 20)], 100):
        assert piece.text.endswith("little.")
    for piece in cut([Block("人人生而自由。在尊严和权利上一律平等。" * 10)], 30):
        assert piece.text.endswith("。")


def test_a_piece_has_the_page_on_which_it_begins() -> None:
    pages = [Block(f"Page {page} begins here. {SENTENCE}", page) for page in range(1, 7)]
    found = cut(pages, 150)
    assert len(found) == 3
    for piece in found:
        assert piece.text.startswith(f"Page {piece.page} ")
    assert [piece.page for piece in found] == [1, 3, 5]


def test_a_sentence_goes_on_over_a_page() -> None:
    [piece] = cut([Block("It goes", 1), Block("on here.", 2), Block("Then this.", 3)], 100)
    assert piece.text == "It goes\non here.\n\nThen this."


def test_the_same_text_on_two_pages_keeps_its_own_page() -> None:
    pages = [Block("The very same words on each of them.", page) for page in (1, 2, 3)]
    assert [piece.page for piece in cut(pages, 40)] == [1, 2, 3]


def test_characters_cut_at_blank_lines_only_unless_a_paragraph_is_too_long() -> None:
    text = "One. Two.\nThree.\n\nFour. Five.\n\n" + "Long. " * 20
    found = [piece.text for piece in cut([Block(text)], 28, "character")]
    assert found[:2] == ["One. Two.\nThree.", "Four. Five."]
    assert found[2:] == ["Long. Long. Long. Long."] * 5


def test_overlap_repeats_the_end_of_the_piece_before() -> None:
    text = " ".join(f"Sentence number {number}." for number in range(10, 40))
    found = [piece.text for piece in pieces([Block(text)], Splitting("recursive", 100, 25))]
    for before, after in pairwise(found):
        assert before.split(". ")[-1].rstrip(".") in after.split(". ")[0]


def test_tokens_of_the_run_are_counted(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, "[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(5)
    file = tmp_path / "tokenizer.json"
    tokenizer.save(str(file))
    count = token_count(file)
    assert count("one, two three four five six") == 7
    found = [*pieces([Block(SENTENCE * 20)], Splitting("token", 20, 0, count))]
    assert {count(piece.text) for piece in found} == {18}


def test_a_word_of_a_megabyte_is_cut_and_takes_no_time() -> None:
    found = cut([Block("x" * 1_000_000)], 2000)
    assert sum(len(piece.text) for piece in found) == 1_000_000
    assert max(len(piece.text) for piece in found) <= 2000

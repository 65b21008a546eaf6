"""Foreign text comes out harmless and readable, and columns are counted as terminals do."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.terminal import clean, clean_line, columns, cut
from tests.cli.corpus import ATTACKS, READABLE, control_characters

ANY_TEXT = st.text(alphabet=st.characters(codec=None))


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_comes_out_without_control_characters(attack: str) -> None:
    assert control_characters(clean(attack).encode()) == []
    assert control_characters(clean_line(attack).encode()) == []


@pytest.mark.parametrize("text", READABLE)
def test_what_can_be_read_stays(text: str) -> None:
    assert clean(text) == clean_line(text) == text


@given(ANY_TEXT)
def test_no_text_gets_a_control_character_through(text: str) -> None:
    cleaned = clean(text)
    assert all(c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") for c in cleaned)
    assert clean(cleaned) == cleaned


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_printable_text_is_unchanged(text: str) -> None:
    assert clean(text) == text


@given(ANY_TEXT, st.integers(0, 40))
def test_a_cut_line_is_never_wider_than_asked(text: str, width: int) -> None:
    line = clean_line(text, width)
    assert columns(line) <= width
    assert "\n" not in line


def test_line_ends_become_newlines_and_one_line_has_none() -> None:
    assert clean("a\r\nb\rc\td") == "a\nb\nc\td"
    assert clean_line("a\r\nb\tc") == "a b c"


@pytest.mark.parametrize(
    ("text", "width"),
    [("abc", 3), ("日本", 4), ("e\u0301", 1), ("🙂", 2), ("a\u200db", 2), ("", 0)],
)
def test_columns(text: str, width: int) -> None:
    assert columns(text) == width


def test_cut_shows_that_something_is_missing() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdef", 5) == "abcd…"
    assert cut("日本語", 5) == "日本…"
    assert cut("日本語", 4) == "日…"
    assert cut("abcdef", 4, "...") == "a..."

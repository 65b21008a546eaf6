"""What the Data screen's views promise: nothing invented, nothing left out, marks in place."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.runs.dataset import StoredRow, StoredTokens
from qtui.screens.data.changes import MOST as MOST_WORDS
from qtui.screens.data.changes import pieces
from qtui.screens.data.signs import MOST, Signs, Writer
from qtui.screens.data.views import Look, laid
from qtui.terminal import clean, columns
from qtui.widgets.marked_text import Pen, rows_of
from tests.cli.corpus import ATTACKS, control_characters

TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]), st.sampled_from("ab \n\t\r日本é▌│🙂\u0301\u200b")
    ),
    max_size=80,
)
PLAIN = st.text("abc äé日本.,\n", max_size=60)


# ---- lines ---------------------------------------------------------------------------------------


@given(TEXTS, st.integers(2, 20))
def test_rows_hold_all_of_the_text_and_fit(text: str, width: int) -> None:
    text = clean(text).replace("\t", "    ")
    rows = rows_of(text, width)
    assert "".join(text[start:end] for start, end in rows) == text.replace("\n", "")
    for start, end in rows:
        assert "\n" not in text[start:end]
        assert columns(text[start:end].rstrip(" ")) <= width
    for (_, end), (start, _) in pairwise(rows):
        assert text[end:start] in ("", "\n")


def test_rows_end_between_words_where_they_can() -> None:
    text = "How do I return a lamp?"
    assert [text[a:b] for a, b in rows_of(text, 10)] == ["How do I ", "return a ", "lamp?"]
    assert rows_of("a" * 25, 10) == [(0, 10), (10, 20), (20, 25)]
    assert rows_of("", 10) == [(0, 0)]


@given(st.lists(st.tuples(PLAIN, st.sampled_from(["", "bold", "$error"])), max_size=12),
       st.integers(2, 30))  # fmt: skip
def test_every_character_keeps_the_style_it_was_written_in(
    written: list[tuple[str, str]], width: int
) -> None:
    pen = Pen()
    styles = []
    for text, style in written:
        pen.write(text, style)
        styles += [(character, style) for character in text if character != "\n"]
    shown = pen.lay_out(width)
    found = []
    for number in range(len(shown.rows)):
        row = shown.row(number)
        of = [""] * len(row.plain)
        for span in row.spans:
            of[span.start : span.end] = [str(span.style)] * (span.end - span.start)
        found += list(zip(row.plain, of, strict=True))
    assert found == styles


# ---- what cleaning changed -----------------------------------------------------------------------


@given(PLAIN, PLAIN)
def test_the_pieces_are_both_texts_whole(before: str, after: str) -> None:
    found = pieces(before, after)
    assert "".join(piece.before for piece in found) == before
    assert "".join(piece.after for piece in found) == after
    if before == after:
        assert all(piece.same for piece in found)


def test_only_what_differs_is_marked() -> None:
    found = pieces("one  two three", "one two four")
    assert [(p.before, p.after) for p in found if not p.same] == [(" ", ""), ("three", "four")]


def test_a_text_that_is_very_different_is_not_compared_for_minutes() -> None:
    before = " ".join(f"a{number}" for number in range(MOST_WORDS))
    after = " ".join(f"b{number}" for number in range(MOST_WORDS))
    found = pieces(f"x {before} y", f"x {after} y")
    assert [piece.same for piece in found] == [True, False, True]


def test_changes_are_seen_before_and_after() -> None:
    row = StoredRow("a", 1, messages=[{"role": "user", "content": "ab c"}], before=["ab\u00a0 c"])
    for before, said in ((True, "ab[-<U+00A0>-] c"), (False, "ab[-] c")):
        text = laid(row, None, Look("cleaned", before=before), 80, unicode=True).text
        assert text.splitlines()[1] == said
    row = StoredRow("a", 1, text="new", before=["old"])
    assert "{+new+}" in laid(row, None, Look("cleaned"), 80, unicode=True).text
    assert "[-old-]" in laid(row, None, Look("cleaned", before=True), 80, unicode=True).text


# ---- template and tokens -------------------------------------------------------------------------


@st.composite
def encoded(draw: st.DrawFn) -> StoredTokens:
    """A text in tokens, some of which end where they begin (parts of one character)."""
    text = draw(st.text("ab <|>日\n", max_size=40))
    whole = len(text)
    ends = sorted(draw(st.lists(st.integers(0, whole), max_size=15)))
    ends += [whole] if ends else []
    places = sorted(draw(st.lists(st.integers(0, whole), max_size=6, unique=True)))
    trained = [(a, b) for a, b in pairwise(places)][::2]
    kept = draw(st.integers(0, len(ends)))
    ids = range(100, 100 + len(ends))
    packed = (struct.pack(f"<{len(each)}I", *each) for each in (list(ids), ends))
    return StoredTokens(text, trained, *packed, kept, 0)


CUT = "cut here"


def without(text: str, *signs: str) -> str:
    for sign in signs:
        text = text.replace(sign, "")
    return text


@given(encoded())
def test_template_and_tokens_show_the_text_and_nothing_else(tokens: StoredTokens) -> None:
    for view in ("template", "tokens"):
        shown = laid(StoredRow("a", 1), tokens, Look(view), 10_000, unicode=True)
        lines = shown.text.splitlines(keepends=True)
        cuts = [line for line in lines if line.startswith(f"── {CUT}: ")]
        text = "".join(line for line in lines if line not in cuts)
        # What says where the cut is stands on a line of its own, for which one may be begun.
        assert without(text, "▌", "▐", "│", "\n") == without(tokens.text, "\n")
        assert len(cuts) == (tokens.kept < len(tokens.ends) // 4)
        if not cuts:
            assert without(text, "▌", "▐", "│") == tokens.text


@given(encoded())
def test_what_is_learnt_is_between_its_signs(tokens: StoredTokens) -> None:
    ends = tokens.token_ends()
    cut = tokens.kept < len(ends)
    last = max(ends[: tokens.kept], default=0) if cut else len(tokens.text)
    wanted = {at for first, end in tokens.trained for at in range(first, min(end, last))}
    for view in ("template", "tokens"):
        shown = laid(StoredRow("a", 1), tokens, Look(view), 10_000, unicode=True).text
        shown = "".join(
            line for line in shown.splitlines(keepends=True) if not line.startswith(f"── {CUT}")
        )
        inside, at, found = False, 0, []
        letters = [at for at, letter in enumerate(tokens.text) if letter != "\n"]
        for sign in shown:
            if sign in "▌▐":
                inside = sign == "▌"
            elif sign not in "│\n":
                if inside:
                    found.append(letters[at])
                at += 1
        assert set(found) == {at for at in wanted if tokens.text[at] != "\n"}
        assert shown.count("▌") == shown.count("▐")


@given(encoded())
def test_each_token_has_its_number(tokens: StoredTokens) -> None:
    shown = laid(StoredRow("a", 1), tokens, Look("tokens", ids=True), 10_000, unicode=True).text
    numbers = [part.split("›")[0] for part in shown.split("‹")[1:]]
    assert [int(number) for number in numbers] == list(tokens.token_ids())


def test_tokens_whose_borders_are_damaged_are_still_shown() -> None:
    ends = struct.pack("<4I", 9, 2, 4_000_000, 1)
    tokens = StoredTokens("abcdef", [(-5, 3), (4, 99), (5, 2)], bytes(16), ends, 3, 0)
    for view in ("template", "tokens"):
        shown = laid(StoredRow("a", 1), tokens, Look(view), 40, unicode=True).text
        assert "abcdef" in without(shown, "▌", "▐", "│", "\n")[:60] or "cut here" in shown


def test_of_a_row_without_end_the_beginning_is_shown() -> None:
    row = StoredRow("a", 1, raw="x" * (MOST + 5000), text="y" * (MOST + 5000))
    for view in ("raw", "cleaned"):
        shown = laid(row, None, Look(view), 80, unicode=True)
        assert len(shown.text) < MOST + 100
        assert shown.text.endswith("\n5,000 more characters are not shown here\n")


# ---- signs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("visible", [True, False])
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_control_character_is_written(attack: str, visible: bool, unicode: bool) -> None:
    writer = Writer(Signs(unicode, visible))
    writer.foreign(ATTACKS[attack])
    writer.template(f"<|{ATTACKS[attack]}|>")
    text = writer.pen.lay_out(40).text
    assert control_characters(text.encode("utf-8", "surrogatepass")) == []
    text.encode()  # no lone surrogates either


@given(TEXTS)
def test_made_visible_no_two_texts_look_the_same(text: str) -> None:
    writer = Writer(Signs(visible=True))
    writer.foreign(text)
    shown = writer.pen.lay_out(10_000).text
    back = shown.replace("\n", "").replace("␍⏎", "\r\n").replace("␍", "\r").replace("⏎", "\n")
    back = back.replace("·", " ").replace("→", "\t")
    named = [character for character in text if f"<U+{ord(character):04X}>" in shown]
    for character in set(named):
        back = back.replace(f"<U+{ord(character):04X}>", character)
    assert back == text or any(sign in text for sign in "·→⏎␍<")

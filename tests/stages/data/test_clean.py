"""Cleaning mends what it should, invents nothing, and does nothing a second time."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.config.models import DataConfig
from qtui.stages.data.refining import control, fences, mojibake
from qtui.stages.data.refining.clean import Cleaned, Cleaner, tidy
from qtui.stages.data.rows import Row


def row(answer: str, **more: Any) -> Row:
    turns = ({"role": "user", "content": "Hi."}, {"role": "assistant", "content": answer})
    return Row(turns, "rows.jsonl", 1, **more)


def clean(answer: str, **settings: Any) -> Cleaned:
    return Cleaner(DataConfig(**settings))(row(answer))


def answer(cleaned: Cleaned) -> str:
    text = cleaned.row.messages[1]["content"]
    assert isinstance(text, str)
    return text


# Pieces that meet the rules, in any order, besides any text at all.
_PIECES = st.sampled_from(
    [
        *("\r\n", "\r", "\n", "\n\n\n", "  ", "\t", "\xa0", "\f", "\v", "\x85", "\u2028"),
        *("```", "```py", "~~~~", "- ", "> ", "{", '"', "[1]"),
        *("\x00", "\x1f", "\x80", "\ufeff", "\u200b", "\u202e", "ก", "\U000e0041"),
        *("e\u0301", "\u0301", "é", "ﬁ", "＂", "👩\u200d💻", "\U0001f3f4\U000e0067\U000e007f"),
        *("Ã", "©", "Ã©", "â€", "â€™", "â\x80\x99", "Р°", "a", "Word ", "終わり。"),
    ]
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    st.lists(_PIECES, max_size=14).map("".join),
)
SETTINGS = st.fixed_dictionaries(
    {
        "normalize_unicode": st.sampled_from(["none", "NFC", "NFKC"]),
        "normalize_whitespace": st.booleans(),
        "on_control_characters": st.sampled_from(["keep", "remove"]),
        "on_mojibake": st.sampled_from(["keep", "fix"]),
    }
)


@given(TEXTS, SETTINGS)
def test_cleaning_twice_is_cleaning_once(text: str, settings: dict[str, Any]) -> None:
    cleaner = Cleaner(DataConfig(**settings))
    once = cleaner(row(text))
    twice = cleaner(once.row)
    assert twice.row is once.row
    assert twice.done == ()


@given(TEXTS)
def test_nothing_is_invented_and_nothing_lost(text: str) -> None:
    """But for white space and control characters all characters are those of the NFC form."""
    new = answer(clean(text))
    assert solid(new) == solid(unicodedata.normalize("NFC", control.removed(text)))


def solid(text: str) -> str:
    return "".join(text.split())


@given(TEXTS, SETTINGS)
def test_done_says_whether_anything_changed(text: str, settings: dict[str, Any]) -> None:
    given_row = row(text)
    cleaned = Cleaner(DataConfig(**settings))(given_row)
    assert (cleaned.row is given_row) == (cleaned.done == ())
    assert (answer(cleaned) == text) == (cleaned.done == ())


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(_JSON, SETTINGS, st.booleans(), st.sampled_from([None, 2]))
def test_json_stays_json(
    value: Any, settings: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    """With the same value, but for what is done to the characters of its strings."""
    text = "\n\n\n" + json.dumps(value, ensure_ascii=ascii_only, indent=indent) + " \r\n"
    new = json.loads(answer(clean(text, **settings)))
    assert same(new, value, settings)
    if ascii_only or (settings["normalize_unicode"] == "none" and not changes_solid(settings)):
        assert repr(new) == repr(json.loads(text))


def changes_solid(settings: dict[str, Any]) -> bool:
    return settings["on_control_characters"] == "remove" or settings["on_mojibake"] == "fix"


def same(new: Any, old: Any, settings: dict[str, Any]) -> bool:
    if isinstance(old, str):
        assert isinstance(new, str)
        bare = {**settings, "normalize_whitespace": False}
        # A string that looks like JSON itself may have been left alone when it stood by itself.
        return new == old or "x" + new == answer(clean("x" + old, **bare)) or old[:1] in '{["'
    if isinstance(old, list):
        return len(new) == len(old) and all(
            same(*pair, settings) for pair in zip(new, old, strict=True)
        )
    if isinstance(old, dict):
        return same([*new, *new.values()], [*old, *old.values()], settings)
    return repr(new) == repr(old)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (" Yes. \n", "Yes."),
        ("One  \r\ntwo\t\rthree", "One\ntwo\nthree"),
        ("page one\fpage two\u2028line", "page one\npage two\nline"),
        ("a\n\n\n\n\nb\n \n\t\n c", "a\n\nb\n\n c"),
        ("two  spaces  inside stay", "two  spaces  inside stay"),
        ("see\n```python\ndef f():\n\n\n    return 1  \n\n\n\n```\n\n\n\nend",
         "see\n```python\ndef f():\n\n\n    return 1\n\n\n\n```\n\nend"),
        ("1. ~~~\n   a\n\n\n   b\n   ~~~\n\n\n2. end", "1. ~~~\n   a\n\n\n   b\n   ~~~\n\n2. end"),
        ("    if x:\n        return y", "    if x:\n        return y"),
        ("\n  First line\nis no code", "First line\nis no code"),
        (" Sure:\n  - one", "Sure:\n  - one"),
        ("\u3000全角\u3000", "全角"),
    ],
)  # fmt: skip
def test_white_space(before: str, after: str) -> None:
    cleaned = clean(before)
    assert answer(cleaned) == after
    assert cleaned.done == (("white space",) if before != after else ())
    assert answer(clean(before, normalize_whitespace=False)) == before


def test_unicode_forms() -> None:
    assert answer(clean("cafe\u0301 ﬁn ２")) == "café ﬁn ２"
    assert answer(clean("cafe\u0301 ﬁn ２", normalize_unicode="NFKC")) == "café fin 2"
    assert clean("cafe\u0301", normalize_unicode="NFKC").done == ("unicode NFKC",)
    assert answer(clean("cafe\u0301", normalize_unicode="none")) == "cafe\u0301"


def test_nfkc_that_would_break_json_is_left_out() -> None:
    text = '{"inch": "5＂"}'
    assert answer(clean(text, normalize_unicode="NFKC")) == text
    assert answer(clean('{"n": "５"}', normalize_unicode="NFKC")) == '{"n": "5"}'


def test_line_separators_in_json_strings_stay() -> None:
    text = '{"poem": "one\u2028two"}'
    assert answer(clean(text)) == text
    assert answer(clean("one\u2028two")) == "one\ntwo"


def test_control_characters_are_removed_and_counted() -> None:
    cleaned = clean("a\x00b\x1b[31m\ufeffc\u202ed\x7f")
    assert answer(cleaned) == "ab[31mcd"
    assert cleaned.done == ("control characters removed: 5",)
    assert clean("a\x00b").done == ("control characters removed: 1",)
    assert answer(clean("a\x00b", on_control_characters="keep")) == "a\x00b"


@pytest.mark.parametrize(
    "text",
    [
        "👩\u200d💻",  # joined emoji
        "می\u200cخواهم",  # Persian
        "ភាសា\u200bខ្មែរ",  # Khmer words
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # England
        "שלום\u200f!",
    ],
)
def test_invisible_characters_that_are_needed_stay(text: str) -> None:
    assert clean(text).done == ()


def test_hidden_tags_go() -> None:
    assert answer(clean("Hello\U000e0069\U000e0067\U000e006e!")) == "Hello!"


@pytest.mark.parametrize(
    "encoding", ["cp1252", "latin-1", "cp1250", "cp1251", "mac_roman", "cp437"]
)
def test_mojibake_of_several_code_pages(encoding: str) -> None:
    right = "Il a dit : « c’est déjà l’été à l’île » — “naïve façade”… Müller süß, à côté."
    wrong = right.encode().decode(encoding, errors="ignore")
    if wrong.encode(encoding).decode(errors="replace") != right:  # some bytes are not assigned
        right = "déjà l’été, Müller süß"
        wrong = right.encode().decode(encoding)
    assert mojibake.evidence(wrong)
    cleaned = clean(wrong, on_mojibake="fix")
    assert answer(cleaned) == right
    assert "mojibake fixed" in cleaned.done


def test_mojibake_is_left_when_it_is_to_be_kept() -> None:
    latin = "itâ\x80\x99s"  # its bytes look like control characters, and are needed to repair it
    assert answer(clean(latin)) == latin
    assert answer(clean(latin, on_mojibake="fix")) == "it’s"
    assert answer(clean("cafÃ©")) == "cafÃ©"


def test_twice_wrong_is_mended_at_once() -> None:
    wrong = "déjà vu".encode().decode("cp1252").encode().decode("cp1252")
    assert answer(clean(wrong, on_mojibake="fix")) == "déjà vu"


@pytest.mark.parametrize(
    "text",
    [
        "Das macht Spaß“, sagte sie. „Très bien“, é à ü.",
        "Россия и Стамбул: Рим, Сочи, Ржев",
        "SÃO PAULO, MAÇÃ e IRMÃ ficam",
        "Ăsta e un Ăn românesc; Łódź; ČESKÁ „řeč“",
        "├── src\n│   └── main.py",
        "« été » à 20 °C, ½ £5 – 100 %",
        "√x ≈ 2, ¬(p ∧ q)",
    ],
)
def test_good_text_is_not_mended(text: str) -> None:
    assert clean(text, on_mojibake="fix").done == ()
    assert mojibake.evidence(text) == ""


def test_every_text_of_a_row_is_cleaned_and_nothing_else() -> None:
    arguments = {"city": " Bad\x00en \n\n\n"}
    calls = [{"type": "function", "function": {"name": "f", "arguments": arguments}}]
    tools = ({"type": "function", "function": {"name": "f", "description": " x "}},)
    turns = (
        {"role": "user", "content": " a "},
        {"role": "assistant", "content": "", "reasoning_content": " b ", "tool_calls": calls},
        {"role": "tool", "content": " c ", "name": " f "},
        {"role": "assistant", "content": "d"},
    )
    rejected = ({"role": "assistant", "content": " e "},)
    given_row = Row(turns, "f", 3, tools, " g ", rejected, label=True, group=" h ")
    cleaned = Cleaner(DataConfig())(given_row)
    got = cleaned.row
    assert [message["content"] for message in got.messages] == ["a", "", "c", "d"]
    assert got.messages[1]["reasoning_content"] == "b"
    assert got.messages[1]["tool_calls"] == calls
    assert arguments == {"city": " Bad\x00en \n\n\n"}
    assert got.messages[2]["name"] == " f "
    assert got.rejected == ({"role": "assistant", "content": "e"},)
    assert (got.text, got.tools, got.label, got.group) == ("g", tools, True, " h ")
    assert turns[0]["content"] == " a "  # the row that was given is as it was
    assert cleaned.done == ("white space",)


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("```python\nprint(1)", True),
        ("```python\nprint(1)\n```", False),
        ("````md\n```\nx\n```", True),
        ("the code: ```python\nprint(1)\n```", False),
        ("1. ```\n   x\n   ```\n2. y", False),
        ("~~~\nx\n", True),
        ("use ``` to begin code", False),
        ("```one line```", False),
    ],
)
def test_open_fences(text: str, is_open: bool) -> None:
    assert fences.is_open(text) is is_open


@given(TEXTS)
def test_tidy_keeps_code_and_never_trims_inside_lines(text: str) -> None:
    fenced = "```\n" + text.replace("`", "").replace("~", "") + "\n```"
    lines = [line.rstrip() for line in _split(fenced)]
    assert tidy(fenced).split("\n") == lines


def _split(text: str) -> list[str]:
    for end in ("\r\n", "\r", "\f", "\v", "\x85", "\u2028", "\u2029"):
        text = text.replace(end, "\n")
    return text.split("\n")

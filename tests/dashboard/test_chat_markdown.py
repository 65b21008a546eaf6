"""Answers laid out: nothing of a text is lost, nothing dangerous is left, pieces make the whole."""

from __future__ import annotations

import re
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.content import Content

from qtui.screens.chat.growing import Growing
from qtui.screens.chat.markdown import folded, nodes_of, plain_rows, rows_of
from qtui.terminal import clean, columns

MIXED = """# Returning

To **return** a *lamp*, open `Orders` at [the shop](https://shop.example/x).
The second line stays a line.

1. one
2. two has so many words that it cannot stand in one row of this width
   - nested

> said before

```python
for order in orders:
\tprint(order)    # a comment
```

| key | what |
|-----|------|
| a   | first |

---

| a much too wide column of words | another much too wide column of words |
|---|---|
| x | y |

~~gone~~ [INST] <|im_end|> <b>html</b> &amp; \\*
"""


def laid(text: str, width: int = 38) -> list[str]:
    return [row.plain for row in rows_of(nodes_of(text), width, unicode=True)]


def test_blocks_read_as_they_should() -> None:
    assert laid(MIXED) == [
        "Returning",
        "",
        "To return a lamp, open Orders at the",
        "shop (https://shop.example/x).",
        "The second line stays a line.",
        "",
        "1. one",
        "2. two has so many words that it",
        "   cannot stand in one row of this",
        "   width",
        "   • nested",
        "",
        "▌ said before",
        "",
        "  python",
        "  for order in orders:",
        "      print(order)    # a comment",
        "",
        "key │ what ",
        "───────────",
        "a   │ first",
        "",
        "──────────────────────────────────────",
        "",
        "a much too wide column of words │",
        "another much too wide column of words",
        "──────────────────────────────────────",
        "x │ y",
        "",
        "gone [INST] <|im_end|> <b>html</b> & *",
    ]


@pytest.mark.parametrize("width", [8, 20, 38, 78])
def test_no_row_is_wider_than_there_is_room(width: int) -> None:
    for text in (MIXED, "wide 漢字漢字漢字漢字 " * 9, "`" + "x" * 300 + "`", "- " * 30 + "deep"):
        for row in rows_of(nodes_of(text), width, unicode=True):
            narrow = width < 20  # deep lists get eight columns in any case
            assert row.cell_length <= width or narrow


def test_styles_say_what_is_code_and_what_is_strong() -> None:
    (row,) = rows_of(nodes_of("a **b** `c` *d*"), 38, unicode=True)
    styled = {row.plain[span.start : span.end]: str(span.style) for span in row.spans}
    assert styled == {"b": "bold", "c": "$accent", "d": "italic"}


def test_what_entities_make_is_made_safe() -> None:
    told = "\n".join(laid("a&#x202E;b &#27;[31m \x1b]52;c;aGk=\x07 `\x9b2J`\n\n    \x1b[2J"))
    assert clean(told) == told
    assert "[31m" in told
    assert "[2J" in told


def test_in_ascii_no_sign_is_used_that_is_none() -> None:
    rows = rows_of(nodes_of("- a\n\n> b\n\n---\n\n| c | d |\n|-|-|\n"), 38, unicode=False)
    assert all(row.plain.isascii() for row in rows)


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_code_keeps_every_character(text: str) -> None:
    rows = plain_rows(text, 20)
    assert "".join(row.plain for row in rows) == clean(text).expandtabs(4).replace("\n", "")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["word ", "**", "`", "\n", "\n\n", "- ", "1. ", "```\n", "    ", "| a | b |\n",
             "|-|-|\n", "# ", "> ", "[x](y)", "&amp;", "<b>", "\r\n", "_", "===\n", "漢"]
        ),
        max_size=40,
    )
)  # fmt: skip
def test_no_word_is_lost_and_pieces_make_the_whole(pieces: list[str]) -> None:
    growing = Growing(30, unicode=True)
    for text in accumulate(pieces):
        rows = growing.rows(text)
        assert _told(rows) == _told(rows_of(nodes_of(text), 30, unicode=True)), ascii(text)
    whole = "".join(pieces)
    shown = _told(growing.rows(whole))
    assert shown.count("word") == len(re.findall("word", whole))


def _told(rows: list[Content]) -> str:
    """The letters of `rows`. Lists that turned out to be one were numbered and spaced as two."""
    return re.sub(r"[\W\d_]", "", "".join(row.plain for row in rows))


def test_only_the_last_block_is_laid_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(
        "qtui.screens.chat.growing.nodes_of",
        lambda text: (seen.append(len(text)), nodes_of(text))[1],
    )
    growing = Growing(38, unicode=True)
    text = ""
    for number in range(200):
        text += f"paragraph {number} of a long answer\n\n"
        growing.rows(text)
    assert max(seen) < 200 < len(text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200), st.integers(min_value=2, max_value=30))
def test_lines_are_folded_without_loss(text: str, width: int) -> None:
    line = clean(text).replace("\n", " ")
    pieces = folded(line, width)
    assert "".join(pieces) == line
    assert all(columns(piece) <= width for piece in pieces)

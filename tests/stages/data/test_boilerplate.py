"""What repeats on pages goes, what looks like it stays; words are joined where it is safe."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.stages.data.documents.boilerplate import Removed, join_hyphenated, remove
from qtui.stages.data.documents.html_text import read_html

BODY = [
    f"The {word} part of the story is told here.\nIt has several lines like {word}, and all differ"
    f"\nfrom those of the others: {word}, {word * 2}.\nIts fourth line says {word[::-1]} and its"
    f"\nfifth says it again: {word.upper()}.\nThen it ends with {word}."
    for word in ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
]


def test_headers_footers_and_numbers_go_and_are_counted() -> None:
    pages = [
        f"The Manual of Everything\n{body}\nChapter 1 | {number}\n- {number} -"
        for number, body in enumerate(BODY, 7)
    ]
    kept, removed = remove(pages)
    assert kept == BODY
    assert removed == Removed(headers=8, footers=8, numbers=8)
    assert str(removed) == "8 page headers, 8 page footers, 8 page numbers removed"


@pytest.mark.parametrize(
    "line",
    ["{n}", "Page {n} of 8", "– {n} –", "Seite {n}", "p. {n}", "[{n}]", "{n} / 8", "第{n}页"],
)
def test_page_numbers_in_their_forms(line: str) -> None:
    pages = [f"{body}\n{line.format(n=number)}" for number, body in enumerate(BODY, 1)]
    kept, removed = remove(pages)
    assert kept == BODY
    assert removed == Removed(numbers=8)


def test_left_and_right_pages_and_new_chapters() -> None:
    heads = ["A Title", "One", "A Title", "One", "A Title", "One", "A Title", "One"]
    pages = [f"{head} {n}\n{body}" for n, (head, body) in enumerate(zip(heads, BODY, strict=True))]
    kept, removed = remove(pages)
    assert kept == BODY
    assert removed.headers == 8


def test_what_only_looks_alike_stays() -> None:
    for lines in (
        ["Table 3: results", "Table 9: results", "Table 4: results", "Table 8: results"],
        ["12 50 7", "13 9 70", "81 2 2", "9 9 1"],
        ["2024", "2024", "2024", "2024"],
        ["Only here", "And here", "Then there", "At last"],
    ):
        pages = [f"{line}\n{body}" for line, body in zip(lines, BODY, strict=False)]
        assert remove(pages) == (pages, Removed())
    two = [f"The Manual\n{body}" for body in BODY[:2]]  # twice is no rule
    assert remove(two) == (two, Removed())
    far = [f"Exercises\n{b}" if n in (0, 6, 12) else b for n, b in enumerate(BODY * 2)]
    assert remove(far)[1] == Removed()
    same = ["All there is\non any page"] * 5
    assert remove(same) == (same, Removed())


def test_words_are_joined_only_where_it_is_safe() -> None:
    page = (
        "The compu-\ntation of a well-\nknown sum, as a well-known man did the self-\nattention, "
        "is an attention of the self.\nIt ends in inter-\nnational, and Saint-\nPierre; pre-\nset."
        " A preset is soft\u00ad\nware."
    )
    joined, count = join_hyphenated([page])
    assert joined == [
        "The computation\nof a well-known\nsum, as a well-known man did the self-\nattention, "
        "is an attention of the self.\nIt ends in international,\nand Saint-\nPierre; preset.\n"
        "A preset is software."
    ]
    assert count == 4


def test_a_word_goes_on_over_a_page() -> None:
    pages = ["the end of the compu-", "tation, which goes on\nhere"]
    assert join_hyphenated(pages) == (["the end of the computation,", "which goes on\nhere"], 1)


@given(st.lists(st.text("ab-\u00ad\n .,1Z", max_size=60), max_size=5))
def test_joining_invents_and_loses_nothing(pages: list[str]) -> None:
    def letters(text: list[str]) -> str:
        return re.sub(r"[\s\u00ad-]", "", "".join(text))

    joined, _ = join_hyphenated(pages)
    assert len(joined) == len(pages)
    assert letters(joined) == letters(pages)


@given(st.lists(st.text("ab\n 12", max_size=40), max_size=8))
def test_removing_takes_whole_lines_only(pages: list[str]) -> None:
    kept, _ = remove(pages)
    for before, after in zip(pages, kept, strict=True):
        lines = iter(before.split("\n"))
        assert all(line in lines for line in after.split("\n") if line)


def read(page: str, *, boilerplate: bool = False) -> list[str]:
    return [block.text for block in read_html(page, boilerplate=boilerplate)[0]]


SITE = """<html><head><title>Site | Page</title><style>p {}</style></head><body>
<header role="banner"><a href="/">Home</a></header>
<nav><ul><li><a href="/a">Menu</a></li></ul></nav>
<div class="cookie-banner">We use cookies.</div>
<div role="search">Search here</div>
<article><header><h1>The title</h1><p>By somebody</p></header>
<p>First <b>para</b>graph<script>x()</script><!-- comment -->.</p><footer>A last word</footer>
</article><aside>Related <a href="/x">things</a></aside><footer>© 2024</footer></body></html>"""


def test_a_page_without_what_it_marks_as_navigation() -> None:
    blocks, removed = read_html(SITE, boilerplate=False)
    assert [block.text for block in blocks] == [
        "# The title",
        "By somebody",
        "First paragraph.",
        "A last word",
    ]
    assert removed == (
        "1 header element, 2 navigation elements, 1 banner element, 1 aside element, "
        "1 footer element removed"
    )
    whole = " ".join(read(SITE, boilerplate=True))
    for words in ("Home", "Menu", "cookies", "Related", "2024"):
        assert words in whole
    assert "x()" not in whole
    assert "comment" not in whole


def test_a_header_that_is_text_stays() -> None:
    preamble = "<header><h2>Preamble</h2><p>Whereas recognition</p></header><p>Article</p>"
    assert read(preamble) == ["## Preamble", "Whereas recognition", "Article"]
    long = f"<aside><p>{'It says much. ' * 60}</p></aside><p>More</p>"
    assert len(read(long)) == 2


def test_structure_of_a_page() -> None:
    page = """<title>The title</title><p>A<br>line&nbsp;break</p>
    <h2>Code <a class="hash-link" href="#code">#</a></h2>
    <pre><code class="language-python">def f():
    return 1</code></pre>
    <ol><li>one<ul><li>in one</li></ul></li><li><p>two</p></li></ol>
    <table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2 <i>x</i></td></tr></table>
    <table><tr><td><h3>Layout</h3><p>text</p></td><td>side</td></tr></table>
    <p>Call <code>f()</code>.</p><p style="display: none">hidden</p><div>loose <p>p</p> end</div>"""
    assert read(page) == [
        "# The title",
        "A\nline break",
        "## Code",
        "```python\ndef f():\n    return 1\n```",
        "1. one\n   - in one\n2. two",
        "| a | b |\n| --- | --- |\n| 1 | 2 x |",
        "### Layout",
        "text",
        "side",
        "Call `f()`.",
        "loose",
        "p",
        "end",
    ]


def test_tags_in_tags_are_read_all_the_same() -> None:
    deep = "<div>" * 800 + "deep" + "</div>" * 800
    assert "deep" in "".join(read(deep))

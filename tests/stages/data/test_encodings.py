"""Text is read as what it was written in, with its twin in UTF-8 as the truth; nothing raises."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.stages.data.reading.encodings import BINARY, Decoded, decode

FILES = Path(__file__).parents[3].parent / "shared" / "data" / "docs" / "encodings"
needs_files = pytest.mark.skipif(not FILES.is_dir(), reason="the folder of real files is absent")

# file: what it is read as, and words that are in it (its UTF-8 twin decides where there is one)
READ_AS: dict[str, tuple[str, str]] = {
    "cpython_big5.txt": ("big5hkscs", "如何在 Python"),
    "cpython_euc_kr.txt": ("euc_kr", "쓔쓔쓩"),
    "cpython_gb18030.txt": ("gb18030", "派森"),
    "cpython_iso2022_jp.txt": ("iso2022_jp", "モンティ"),
    "cpython_shift_jis.txt": ("cp932", "モンティ"),
    "docutils_utf-16-le-sig.rst": ("utf-16-le", "Grüße"),
    "docutils_utf-16be.csv": ("utf-16-be", '"Treat", "Quantity", "Description"'),
    "libxslt_news_latin1.html": ("cp1252", "Jan Pokorný"),
    "libxslt_xslt_latin1.html": ("cp1252", "Jérôme"),
    "markitdown_mskanji_cp932.csv": ("cp932", "髙橋淳,35,名古屋"),
}


@needs_files
@pytest.mark.parametrize("name", READ_AS)
def test_real_files(name: str) -> None:
    file = FILES / name
    encoding, words = READ_AS[name]
    decoded = decode(file.read_bytes(), html=file.suffix == ".html")
    assert (decoded.encoding, decoded.replaced) == (encoding, 0)
    assert words in decoded.text
    twin = file.with_name(f"{file.stem}-utf8.txt")
    if name.startswith("cpython"):
        assert decoded.text == twin.read_bytes().decode()


@needs_files
def test_every_real_file_has_an_expectation() -> None:
    assert {f.name for f in FILES.iterdir() if "-utf8" not in f.name} == READ_AS.keys()


FRENCH = "Dès lors qu'elle est dérivable, la fonction est continue ; l'été, à Besançon, 3 € l'œuf."
WRITTEN = [
    ("cp1252", FRENCH),
    ("cp1252", "The café on the corner serves a naïve crowd, and nothing else is said here."),
    ("cp1252", "word " * 60_000 + "and only the last of them is naïve"),
    ("cp1250", "Zażółć gęślą jaźń. Wszyscy ludzie rodzą się wolni i równi pod względem godności."),
    ("cp1251", "Все люди рождаются свободными и равными в своём достоинстве и правах."),
    ("koi8-r", "Все люди рождаются свободными и равными в своем достоинстве и правах."),
    ("cp1253", "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια."),
    ("cp1255", "כל בני אדם נולדו בני חורין ושווים בערכם ובזכויותיהם."),
    ("cp1256", "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق."),
    ("cp932", "すべての人間は、生れながらにして自由であり、髙橋も平等である。"),
    (
        "euc_jp",
        "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    ),
    ("gb18030", "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心。"),
    ("big5hkscs", "人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心。"),
    ("euc_kr", "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다."),
    ("iso2022_kr", "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다."),
    ("utf-16-le", "UTF-16 without a mark, as some exports have it"),
    ("utf-32-be", "UTF-32 without a mark"),
]


@pytest.mark.parametrize(("encoding", "text"), WRITTEN)
def test_other_encodings(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == Decoded(text, encoding, 0)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_decides_and_is_not_part_of_the_text(encoding: str) -> None:
    assert decode("Grüße, 名前".encode(encoding)).text == "Grüße, 名前"


def test_what_a_page_declares_counts_where_it_fits() -> None:
    page = '<?xml version="1.0" encoding="iso-8859-2"?><p>Łódź</p>'
    assert decode(page.encode("iso8859-2"), html=True).text == page
    short = b"<meta charset=windows-1251><p>\xe9"
    assert decode(short, html=True).text.endswith("й")
    wrong = '<meta charset="iso-8859-1"><p>Grüße, 名前'
    assert decode(wrong.encode(), html=True) == Decoded(wrong, "utf-8", 0)
    for name in (b"base64", b"utf-16", b"no-such-thing", b"\xff"):
        page_of = b"<meta charset=" + name + b"><p>caf\xe9 au lait"
        assert decode(page_of, html=True).text.endswith("café au lait")


def test_damage_is_counted_and_the_rest_stays() -> None:
    raw = "Größe und Maß: 名前\n".encode() * 5 + b"\xff\xfe broken\n"
    decoded = decode(raw)
    assert (decoded.encoding, decoded.replaced) == ("utf-8", 2)
    assert decoded.text.endswith("\ufffd\ufffd broken\n")
    assert decode(b"\xff\xfe" + "ab".encode("utf-16-le") + b"\x00\xd8").replaced == 1
    assert decode("a \ufffd that was there".encode()).replaced == 0
    assert decode("名前 \ufffd there".encode() * 3 + b"\xff").replaced == 1


def test_what_is_no_text_is_called_binary() -> None:
    for raw in (os.urandom(4000), b"\0" * 100, Path("/bin/sh").read_bytes(), b"GIF89a\x01\0\x01\0"):
        assert decode(raw) == Decoded("", BINARY, 0)
    holes = b"a line that was written\n" * 50 + b"\0" * 20
    assert decode(holes).text == holes.decode()


@given(st.binary(max_size=200), st.booleans())
def test_nothing_raises(raw: bytes, html: bool) -> None:
    assert decode(raw, html=html).replaced >= 0


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200))
def test_utf_8_comes_back_as_it_was(text: str) -> None:
    assert decode(text.encode()) == Decoded(text.removeprefix("\ufeff"), "utf-8", 0)

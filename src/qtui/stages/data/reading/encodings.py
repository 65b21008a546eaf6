"""Turns the bytes of any text file into text, and says what they were read as.

What is certain is asked first: a byte order mark, escape sequences of ISO-2022, valid UTF-8 (other
encodings do not look like it by chance), and what an HTML page declares. Only then is the language
guessed from the bytes, by chardet. (charset-normalizer was tried on the same pieces of 20 to 1000
characters: it takes English with one accent for cp1250, and a fifth of short Japanese for Korean.)
Nothing here raises: bytes that fit no text become U+FFFD and are counted, and a file that is no
text at all has the encoding "binary" and no text.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from itertools import islice

BINARY = "binary"
UTF_8 = "utf-8"

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What calls itself the first is tried as these: the encoding that holds it, as in browsers
# (https://encoding.spec.whatwg.org/#names-and-labels). Korean the other way round: only EUC-KR
# knows the syllables that are spelt out in letters.
_REALLY = {
    "ascii": ("cp1252",),
    "big5": ("big5hkscs",),
    "cp949": ("euc_kr",),
    "euc_jis_2004": ("euc_jp",),
    "euc_kr": ("euc_kr", "cp949"),
    "gb2312": ("gb18030",),
    "gbk": ("gb18030",),
    "iso8859-1": ("cp1252",),
    "iso8859-9": ("cp1254",),
    "iso8859-11": ("cp874",),
    "shift_jis": ("cp932",),
    "shift_jis_2004": ("cp932",),
    "tis-620": ("cp874",),
}
_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_GUESSED = (
    *("cp932", "shift_jis_2004", "euc_jis_2004", "gb18030", "big5hkscs", "cp949", "euc_kr"),
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
    *("koi8-r", "koi8-u", "iso8859-2", "cp874", "tis-620"),
)
_ISO_2022 = re.compile(rb"\x1b(?:\$\)[AC]|\$[@AB(]|\([BIJ])")
_ISO_2022_JP = ("iso2022_jp", "iso2022_jp_2", "iso2022_jp_ext", "iso2022_jp_2004")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MOST_CONTROLS = 0.1  # of the characters; a text with some holes of zeros is still a text
# Few accents tell a guess nothing: é and ü in an English page would be Czech or Baltic.
_FEW = 8
_LATIN = ("cp1250", "cp1254", "cp1257", "cp1258", "iso8859-2")
_WESTERN = frozenset("àáâäåæçèéêëíîïñóôöøùúûüßÀÁÄÅÆÇÉÈÊÖØÜÑ¡¿«»°§©®·£¥–—‘’“”„…•€™\xa0")
_ZEROS_OF_WIDE = 0.25  # of the bytes; UTF-16 of Latin letters has one half
_SAMPLE = 200_000
_BEFORE = 200
_DECLARED_WITHIN = 4096


@dataclass(frozen=True)
class Decoded:
    """A text, the Python name of the encoding it was read as, and what was lost.

    `replaced` counts the places where bytes fitted no character and became U+FFFD. `encoding` is
    "binary", and `text` empty, where the bytes are no text.
    """

    text: str
    encoding: str
    replaced: int


def decode(raw: bytes, *, html: bool = False) -> Decoded:
    """Return `raw` as text without its byte order mark; `html`: what the page declares counts."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return _decoded(raw[len(mark) :], encoding)
    if (escape := _ISO_2022.search(raw)) and raw.isascii():
        korean = escape.group() == b"\x1b$)C"
        for encoding in ("iso2022_kr",) if korean else _ISO_2022_JP:
            if (text := _strictly(raw, encoding)) is not None:
                return Decoded(text, encoding, 0)
    if (text := _strictly(raw, UTF_8)) is not None:
        return _text_or_wide(raw, text)
    lenient = _decoded(raw, UTF_8)
    if _is_damaged_utf_8(lenient):
        return lenient
    if html and (declared := _declared(raw)):
        found = _read_as(raw, declared)
        if not found.replaced:
            return found
    return _guessed(raw)


def _strictly(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None


def _decoded(raw: bytes, encoding: str) -> Decoded:
    if (text := _strictly(raw, encoding)) is not None:
        return Decoded(text, encoding, 0)
    text = raw.decode(encoding, "replace")
    try:
        already = raw.count("\ufffd".encode(encoding))
    except UnicodeEncodeError:
        already = 0
    return Decoded(text, encoding, max(text.count("\ufffd") - already, 0))


def _text_or_wide(raw: bytes, text: str) -> Decoded:
    """Valid UTF-8, unless it is full of zeros: ASCII in UTF-16 is valid UTF-8 as well."""
    controls = len(_CONTROLS.findall(text)) if "\0" in text else 0
    if controls <= _MOST_CONTROLS * len(text):
        return Decoded(text, UTF_8, 0)
    return _guessed(raw)


def _is_damaged_utf_8(lenient: Decoded) -> bool:
    """Whether far more characters than not are right; in other encodings hardly any would be."""
    other = sum(map(len, re.findall("[^\x00-\x7f\ufffd]+", lenient.text)))
    controls = len(_CONTROLS.findall(lenient.text))
    return other >= 2 * lenient.replaced and controls <= _MOST_CONTROLS * len(lenient.text)


def _declared(raw: bytes) -> str | None:
    """What `<meta charset>` or `<?xml encoding>` at the top of a page says, if Python knows it."""
    from bs4.dammit import EncodingDetector

    name = EncodingDetector.find_declared_encoding(raw[:_DECLARED_WITHIN], is_html=True)
    try:
        found = codecs.lookup(name) if name else None
    except LookupError:
        return None
    # Python also has codecs that are no text (base64, zip), and a page that can be read far enough
    # to find a declaration of UTF-16 is not in UTF-16.
    if found is None or not getattr(found, "_is_text_encoding", False) or "16" in found.name[-5:]:
        return None
    return found.name


def _read_as(raw: bytes, encoding: str) -> Decoded:
    """Read as what `encoding` really means, or as exactly that where it does not fit."""
    for wide in _REALLY.get(encoding, ()):
        if (text := _strictly(raw, wide)) is not None:
            return Decoded(text, wide, 0)
    return _decoded(raw, encoding)


def _guessed(raw: bytes) -> Decoded:
    import chardet

    wide = raw.count(0) > _ZEROS_OF_WIDE * len(raw)
    if raw.isascii() and not wide:  # full of control characters
        return Decoded("", BINARY, 0)
    found = chardet.detect(
        raw[:_SAMPLE] if wide else _telling_lines(raw),
        include_encodings=_WIDE if wide else _GUESSED,
        compat_names=False,
        max_bytes=_SAMPLE,
    )["encoding"]
    if found is None:
        return Decoded("", BINARY, 0)
    decoded = _read_as(raw, "cp1252" if _looks_western(raw, found) else codecs.lookup(found).name)
    controls = len(_CONTROLS.findall(decoded.text))
    if controls > _MOST_CONTROLS * len(decoded.text) or (wide and decoded.replaced):
        return Decoded("", BINARY, 0)
    return decoded


def _looks_western(raw: bytes, guess: str) -> bool:
    """Whether a few letters were guessed to be of one Latin alphabet that are common in most."""
    if guess not in _LATIN:
        return False
    letters = [match.group() for match in islice(_NOT_ASCII.finditer(raw), _FEW + 1)]
    return len(letters) <= _FEW and _WESTERN.issuperset(
        b"".join(letters).decode("cp1252", "replace")
    )


def _telling_lines(raw: bytes) -> bytes:
    """The first lines with something else than ASCII: only they tell encodings apart."""
    lines: list[bytes] = []
    size = end = 0
    while size < _SAMPLE and (found := _NOT_ASCII.search(raw, end)):
        start = max(raw.rfind(b"\n", end, found.start()) + 1, found.start() - _BEFORE, end)
        end = min(raw.find(b"\n", found.end()) + 1 or len(raw), start + _SAMPLE)
        lines.append(raw[start:end])
        size += end - start
    return b"".join(lines)

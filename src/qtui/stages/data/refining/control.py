"""Control characters: what cannot be seen in a text, means nothing in it, and costs tokens.

These are the control codes other than tab and line ends; the byte order mark; orders to write from
right to left, which can make a text show as another one (CVE-2021-42574); invisible tags, which
can carry hidden instructions; zero-width spaces; annotation marks; and halves of surrogate pairs.
What looks alike but is needed stays: joiners (emoji, Persian, Indic scripts), left and right marks
(Hebrew, Arabic), tags in flags, and zero-width spaces between letters of scripts that put no
spaces between words.

Codes from 0x80 to 0x9F that are the rest of a wrongly decoded letter stay as well: without them it
could neither be recognised nor repaired.
"""

from __future__ import annotations

import re

# Form feed, vertical tab and NEL are line ends (The Unicode Standard, 5.8), not control characters.
_CODES = "\x00-\x08\x0e-\x1f\x7f"
_NO_SPACES = "\u0e00-\u109f\u1780-\u17ff"  # Thai, Lao, Tibetan, Myanmar; Khmer
_ASCII = re.compile(f"[{_CODES}]")
_ANY = re.compile(
    f"[{_CODES}\x80-\x84\x86-\x9f\u200b\u202a-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_KEEP = re.compile(
    "((?:[\xc2-\xf4][\x80-\xbf]+)+"  # UTF-8 that was read as Latin-1
    "|\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f"  # flags of England, Scotland, …
    f"|(?<=[{_NO_SPACES}])\u200b|\u200b(?=[{_NO_SPACES}]))|" + _ANY.pattern
)


def removed(text: str) -> str:
    """The text without its control characters; the same text when it has none."""
    if text.isascii():
        return _ASCII.sub("", text) if _ASCII.search(text) else text
    if not _ANY.search(text):
        return text
    return _KEEP.sub(lambda match: match[1] or "", text)


def found(text: str) -> list[str]:
    """The control characters that `removed` would take away, in order."""
    if not (_ASCII if text.isascii() else _ANY).search(text):
        return []
    return [match[0] for match in _KEEP.finditer(text) if not match[1]]

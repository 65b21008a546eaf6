"""Answers that stop in the middle: of a code block, of JSON, or of a sentence.

Made to miss rather than to accuse: an answer may end in many ways that are complete (a word, a
number, an address, an item of a list, a name under a letter, an emoji). A sentence counts as broken
off only in prose that ends its sentences, where the last one is long and stops at a word after
which it must go on, or stops without any mark although the ones before it had theirs.
"""

from __future__ import annotations

import re

from qtui.stages.data.refining import fences

_JSON = re.compile(r'\s*(?:\{\s*"|\[\s*[\[{"])')
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_FEWEST_WORDS = 6
_LONG = 10
# After these a sentence goes on: English; German, French, Spanish, Italian, Portuguese. A word that
# may well stand last in one of these languages is left out ("what he asked for", "j'ai dit que").
_WORDS = """
    the an and or into than because although while which who whose their its his our your my were
    been being such between including during within without
    der die dem des ein eine einen einem und oder von mit für bei über weil dass
    le les un une du de et ou avec pour dans qui dont leur el los las una del con para por en sus
    il lo gli della dei delle di per nel nella os um uma do dos
"""
_GOES_ON = frozenset(_WORDS.split())
_ENDS_SENTENCE = re.compile(r"[.!?…。！？][\"'”’»)\]]*(?:\s|$)|[。！？]")
_NO_PROSE = re.compile(
    r"\s*(?:[-*+•·–—>|#]|[0-9]{1,3}[.):]|\(?[a-zA-Z][.)]\s|\$\$|\\|</?\w|`|[「『]|\[[0-9])"
)
_LAST_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|['’])*$")


def broken_off(answer: str) -> str:
    """What an answer stops in the middle of: "a code block", "JSON", "a sentence"; "": it ends."""
    if fences.has_fence(answer) and fences.is_open(answer):
        return "a code block"
    text = answer.rstrip()
    last = text[-1:]
    if last in "}]" or not last:
        return ""
    if text.lstrip()[:1] in ("{", "[") and _JSON.match(text):
        return "JSON" if _is_open_json(text) else ""
    return "a sentence" if (last.isalpha() or last in ",") and _is_open_sentence(text) else ""


def _is_open_json(text: str) -> bool:
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark[0] == '"':
            if (len(mark) == 1 or mark[-1] != '"') and token.end() == len(text):
                return True
        else:
            depth += 1 if mark in "[{" else -1
            if depth == 0:
                return False  # the value is complete; what follows is something else
    return depth > 0


def _is_open_sentence(text: str) -> bool:
    line = text[text.rfind("\n") + 1 :]
    if _NO_PROSE.match(line) or "|" in line or "://" in line:
        return False
    ends = [match.end() for match in _ENDS_SENTENCE.finditer(line)]
    sentence = line[ends[-1] :] if ends else line
    words = len(sentence.split())
    if not sentence.isascii() and words < _FEWEST_WORDS:
        words = _characters_as_words(sentence)
    if words < _FEWEST_WORDS:
        return False
    if text[-1] == ",":
        return True
    last = _LAST_WORD.search(sentence)
    word = last[0] if last else ""
    if word in _GOES_ON:
        return True
    # Sentences before it in the same paragraph end as sentences do: this one should as well. In
    # Chinese and Japanese the last full stop is often left out, unless others were set.
    if words != len(sentence.split()) and "。" not in line:
        return False
    return bool(ends) and words >= _LONG and not word[:1].isupper()


def _characters_as_words(sentence: str) -> int:
    """Chinese and Japanese put no spaces between words; a word is about two characters there."""
    return sum("\u3040" <= character <= "\u9fff" for character in sentence) // 2

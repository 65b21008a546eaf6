"""What cleaning changed: the parts of two texts that differ.

Word by word where that is quick; where very much differs the middle is one change, because a
comparison of all with all would take minutes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from os.path import commonprefix

MOST = 3000
"""Words and signs on each side that are compared one by one."""
_WORD = re.compile(r"\w+|\s|[^\w\s]")


@dataclass(frozen=True)
class Piece:
    """A stretch of both texts; `same` where it is the same in both."""

    before: str
    after: str

    @property
    def same(self) -> bool:
        return self.before == self.after


def pieces(before: str, after: str) -> list[Piece]:
    """Both texts in stretches; one after the other they are the whole of each."""
    begin = _common(before, after)
    room = min(len(before), len(after)) - begin
    end = _common(before[::-1][:room], after[::-1][:room])
    old, new = before[begin : len(before) - end], after[begin : len(after) - end]
    found = [Piece(before[:begin], after[:begin]), *_middle(old, new)]
    found.append(Piece(before[len(before) - end :], after[len(after) - end :]))
    return [piece for piece in found if piece.before or piece.after]


def _common(one: str, other: str) -> int:
    """How many characters both have at their beginning."""
    return len(commonprefix([one, other]))  # noqa: RUF071 (these are no paths)


def _middle(before: str, after: str) -> list[Piece]:
    old, new = _WORD.findall(before), _WORD.findall(after)
    if len(old) > MOST or len(new) > MOST:
        return [Piece(before, after)]
    found = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [Piece("".join(old[a:b]), "".join(new[c:d])) for _, a, b, c, d in found]

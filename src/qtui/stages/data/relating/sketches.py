"""What two texts have in common, and a small sketch that tells which texts may have much of it.

The measure is the Jaccard similarity of three-word pieces: pieces in both texts divided by pieces
in either. It is exact (`jaccard`). Comparing all pairs is out of the question, so a text also gets
a sketch of fixed size: MinHash values in bands, one 64-bit hash a band, such that texts that share
a band are worth a look, and one bit of each MinHash value, such that most of those that are not
are put aside without reading them. Sketches are made in child processes (`sketch`), and compared
in the parent (`duplicates`). They depend on the text alone, so they are equal in all processes.

Source of the method: Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, chapter 3 (shingles
3.2, MinHash 3.3, bands and the S-curve 3.4); of the single bits: Li and König, b-Bit Minwise
Hashing (2010). The MinHash values are those of rensa, which sees every piece of the text.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST = 1_000_000
"""Characters of a text that count. What stands behind them does not make two texts different."""

PERMUTATIONS = 128
"""MinHash values of a text."""

_RECALL = 0.99
_UNSEEN = 1e-4
_SEED = 0x5174
_WORD = 64
_NO_SPACES = (
    *(range(0x0E00, 0x0F00), range(0x1000, 0x10A0), range(0x1780, 0x1800)),  # Thai, Lao, … Khmer
    *(range(0x2E80, 0x2FE0), range(0x3005, 0x3008), range(0x3040, 0x3100)),  # radicals, kana
    *(range(0x31F0, 0x3200), range(0x3400, 0x4DC0), range(0x4E00, 0xA000)),  # kana, Han
    *(range(0xF900, 0xFB00), range(0x1B000, 0x1B170), range(0x20000, 0x3FFFE)),
)
_APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}"


def shingles(text: str) -> list[str]:
    """The three-word pieces of a text, in order and with repeats; none where it has fewer words.

    Words are what stands between white space, punctuation and symbols after NFKC and case folding
    (an apostrophe is left out: don't is dont). A character of Chinese, Japanese, Thai, Lao, Khmer
    or Burmese is a word of its own. Only the first `LONGEST` characters count.
    """
    words = _words(text[:LONGEST])
    return list(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


def jaccard(one: Set[str], other: Set[str]) -> float:
    """Pieces in both divided by pieces in either, 0 to 1; 0 where neither has any."""
    both = len(one & other)
    either = len(one) + len(other) - both
    return both / either if either else 0.0


class _Folding(dict[int, str]):
    """What becomes of a code point in a text that is split at spaces afterwards."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _folded(chr(code))
        return found


def _folded(character: str) -> str:
    if character in _APOSTROPHES:
        return ""
    if any(ord(character) in block for block in _NO_SPACES):
        return f" {character} " if unicodedata.category(character)[0] in "LMN" else " "
    return character.casefold() if unicodedata.category(character)[0] in "LMN" else " "


_FOLDING = _Folding()
_ASCII = "".join(_folded(chr(code)) or "'" for code in range(128)).encode() + bytes(128)


def _words(text: str) -> list[str]:
    if text.isascii():  # five times as fast, and gives the same
        return text.encode().translate(_ASCII, b"'").decode().split()
    return unicodedata.normalize("NFKC", text).translate(_FOLDING).split()


@dataclass(frozen=True, slots=True)
class Bands:
    """How MinHash values are put together: `bands` of `rows` values each.

    Two texts of similarity s share a band with the probability 1 - (1 - s^rows)^bands, the
    S-curve. `differing` of their `PERMUTATIONS` bits may differ before the pair is put aside.
    """

    bands: int
    rows: int
    differing: int

    @classmethod
    def for_threshold(cls, threshold: float) -> Bands:
        """Most rows (fewest pairs looked at in vain) with which 99 % are found at `threshold`.

        More similar pairs are found with a higher probability, see `recall`. At 0.8: 16 bands of
        6 rows. Raises ValueError where the threshold is not in 0.3 to 1.
        """
        if not 0.3 <= threshold <= 1:
            raise ValueError(f"threshold {threshold} is not in 0.3 to 1")
        fitting = [
            (rows, bands)
            for rows in range(1, 33)
            if (bands := _bands_needed(threshold**rows)) * rows <= PERMUTATIONS
        ]
        rows, bands = fitting[-1]
        return cls(bands, rows, _most_differing((1 - threshold) / 2))

    @property
    def width(self) -> int:
        """64-bit words in the sketch of a text: one a band, then the bits."""
        return self.bands + PERMUTATIONS // _WORD

    def recall(self, similarity: float) -> float:
        """Probability that two texts of this similarity share a band."""
        return float(1 - (1 - similarity**self.rows) ** self.bands)


def _bands_needed(agreement: float) -> int:
    """Bands until one agrees with the probability `_RECALL`, where each does with `agreement`."""
    if agreement >= 1:
        return 1
    return math.ceil(math.log1p(-_RECALL) / math.log1p(-agreement))


def _most_differing(share: float) -> int:
    """Bits of which more differ in one of 10,000 pairs, where each differs with `share`."""
    seen = 0.0
    for bits in range(PERMUTATIONS + 1):
        seen += math.comb(PERMUTATIONS, bits) * share**bits * (1 - share) ** (PERMUTATIONS - bits)
        if seen >= 1 - _UNSEEN:
            return bits
    return PERMUTATIONS


def sketch(
    texts: Sequence[str], bands: Bands, kinds: Sequence[int] | None = None
) -> NDArray[np.uint64]:
    """Sketches of texts, shape (texts, bands.width), little endian.

    A text without a piece has a sketch of zeros: it has no near duplicates, only equal texts.
    `kinds` are 64-bit numbers, one a text: texts with different ones share no band, whatever they
    say, so that no pair of them is ever looked at.
    """
    import numpy as np
    from rensa import RMinHash  # type: ignore[import-untyped]

    pieces = [shingles(text) for text in texts]
    found = np.zeros((len(texts), bands.width), dtype="<u8")
    some = [number for number, piece in enumerate(pieces) if piece]
    if not some:
        return found
    matrix = RMinHash.digest_matrix_from_token_sets(
        [pieces[number] for number in some], PERMUTATIONS, _SEED
    )
    values = np.array(matrix.to_rows(), dtype=np.uint32)
    hashes = _band_hashes(values, bands)
    if kinds is not None and any(kinds):
        hashes = np.maximum(hashes ^ np.array(kinds, dtype=np.uint64)[some, None], np.uint64(1))
    found[some, : bands.bands] = hashes
    # Of a product it is the high bits that depend on all bits of the factor.
    bits = (values * np.uint32(0x9E3779B1)) >> np.uint32(31)
    found[some, bands.bands :] = np.packbits(bits.astype(bool), axis=1).view("<u8")
    return found


def _band_hashes(values: NDArray[np.uint32], bands: Bands) -> NDArray[np.uint64]:
    """One hash a band, never 0: that stands for no sketch."""
    import numpy as np

    used = values[:, : bands.bands * bands.rows].reshape(-1, bands.bands, bands.rows)
    hashes = np.broadcast_to(np.arange(1, bands.bands + 1, dtype=np.uint64), used.shape[:2])
    for row in range(bands.rows):
        hashes = (hashes ^ used[:, :, row]) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    return np.maximum(hashes, np.uint64(1))

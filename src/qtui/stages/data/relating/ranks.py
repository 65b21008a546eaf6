"""A number for each row from a seed and from what the row says, so that chance has no order.

Whoever chooses rows at random (splits, mixtures, variations) sorts them by these numbers. The same
seed then chooses the same rows whatever the order of the files, and rows that are added later move
few others. Keys are hashes of what rows say (`Row.key`), so that stirring them is enough: ten
million take half a second.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Bytes: TypeAlias = npt.NDArray[np.uint8]
Words: TypeAlias = npt.NDArray[np.uint64]
Numbers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]


def contents(keys: Bytes) -> Words:
    """One 64-bit number for each key (n × 16 bytes): equal for equal keys.

    Two different keys of ten million share a number once in 400,000 times.
    """
    words = np.ascontiguousarray(keys, dtype=np.uint8).reshape(-1, 16).view("<u8")
    return _stirred(words[:, 0] ^ _stirred(words[:, 1].astype(np.uint64)))


def ranked(content: Words, seed: int, purpose: str) -> Words:
    """The rank of each content under a seed; another `purpose` gives independent ranks."""
    salt = int.from_bytes(purpose.encode()[:8].ljust(8, b"\0"), "little")
    start = np.array([(seed * 0x9E3779B97F4A7C15 + salt) % 2**64], dtype=np.uint64)
    return _stirred(content ^ _stirred(start))


def _stirred(words: Words) -> Words:
    """The mixing function of splitmix64 (Steele, Lea and Flood 2014): one to one on 64 bits."""
    mixed = words + np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed

"""Pieces and sketches: what counts as the same words, and how well a sketch tells."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.stages.data.relating.sketches import (
    LONGEST,
    PERMUTATIONS,
    Bands,
    jaccard,
    shingles,
    sketch,
)

BANDS = Bands.for_threshold(0.8)
ANY = st.text(st.characters(exclude_categories=()), max_size=200)
ASCII = st.text(st.characters(max_codepoint=127), max_size=200)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One two  three\nFOUR", ["one two three", "two three four"]),
        ("Don't stop: it's 5_000 (or 7%)!", ["dont stop its", "stop its 5", "its 5 000"]),
        ("Don’t stop it", ["dont stop it"]),
        ("STRASSE im Ort", ["strasse im ort"]),
        ("Straße im Ort", ["strasse im ort"]),
        ("ﬁne ＦＵＬＬ café", ["fine full café"]),
        ("我喜欢吃", ["我 喜 欢", "喜 欢 吃"]),
        ("我，喜。欢", ["我 喜 欢"]),
        ("カタカナ", ["カ タ カ", "タ カ ナ"]),
        ("ｶﾞﾗｽ", ["ガ ラ ス"]),
        ("ภาษา", ["ภ า ษ", "า ษ า"]),
        ("हिन्दी भाषा अच्छी", ["हिन्दी भाषा अच्छी"]),
        ("한국어 문장 하나", ["한국어 문장 하나"]),
        ("two words", []),
        ("", []),
        ("?!… 🙂🙂🙂", []),
    ],
)
def test_pieces(text: str, pieces: list[str]) -> None:
    assert shingles(text)[:3] == pieces


@given(ASCII)
def test_plain_text_takes_a_shorter_way_to_the_same_words(text: str) -> None:
    short = shingles(text)
    assert shingles(text + " é")[: len(short)] == short


@given(st.lists(st.sampled_from(["wort", "été", "x1", "我"]), max_size=9), st.randoms())
def test_case_white_space_and_punctuation_do_not_count(
    words: list[str], chance: random.Random
) -> None:
    told = "".join(
        chance.choice([word, word.upper()]) + chance.choice([" ", "\n\t", ", ", " — ", "."])
        for word in words
    )
    assert shingles(told) == shingles(" ".join(words))


@given(st.lists(ANY, max_size=5))
def test_any_text_has_a_sketch(texts: list[str]) -> None:
    found = sketch(texts, BANDS)
    assert found.shape == (len(texts), BANDS.width)
    for text, row in zip(texts, found, strict=True):
        assert row[: BANDS.bands].all() == bool(shingles(text))
        assert row.any() == bool(shingles(text))


def test_only_so_much_of_a_text_counts() -> None:
    text = "word " * (LONGEST // 5)
    assert shingles(text + "and more of it") == shingles(text)
    assert len(shingles(text[:-5] + "more")) == LONGEST // 5 - 2


@given(st.lists(st.text("abc ", max_size=30), min_size=1, max_size=20), st.integers(0, 20))
def test_sketches_do_not_depend_on_the_batch(texts: list[str], cut: int) -> None:
    together = sketch(texts, BANDS)
    apart = np.concatenate([sketch(texts[:cut], BANDS), sketch(texts[cut:], BANDS)])
    assert np.array_equal(together, apart)


def test_sketches_are_the_same_in_every_process() -> None:
    text = "the quick brown fox jumps over the lazy dog, ein schöner Tag"
    code = (
        "from qtui.stages.data.relating.sketches import Bands, sketch\n"
        f"print(sketch([{text!r}], Bands.for_threshold(0.8)).tobytes().hex())"
    )
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        out = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, check=True
        ).stdout
        assert bytes.fromhex(out.decode().strip()) == sketch([text], BANDS).tobytes()


def test_jaccard() -> None:
    assert jaccard({"a", "b", "c"}, {"b", "c", "d"}) == 0.5
    assert jaccard({"a"}, {"a"}) == 1
    assert jaccard({"a"}, {"b"}) == 0
    assert jaccard(set(), set()) == 0


@given(st.floats(0.3, 1))
def test_bands_find_almost_all_at_the_threshold(threshold: float) -> None:
    bands = Bands.for_threshold(threshold)
    assert bands.bands * bands.rows <= PERMUTATIONS
    assert bands.recall(threshold) >= 0.99
    assert bands.recall(1) == 1
    assert bands.recall(0) == 0
    assert int((1 - threshold) / 2 * PERMUTATIONS) <= bands.differing <= PERMUTATIONS


def test_bands_at_the_default_threshold() -> None:
    assert (BANDS.bands, BANDS.rows) == (16, 6)
    assert BANDS.recall(0.8) == pytest.approx(1 - (1 - 0.8**6) ** 16)
    assert BANDS.recall(0.5) < 0.25
    assert BANDS.recall(0.95) > 0.999999


@pytest.mark.parametrize("threshold", [0.29, 1.01, -1.0])
def test_a_threshold_that_makes_no_sense_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        Bands.for_threshold(threshold)


@pytest.mark.parametrize("size", [20, 150])
@pytest.mark.parametrize(
    ("threshold", "similarity"), [(0.6, 0.6), (0.8, 0.5), (0.8, 0.7), (0.8, 0.8), (0.9, 0.9)]
)
def test_the_curve_holds_for_the_values_of_rensa(
    size: int, threshold: float, similarity: float
) -> None:
    """Of 1,000 pairs of texts of a known similarity as many share a band as the curve says."""
    bands = Bands.for_threshold(threshold)
    chance = random.Random(f"{size} {threshold} {similarity}")
    pairs = [_pair(chance, size, similarity) for _ in range(1000)]
    similarity = jaccard(set(shingles(pairs[0][0])), set(shingles(pairs[0][1])))
    one = sketch([pair[0] for pair in pairs], bands)
    other = sketch([pair[1] for pair in pairs], bands)
    shared = (one[:, : bands.bands] == other[:, : bands.bands]).any(axis=1).mean()
    recall = bands.recall(similarity)
    assert shared == pytest.approx(recall, abs=4 * (recall * (1 - recall) / 1000) ** 0.5)
    apart = np.bitwise_count(one[:, bands.bands :] ^ other[:, bands.bands :]).sum(axis=1)
    assert apart.mean() == pytest.approx((1 - similarity) / 2 * PERMUTATIONS, abs=0.6)
    if similarity >= threshold:
        assert (apart > bands.differing).mean() <= 0.002


def _pair(chance: random.Random, size: int, similarity: float) -> tuple[str, str]:
    """Two texts of `size` pieces that differ from some word on."""

    def words(count: int) -> list[str]:
        return [f"{chance.getrandbits(60):x}" for _ in range(count)]

    common = words(round(2 * similarity / (1 + similarity) * size) + 2)
    rest = size + 2 - len(common)
    return " ".join(common + words(rest)), " ".join(common + words(rest))

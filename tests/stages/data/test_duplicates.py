"""Duplicates: against brute force on small sets, and laws that hold for any."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from qtui.errors import StoppedError
from qtui.stages.data.relating import candidates, duplicates
from qtui.stages.data.relating.candidates import emit_pairs, slices
from qtui.stages.data.relating.duplicates import NearDuplicates, NearGroups, first_of
from qtui.stages.data.relating.pair_files import ROWS_A_FILE, PairFiles
from qtui.stages.data.relating.sketches import Bands, jaccard, shingles, sketch

same_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
    deadline=None,
    max_examples=60,
)
VOCABULARY = [f"w{number}" for number in range(400)]


def search(
    folder: Path,
    texts: list[str],
    threshold: float = 0.8,
    skip: list[bool] | None = None,
    batch: int = 7,
    **more: Any,
) -> NearGroups:
    bands = Bands.for_threshold(threshold)
    with NearDuplicates(folder, bands, threshold) as near:
        for start in range(0, len(texts), batch):
            near.add(sketch(texts[start : start + batch], bands))
        without = None if skip is None else np.array(skip, dtype=bool)
        found = near.find(texts.__getitem__, without, **more)
    assert list(folder.iterdir()) == []
    return found


def greedy(texts: list[str], threshold: float, skip: list[bool]) -> list[int]:
    """The definition: each row repeats the first one before it that stays and is similar."""
    pieces = [set(shingles(text)) for text in texts]
    first = list(range(len(texts)))
    for row in range(len(texts)):
        for other in range(row):
            alike = jaccard(pieces[other], pieces[row]) >= threshold
            if alike and first[other] == other and not skip[other] and not skip[row]:
                first[row] = other
                break
    return first


def edited(chance: random.Random, words: list[str], edits: int) -> list[str]:
    words = list(words)
    for _ in range(edits):
        place = chance.randrange(len(words) + 1)
        what = chance.choice(["swap", "drop", "insert"])
        words[place : place + (what != "insert")] = (
            [] if what == "drop" else [chance.choice(VOCABULARY)]
        )
    return words


@st.composite
def similar_texts(draw: st.DrawFn) -> list[str]:
    """Texts of about 240 words, many of them copies of one another with few or many edits."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    rows = [chance.choices(VOCABULARY, k=240)]
    edits_of = st.sampled_from([None, 0, 0, 1, 1, 1, 2, 6, 40, 80])
    for edits in draw(st.lists(edits_of, max_size=16)):
        if edits is None:
            rows.append(chance.choices(VOCABULARY, k=chance.choice([1, 2, 5, 240])))
        else:
            rows.append(edited(chance, chance.choice(rows), edits))
    return [" ".join(row) for row in rows]


@given(similar_texts(), st.sampled_from([0.3, 0.5, 0.8, 0.9, 1.0]), st.data())
@same_folder
def test_it_is_the_greedy_search_where_similarities_are_clear(
    tmp_path: Path, texts: list[str], threshold: float, data: st.DataObject
) -> None:
    skip = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    pieces = [set(shingles(text)) for text in texts]
    similar = {
        jaccard(pieces[one], pieces[other])
        for one in range(len(texts))
        for other in range(one)
        if not skip[one] and not skip[other]
    }
    clear = Bands.for_threshold(threshold)
    assume(not any(s >= threshold and clear.recall(s) < 1 - 1e-6 for s in similar))
    assert search(tmp_path, texts, threshold, skip).first.tolist() == greedy(texts, threshold, skip)


@given(similar_texts(), st.sampled_from([0.5, 0.8, 0.9]), st.data())
@same_folder
def test_laws(tmp_path: Path, texts: list[str], threshold: float, data: st.DataObject) -> None:
    skip = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    found = search(tmp_path, texts, threshold, skip)
    first = found.first
    assert np.array_equal(first[first], first)
    assert (first <= np.arange(len(texts))).all()
    for row, other in enumerate(first.tolist()):
        if other == row:
            assert found.similarity(row) == 0
            continue
        assert not skip[row]
        assert not skip[other]
        exact = jaccard(set(shingles(texts[row])), set(shingles(texts[other])))
        assert exact >= threshold
        assert found.similarity(row) == pytest.approx(exact, rel=1e-6)
    for row, text in enumerate(texts):  # an equal text is always found
        before = [n for n in range(row) if texts[n] == text and not skip[n]]
        if before and not skip[row] and shingles(text):
            assert first[row] <= before[0]


@given(similar_texts(), st.integers(1, 40))
@same_folder
def test_batches_and_the_order_of_bands_do_not_matter(
    tmp_path: Path, texts: list[str], batch: int
) -> None:
    bands = Bands.for_threshold(0.8)
    order = np.random.default_rng(batch).permutation(bands.bands)
    mixed = np.concatenate([order, np.arange(bands.bands, bands.width)])
    sketches = sketch(texts, bands)
    with NearDuplicates(tmp_path, bands, 0.8) as near:
        near.add(np.ascontiguousarray(sketches[:, mixed]))
        shuffled = near.find(texts.__getitem__)
        again = near.find(texts.__getitem__)
    batched = search(tmp_path, texts, batch=batch)
    for other in (again, batched):
        assert np.array_equal(shuffled.first, other.first)
        assert np.array_equal(shuffled.similarities, other.similarities)


def test_there_are_no_chains(tmp_path: Path) -> None:
    words = VOCABULARY[:100]
    near, far = words[:92] + VOCABULARY[200:208], words[:84] + VOCABULARY[200:216]
    texts = [" ".join(row) for row in (words, near, far, words)]
    found = search(tmp_path, texts)
    assert found.first.tolist() == [0, 0, 2, 0]
    assert [round(found.similarity(row), 2) for row in range(4)] == [0, 0.85, 0, 1]
    # In another order the middle one comes first, and both others are like it.
    assert search(tmp_path, [texts[1], texts[0], texts[2]]).first.tolist() == [0, 0, 0]


def companies(texts: list[str], threshold: float) -> list[int]:
    """The definition: whoever is similar to a row of a company belongs to it."""
    pieces = [set(shingles(text)) for text in texts]
    company = list(range(len(texts)))
    for row in range(len(texts)):
        for other in range(row):
            if jaccard(pieces[other], pieces[row]) >= threshold:
                new, old = sorted((company[other], company[row]))
                company = [new if each == old else each for each in company]
    return company


@given(similar_texts(), st.sampled_from([0.5, 0.8, 0.9]), st.integers(0, 17))
@same_folder
def test_companies_and_leaks_are_those_of_all_pairs_where_similarities_are_clear(
    tmp_path: Path, texts: list[str], threshold: float, held: int
) -> None:
    pieces = [set(shingles(text)) for text in texts]
    alike = {
        (one, other): jaccard(pieces[one], pieces[other])
        for one in range(len(texts))
        for other in range(one)
    }
    clear = Bands.for_threshold(threshold)
    assume(not any(s >= threshold and clear.recall(s) < 1 - 1e-6 for s in alike.values()))
    found = search(tmp_path, texts, threshold, held=held)
    assert found.company.tolist() == companies(texts, threshold)
    for row in range(held, len(texts)):
        leak = any(alike[row, other] >= threshold for other in range(min(held, row)))
        assert (found.first[row] < held) == leak


def test_rows_that_go_hold_nobody_together(tmp_path: Path) -> None:
    words = VOCABULARY[:100]
    near, far = words[:92] + VOCABULARY[200:208], words[:84] + VOCABULARY[200:216]
    texts = [" ".join(row) for row in (words, near, far)]
    stays = np.zeros(3, dtype=bool)
    assert search(tmp_path, texts).company.tolist() == [0, 0, 0]
    assert search(tmp_path, texts, stays=stays).company.tolist() == [0, 0, 2]
    assert search(tmp_path, texts, held=2).first.tolist() == [0, 0, 1]
    assert search(tmp_path, texts, held=2, stays=stays).first.tolist() == [0, 0, 2]
    stays[1] = True
    assert search(tmp_path, texts, held=2, stays=stays).first.tolist() == [0, 0, 1]


def test_of_two_similar_rows_the_earliest_is_repeated(tmp_path: Path) -> None:
    """Also where it is not the most similar one."""
    chance = random.Random(1)
    words = VOCABULARY[:100]
    texts = [" ".join(chance.choices(VOCABULARY, k=60)) for _ in range(65)]
    texts[5] = " ".join(VOCABULARY[300:309] + words[9:])
    texts[64] = " ".join(words[:95] + VOCABULARY[200:205])
    found = search(tmp_path, [*texts, " ".join(words)])
    assert found.first.tolist() == [*range(65), 5]


def test_of_many_candidates_the_most_similar_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "COMPARED", 2)
    chance = random.Random(3)
    template = chance.choices(VOCABULARY, k=60)
    rows = [template + [f"own{row}x{word}" for word in range(14)] for row in range(25)]
    texts = [" ".join(row) for row in [*rows, [*rows[20][:-1], "changed"]]]
    found = search(tmp_path, texts)
    assert found.first.tolist() == [*range(25), 20]
    assert 25 <= found.compared <= 50


def test_texts_without_a_piece_have_no_near_duplicates(tmp_path: Path) -> None:
    found = search(tmp_path, ["yes", "yes", "", "", "no no", "a b c", "A, b, c!"])
    assert found.first.tolist() == [0, 1, 2, 3, 4, 5, 5]


def test_nothing_at_all(tmp_path: Path) -> None:
    assert search(tmp_path, []).first.tolist() == []
    assert first_of(b"").tolist() == []


@pytest.mark.parametrize("size", [40, 700])
def test_a_crowd_in_one_bucket_is_found_without_all_its_pairs(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five texts, each over and over with another word changed; a block has 50 rows."""
    monkeypatch.setattr(candidates, "SMALL", 8)
    monkeypatch.setattr(candidates, "_BLOCK_ROWS", 50)
    chance = random.Random(5)
    bases = [chance.choices(VOCABULARY, k=80) for _ in range(5)]
    texts = [" ".join(base) for base in bases]
    texts += [" ".join(edited(chance, bases[row % 5], 1)) for row in range(size)]
    found = search(tmp_path, texts)
    assert found.first.tolist() == [row % 5 for row in range(len(texts))]
    assert found.compared <= 2 * size


def test_a_crowd_that_is_no_duplicate_costs_a_few_pairs_a_row(tmp_path: Path) -> None:
    """All rows in one bucket, nothing alike: no row may be compared with all others."""
    rng = np.random.default_rng(3)
    rows, count = np.arange(3000), []
    bits = rng.integers(0, 1 << 63, (3000, 2), dtype=np.uint64)
    hashes = np.ones(3000, dtype=np.uint64)

    def emit(earlier: np.ndarray, later: np.ndarray) -> None:
        assert (earlier < later).all()
        count.append(len(earlier))

    emit_pairs(rows, hashes, bits, (128, 0), emit, lambda: None)
    assert 0 < sum(count) <= 3000 * (candidates.TRIES + 2)


def test_leaders_lead_the_whole_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd is gone through in blocks; the leaders of the first are those of all."""
    monkeypatch.setattr(candidates, "_BLOCK_ROWS", 50)
    bits = np.zeros((500, 2), dtype=np.uint64)
    bits[1::2] = 2**64 - 1
    met: set[tuple[int, int]] = set()

    def emit(earlier: np.ndarray, later: np.ndarray) -> None:
        met.update(zip(earlier.tolist(), later.tolist(), strict=True))

    emit_pairs(np.arange(500), np.ones(500, dtype=np.uint64), bits, (10, 5), emit, lambda: None)
    assert {(row % 2, row) for row in range(2, 500)} <= met
    assert len(met) <= 3 * 500


def test_equal_sketches_meet_in_a_crowd_that_has_too_many_leaders() -> None:
    rng = np.random.default_rng(4)
    bits = rng.integers(0, 1 << 63, (500, 2), dtype=np.uint64)
    bits[400:] = bits[300:400]
    met: set[tuple[int, int]] = set()

    def emit(earlier: np.ndarray, later: np.ndarray) -> None:
        met.update(zip(earlier.tolist(), later.tolist(), strict=True))

    emit_pairs(np.arange(500), np.ones(500, dtype=np.uint64), bits, (10, 5), emit, lambda: None)
    assert met == {(row - 100, row) for row in range(400, 500)}


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 60), st.data())
def test_small_buckets_give_every_pair(hashes: list[int], base: int, data: st.DataObject) -> None:
    rows = np.sort(np.array(data.draw(st.permutations(range(90))))[: len(hashes)])
    counts = np.bincount(hashes, minlength=6) if hashes else np.zeros(6)
    assume(counts.max() <= candidates.SMALL)
    met: list[tuple[int, int]] = []

    def emit(earlier: np.ndarray, later: np.ndarray) -> None:
        met.extend(zip(earlier.tolist(), later.tolist(), strict=True))

    bits = np.zeros((90, 2), dtype=np.uint64)
    keys = np.array(hashes, dtype=np.uint64) + np.uint64(base)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "_BLOCK_ROWS", 4)
        emit_pairs(rows, keys, bits, (0, 0), emit, lambda: None)
    wanted = [
        (rows[one], rows[other])
        for other in range(len(rows))
        for one in range(other)
        if hashes[one] == hashes[other]
    ]
    assert sorted(met) == sorted(wanted)


@given(
    st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3), max_size=80),
    st.integers(1, 30),
)
def test_slices_have_each_row_once_and_equal_hashes_together(
    values: list[int], rows_a_slice: int
) -> None:
    words = np.array(values, dtype=np.uint64).reshape(-1, 1)
    where: dict[int, int] = {}
    seen: list[int] = []
    read = lambda start, rows: words[start : start + rows]  # noqa: E731
    for part, (rows, found) in enumerate(slices(read, len(words), rows_a_slice)):
        assert np.array_equal(words[rows], found)
        assert (np.diff(rows) > 0).all()
        seen += rows.tolist()
        assert all(where.setdefault(value, part) == part for value in found[:, 0].tolist())
    assert sorted(seen) == list(range(len(values)))


@given(
    st.lists(
        st.binary(min_size=16, max_size=16)
        | st.sampled_from(
            [bytes(16), bytes(15) + b"\1", b"\1" + bytes(15), bytes(8) + b"\1" + bytes(7)]
        )
    ),
    st.data(),
)
def test_first_of_equal_keys(keys: list[bytes], data: st.DataObject) -> None:
    skip = data.draw(st.lists(st.booleans(), min_size=len(keys), max_size=len(keys)))
    known: dict[bytes, int] = {}
    wanted = [row if skip[row] else known.setdefault(key, row) for row, key in enumerate(keys)]
    assert first_of(b"".join(keys), np.array(skip, dtype=bool)).tolist() == wanted
    known.clear()
    assert first_of(bytearray(b"".join(keys))).tolist() == [
        known.setdefault(key, row) for row, key in enumerate(keys)
    ]


@given(st.lists(st.tuples(st.integers(0, 3 * ROWS_A_FILE), st.integers(1, 40)), max_size=200))
@same_folder
def test_pairs_come_back_once_and_in_order(tmp_path: Path, pairs: list[tuple[int, int]]) -> None:
    files = PairFiles(tmp_path, buffered=5, most_bytes=64)
    for earlier, step in pairs:
        files.add(np.array([earlier]), np.array([earlier + step]))
    found = [(later, earlier) for part in files.read() for later, earlier in part.tolist()]
    assert found == sorted({(earlier + step, earlier) for earlier, step in pairs})
    files.close()
    assert list(tmp_path.iterdir()) == []


def test_files_of_pairs_do_not_grow_by_repetitions(tmp_path: Path) -> None:
    files = PairFiles(tmp_path, buffered=100, most_bytes=1000)
    for _ in range(50):
        files.add(np.arange(100), np.arange(100) + 7)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size <= 2 * 100 * 8 + 100 * 8
    files.close()


class Stop:
    """Says yes from the nth time on."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_stop_is_heard_everywhere(tmp_path: Path) -> None:
    chance = random.Random(2)
    base = chance.choices(VOCABULARY, k=60)
    texts = [" ".join(edited(chance, base, 1)) for _ in range(60)]
    bands = Bands.for_threshold(0.8)
    asked = Stop(10**9)
    with NearDuplicates(tmp_path, bands, 0.8) as near:
        near.add(sketch(texts, bands))
        near.find(texts.__getitem__, stopped=asked)
        times = 10**9 - asked.left
        assert times > bands.bands + len(texts)
        for after in [*range(0, times, 23), times - 1]:
            with pytest.raises(StoppedError):
                near.find(texts.__getitem__, stopped=Stop(after))
            assert not list(tmp_path.glob("pairs*"))
        near.find(texts.__getitem__, stopped=Stop(times))
    assert list(tmp_path.iterdir()) == []
    read = []

    def text_of(row: int) -> str:
        read.append(row)
        return texts[row]

    with NearDuplicates(tmp_path, bands, 0.8) as near:
        near.add(sketch(texts, bands))
        with pytest.raises(StoppedError):
            near.find(text_of, stopped=lambda: bool(read))
    assert len(read) == 1
    with pytest.raises(StoppedError):
        first_of(bytes(32), stopped=Stop(0))


def test_progress_goes_up_to_the_number_of_rows(tmp_path: Path) -> None:
    texts = [" ".join(VOCABULARY[row % 40 : row % 40 + 50]) for row in range(300)]
    bands = Bands.for_threshold(0.8)
    told: list[tuple[int, int]] = []
    with NearDuplicates(tmp_path, bands, 0.8) as near:
        near.add(sketch(texts, bands).tobytes())
        near.find(texts.__getitem__, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert {total for _, total in told} == {300}
    assert told[0] == (0, 300)
    assert told[-1] == (300, 300)
    assert len(told) > bands.bands


def test_few_texts_are_read(tmp_path: Path) -> None:
    """Rows that are like no other are never read."""
    chance = random.Random(9)
    texts = [" ".join(chance.choices(VOCABULARY, k=50)) for _ in range(500)]
    texts[300] = texts[20] + " and"
    texts += ["yes", "yes", "", ""]
    read: list[int] = []

    def text_of(row: int) -> str:
        read.append(row)
        return texts[row]

    bands = Bands.for_threshold(0.8)
    with NearDuplicates(tmp_path, bands, 0.8) as near:
        near.add(sketch(texts, bands))
        found = near.find(text_of)
    assert found.first[300] == 20
    assert sorted(read) == [20, 300]

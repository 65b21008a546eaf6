"""Duplicates found, wrongly found and missed by kind, beside datasketch's MinHashLSH, in one run.

Prints one JSON line. How it is planted, with a fixed seed: the rows at the start are like no other
(at most 30 % of the three-word pieces of one stand in any row before it). Half of them are real
where `../shared/data/sft` is there (GPTeacher, instruction and answer), of more than 60 words; the
others are made of 5,000 invented words, frequent ones more often, with 20 to 60 words like rows of
Alpaca. Behind them, in random order: copies, each of another row and with one kind of change, and
hard negatives, families of 20 rows that have 50 to 70 % of their words in common (one template,
own words in the middle).

Whether a copy is a near duplicate at the threshold is not what was meant but what is: the exact
Jaccard similarity of its pieces and those of its origin. A kind says how many were `planted`, the
median `similarity`, how many are `due` (at or above the threshold), and of these the share `found`.
`wrong` are rows that were said to repeat a row to which their similarity is below the threshold;
`precision` is the share of what was said that is not wrong.

`datasketch` gets the same pieces, threshold and number of permutations and chooses its bands by
itself; `datasketch_our_bands` gets our bands too. Each row asks the index for rows like it and is
then added. Rows a second are those of one process, from texts to the result; by the clock, and by
its CPU time, which a busy machine changes less.

    python benchmarks/duplicates.py [--rows 12000] [--threshold 0.8]
    python benchmarks/duplicates.py --scale 2000000

With --scale: seconds, memory and disk of the search alone among so many made-up rows of 60 words,
of which one in twenty is a copy with a word changed. `memory_mib` is the growth of the resident
memory, mapped files included; texts are made anew when asked for, which is `texts_seconds` of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from qtui.stages.data.relating.duplicates import NearDuplicates, first_of
from qtui.stages.data.relating.sketches import PERMUTATIONS, Bands, jaccard, shingles, sketch
from qtui.stages.data.rows import Row

SEED = 20261124
BATCH = 512
REAL = Path(__file__).parents[1].parent / "shared" / "data" / "sft" / "gpteacher"
Edit = Callable[[list[str], random.Random], list[str]]


def invented_words(count: int) -> list[str]:
    chance = random.Random(SEED)
    syllables = ["ka", "ri", "to", "men", "sol", "ve", "an", "du", "pi", "lor", "es", "um", "ti"]
    words = {"".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(4 * count)}
    return sorted(words, key=lambda word: (len(word), word))[:count]


WORDS = invented_words(5000)
FREQUENCY = [1 / (rank + 10) for rank in range(len(WORDS))]


def sentence(chance: random.Random, length: int) -> list[str]:
    words = chance.choices(WORDS, FREQUENCY, k=length)
    return [words[0].capitalize(), *words[1:-1], words[-1] + "."]


def real_texts() -> list[str]:
    found = []
    for path in sorted(REAL.glob("*.json")):
        for row in json.loads(path.read_text(encoding="utf-8")):
            text = f"{row['instruction']}\n{row['input']}\n{row['response']}"
            if len(text.split()) > 60:
                found.append(text)
    return found


def originals(count: int, chance: random.Random) -> list[str]:
    """Texts of which none is like another."""
    real = real_texts()
    chance.shuffle(real)
    seen: set[str] = set()
    kept: list[str] = []
    while len(kept) < count:
        text = (
            real.pop()
            if real and len(kept) % 2
            else " ".join(
                word
                for _ in range(chance.randint(2, 5))
                for word in sentence(chance, chance.randint(10, 12))
            )
        )
        pieces = set(shingles(text))
        if len(pieces & seen) <= 0.3 * len(pieces):
            seen |= pieces
            kept.append(text)
    return kept


# ---- what is planted ----------------------------------------------------------------------------


def white_space(words: list[str], chance: random.Random) -> list[str]:
    return [word + chance.choice(["", "", " ", "\n", "\t"]) for word in words]


def case_and_punctuation(words: list[str], chance: random.Random) -> list[str]:
    changed = [word.upper() if chance.random() < 0.3 else word for word in words]
    return [word + chance.choice(["", "", "", ",", "!"]) for word in changed]


def words_swapped(count: int) -> Edit:
    def edit(words: list[str], chance: random.Random) -> list[str]:
        changed = list(words)
        for place in chance.sample(range(len(words)), count):
            changed[place] = f"{chance.choice(WORDS)}x"
        return changed

    return edit


def word_dropped(words: list[str], chance: random.Random) -> list[str]:
    place = chance.randrange(len(words))
    return words[:place] + words[place + 1 :]


def sentence_added(words: list[str], chance: random.Random) -> list[str]:
    return words + sentence(chance, 8)


def prefix_added(words: list[str], chance: random.Random) -> list[str]:
    return ["Sure!", "Here", "is", "the", "answer:", *words]


KINDS: dict[str, Edit] = {
    "white_space": white_space,
    "case_and_punctuation": case_and_punctuation,
    "one_word_swapped": words_swapped(1),
    "three_words_swapped": words_swapped(3),
    "one_word_dropped": word_dropped,
    "sentence_added": sentence_added,
    "prefix_added": prefix_added,
}
NEGATIVE = "hard_negative"
ORIGINAL = "original"


@dataclass(frozen=True)
class Planted:
    """A text, its kind, and the number of the row that it was made from."""

    text: str
    kind: str
    origin: int = -1


def planted(rows: int) -> list[Planted]:
    chance = random.Random(SEED)
    made = originals(rows // 2, chance)
    later = []
    for number, text in enumerate(made[: rows * 3 // 8]):
        kind = list(KINDS)[number // 2 % len(KINDS)]
        words = text.split()
        size = "20 to 60 words" if len(words) <= 60 else "over 60 words"
        later.append(Planted(" ".join(KINDS[kind](words, chance)), f"{kind}, {size}", number))
    while len(made) + len(later) < rows:
        template, own = sentence(chance, 50), chance.randint(21, 50)
        for _ in range(20):
            words = template[:30] + [f"{chance.choice(WORDS)}z" for _ in range(own)]
            later.append(Planted(" ".join(words + template[30:]), NEGATIVE))
    chance.shuffle(later)
    return [Planted(text, ORIGINAL) for text in made] + later


# ---- who looks for them -------------------------------------------------------------------------

Found = list[Sequence[int]]
"""For each row the earlier rows that it is said to repeat."""


def ours(texts: list[str], threshold: float) -> Found:
    bands = Bands.for_threshold(threshold)
    keys = b"".join(Row(({"role": "user", "content": text},), "", 1).key() for text in texts)
    first = first_of(keys)
    equal = first != np.arange(len(texts))
    with (
        tempfile.TemporaryDirectory() as folder,
        NearDuplicates(Path(folder), bands, threshold) as near,
    ):
        for start in range(0, len(texts), BATCH):
            near.add(sketch(texts[start : start + BATCH], bands))
        groups = near.find(texts.__getitem__, skip=equal)
    both = np.where(equal, first, groups.first).tolist()
    return [[other] if other != row else [] for row, other in enumerate(both)]


def theirs(texts: list[str], threshold: float, bands: tuple[int, int] | None) -> Found:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, params=bands)
    found: Found = []
    for number, text in enumerate(texts):
        values = MinHash(num_perm=PERMUTATIONS)
        values.update_batch([piece.encode() for piece in set(shingles(text))])
        found.append(index.query(values))
        index.insert(number, values)
    return found


def judged(rows: list[Planted], found: Found, threshold: float) -> dict[str, object]:
    """The figures by kind; see the head of this file."""
    pieces = [frozenset(shingles(row.text)) for row in rows]
    of_kind: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        of_kind[row.kind].append(number)
    wrong = {
        number
        for number, others in enumerate(found)
        if others and max(jaccard(pieces[number], pieces[other]) for other in others) < threshold
    }
    kinds: dict[str, object] = {}
    for kind, numbers in sorted(of_kind.items()):
        figures: dict[str, object] = {"planted": len(numbers)}
        if rows[numbers[0]].origin >= 0:
            alike = [jaccard(pieces[n], pieces[rows[n].origin]) for n in numbers]
            due = [n for n, s in zip(numbers, alike, strict=True) if s >= threshold]
            hits = sum(bool(found[n]) and n not in wrong for n in due)
            figures |= {"similarity": statistics.median(alike), "due": len(due)}
            figures |= {"found": hits / len(due) if due else None}
        kinds[kind] = figures | {"wrong": sum(n in wrong for n in numbers)}
    said = sum(map(bool, found))
    return {"precision": 1 - len(wrong) / said if said else None, "kinds": kinds}


def compared(count: int, threshold: float) -> dict[str, object]:
    rows = planted(count)
    texts = [row.text for row in rows]
    bands = Bands.for_threshold(threshold)
    sides: dict[str, Callable[[], Found]] = {
        "qtui": lambda: ours(texts, threshold),
        "datasketch": lambda: theirs(texts, threshold, None),
        "datasketch_our_bands": lambda: theirs(texts, threshold, (bands.bands, bands.rows)),
    }
    ours(texts[:100], threshold)  # imports
    theirs(texts[:100], threshold, None)
    figures: dict[str, object] = {
        "rows": len(rows),
        "real_rows": sum(len(row.text.split()) > 60 for row in rows if row.kind == ORIGINAL),
        "threshold": threshold,
        "bands": {"bands": bands.bands, "rows": bands.rows, "recall": bands.recall(threshold)},
    }
    for name, look in sides.items():
        start, cpu_start = time.perf_counter(), time.process_time()
        found = look()
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
        speed = {"rows_a_second": len(rows) / seconds, "rows_a_cpu_second": len(rows) / cpu}
        figures[name] = {**speed, **judged(rows, found, threshold)}
    return figures


# ---- many rows ----------------------------------------------------------------------------------


def made_up(row: int) -> str:
    """The text of a row: every twentieth is an earlier one with another word in it."""
    chance = random.Random(row)
    if row % 20 or not row:
        return " ".join(chance.choices(WORDS, k=60))
    words = made_up(chance.randrange(row) // 20 * 20 + 1).split()
    words[chance.randrange(60)] = "changed"
    return " ".join(words)


def scale(count: int, threshold: float) -> dict[str, float]:
    bands = Bands.for_threshold(threshold)
    texts_seconds = 0.0

    def text_of(row: int) -> str:
        nonlocal texts_seconds
        start = time.perf_counter()
        text = made_up(row)
        texts_seconds += time.perf_counter() - start
        return text

    with (
        tempfile.TemporaryDirectory() as name,
        NearDuplicates(Path(name), bands, threshold) as near,
    ):
        sketching = 0.0
        for start in range(0, count, BATCH):
            texts = [made_up(row) for row in range(start, min(start + BATCH, count))]
            began = time.perf_counter()
            near.add(sketch(texts, bands))
            sketching += time.perf_counter() - began
        with Watch(Path(name)) as watch:
            began = time.perf_counter()
            found = near.find(text_of)
            seconds = time.perf_counter() - began
    return {
        "rows": count,
        "sketch_us_a_row": sketching / count * 1e6,
        "find_seconds": seconds,
        "texts_seconds": texts_seconds,
        "near_duplicates": int((found.first != np.arange(count)).sum()),
        "compared": found.compared,
        "memory_mib": watch.memory / 2**20,
        "disk_bytes_a_row": watch.disk / count,
    }


class Watch:
    """The most memory and disk used inside the block, looked at every 20 ms."""

    def __init__(self, folder: Path) -> None:
        self.memory = self.disk = 0
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._before = psutil.Process().memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        process = psutil.Process()
        while not self._over.wait(0.02):
            self.memory = max(self.memory, process.memory_info().rss - self._before)
            sizes = [entry.stat().st_size for entry in os.scandir(self._folder)]
            self.disk = max(self.disk, sum(sizes))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--scale", type=int, default=0)
    arguments = parser.parse_args()
    figures: dict[str, object] = {
        "benchmark": "duplicates",
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
    }
    if arguments.scale:
        figures["scale"] = scale(arguments.scale, arguments.threshold)
    else:
        figures |= compared(arguments.rows, arguments.threshold)
    print(json.dumps(_rounded(figures)))


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()

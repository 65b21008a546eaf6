"""How much of planted personal data is found, how much is found that is none, and at what speed.

Prints one JSON line. `found`: for each kind how many were planted, recall (the share that is
covered wholly by findings of the kind; a digit left over counts as missed), precision (the share
of findings of the kind that touch something planted of that kind), and which forms were missed.
`rows_per_second`: `Cleaner` and `Checker` with default settings on one core, on rows with nothing
planted and on the planted ones; the characters of a row beside them.

`planted_pii.py` says how the truth is planted: half of the texts hold one thing to find, the other
half a decoy. Its generators share no pattern with the code under test, and that code was developed
with other seeds; but whoever wrote it knew the forms, so that forms which are not among them may
be found less well. The figures say how much of these forms is found, never that all is.

    python benchmarks/data_checks.py [--texts 20000] [--seed 20261121] [--show]
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections import Counter, defaultdict
from collections.abc import Callable

from planted_pii import CARRIERS, KINDS, Maker, planted_text, sentence
from qtui.config.models import DataConfig
from qtui.stages.data.refining.checks import Checker
from qtui.stages.data.refining.clean import Cleaner
from qtui.stages.data.refining.pii import find
from qtui.stages.data.rows import Row


def accuracy(make: Maker, texts: int, show: bool) -> dict[str, object]:
    planted: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    reported: Counter[str] = Counter()
    right: Counter[str] = Counter()
    missed: dict[str, Counter[str]] = defaultdict(Counter)
    wrong: dict[str, Counter[str]] = defaultdict(Counter)
    for index in range(texts):
        kind = KINDS[index // 2 % len(KINDS)] if index % 2 else "decoy"
        text, form, (start, end) = planted_text(make, kind)
        covered = False
        for item in find(text):
            reported[item.kind] += 1
            touches = item.start < end and start < item.end
            if touches and item.kind == kind:
                right[kind] += 1
                covered = covered or (item.start <= start and end <= item.end)
            else:
                wrong[item.kind][f"{kind}: {form}" if touches else "around"] += 1
                if show:
                    print("wrong", item.kind, repr(text[max(0, item.start - 30) : item.end + 10]))
        if kind != "decoy":
            planted[kind] += 1
            hits[kind] += covered
            if not covered:
                missed[kind][form] += 1
                if show:
                    print("missed", kind, form, repr(text[max(0, start - 30) : end + 10]))
    return {
        kind: {
            "planted": planted[kind],
            "recall": round(hits[kind] / planted[kind], 4),
            "reported": reported[kind],
            "precision": round(right[kind] / reported[kind], 4) if reported[kind] else None,
            "missed": dict(missed[kind].most_common(6)),
            "wrong": dict(wrong[kind].most_common(6)),
        }
        for kind in KINDS
    }


def speed(rows: list[Row], times: int = 3) -> dict[str, float]:
    """Rows a second through `Cleaner` and `Checker`, the best of three, in CPU time of one core."""
    config = DataConfig()
    cleaner, checker = Cleaner(config), Checker(config)

    def work(step: Callable[[Row], object]) -> float:
        start = time.process_time()
        for row in rows:
            step(row)
        return time.process_time() - start

    cleaning = min(work(cleaner) for _ in range(times))
    checking = min(work(checker) for _ in range(times))
    said = sum(len(message["content"]) for row in rows for message in row.messages)
    return {
        "rows": len(rows),
        "characters_a_row": round(said / len(rows)),
        "rows_per_second": round(len(rows) / (cleaning + checking)),
        "clean_us": round(cleaning / len(rows) * 1e6, 1),
        "check_us": round(checking / len(rows) * 1e6, 1),
    }


def conversation(question: str, answer: str) -> Row:
    turns = ({"role": "user", "content": question}, {"role": "assistant", "content": answer})
    return Row(turns, "planted", 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument(
        "--show", action="store_true", help="print each miss and each false finding"
    )
    options = parser.parse_args()
    make = Maker(options.seed)
    found = accuracy(make, options.texts, options.show)
    plain = [
        conversation(sentence(make), " ".join(sentence(make) for _ in range(4)))
        for _ in range(options.texts // 4)
    ]
    holding = [
        conversation(sentence(make), planted_text(make, make.pick(list(CARRIERS)))[0])
        for _ in range(options.texts // 4)
    ]
    result = {
        "seed": options.seed,
        "texts": options.texts,
        "found": found,
        "speed_plain": speed(plain),
        "speed_planted": speed(holding),
        "python": platform.python_version(),
    }
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()

"""Preparing Alpaca rows, against `datasets` map and filter plus `datasketch` doing the same.

    python benchmarks/data.py [--rows N] [--only ours|theirs] [--keep FOLDER]

Both sides read the same JSON Lines file and do the same to every row: recognise it, clean it,
check it (PII, language, repetition and the rest, with the very same functions), drop what says the
same as an earlier row or nearly so (Jaccard of three-word pieces from 0.8, MinHash of 128), write
it with the same chat template, and tokenise it with the same tokenizer. Theirs does it by
`Dataset.map` and `filter` in two processes, `datasketch.MinHash` in two processes and
`datasketch.MinHashLSH` in one; ours by `qtui.stages.data.prepare`. Each runs in a process of its
own; memory is the sum over the process and its children of what each alone holds plus its share of
what they share (PSS), sampled five times a second.

The rows are made here, with a fixed seed: questions and answers of words that follow each other as
in the topics of Python's help (a Markov chain), 4 % of them near copies of an earlier row (one word
changed), 2 % exact copies, 5 % with white space to clean, 3 % with an e-mail address. Prints one
JSON line.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

SEED = 20261124
THRESHOLD = 0.8


def chain() -> dict[str, list[str]]:
    """Which words follow a word in the topics of Python's help, as often as they do there."""
    from pydoc_data.topics import topics

    found: dict[str, list[str]] = {}
    words = re.findall(r"[A-Za-z]+", " ".join(topics.values()))
    for one, other in pairwise([*words, words[0]]):
        found.setdefault(one.lower(), []).append(other.lower())
    return found


def write_rows(path: Path, count: int) -> None:
    """Write `count` Alpaca rows."""
    generator = random.Random(SEED)
    follows = chain()
    vocabulary = list(follows)
    word = "the"

    def text(length: int) -> list[str]:
        nonlocal word
        found = []
        for _ in range(length):
            following = follows[word]
            word = following[int(generator.random() * len(following))]
            found.append(word)
        return found

    kept: list[dict[str, str]] = []
    with path.open("w") as file:
        for number in range(count):
            draw = generator.random()
            if kept and draw < 0.02:
                row = generator.choice(kept)
            elif kept and draw < 0.06:
                base = generator.choice(kept)
                changed = base["output"].split(" ")
                changed[generator.randrange(len(changed))] = generator.choice(vocabulary)
                row = {**base, "output": " ".join(changed)}
            else:
                question = " ".join(text(generator.randint(6, 24))).capitalize() + "?"
                more = " ".join(text(generator.randint(10, 40))) if draw > 0.7 else ""
                sentences = [
                    " ".join(text(generator.randint(6, 14))).capitalize() + "."
                    for _ in range(generator.randint(1, 9))
                ]
                row = {"instruction": question, "input": more, "output": " ".join(sentences)}
                if 0.06 <= draw < 0.11:
                    row["output"] = row["output"].replace(". ", ".  \r\n", 2) + "  "
                elif 0.11 <= draw < 0.14:
                    row["output"] += f" Write to user{number}@example.org."
                if len(kept) < 20_000:
                    kept.append(row)
            file.write(json.dumps(row) + "\n")


def settings(path: Path) -> Any:
    """The run file of both sides."""
    from qtui.config.models import FineTuneConfig

    return FineTuneConfig.model_validate(
        {
            "data": {
                "input_path": str(path),
                "on_near_duplicate": "drop",
                "near_duplicate_threshold": THRESHOLD,
                "validation_split": 0.0,
                "chat_template": "chatml",
            },
            "training": {"max_seq_length": 512},
        }
    )


def tokenizer() -> Any:
    """The tokenizer of both sides, loaded as a worker loads it."""
    from transformers import AutoTokenizer

    from qtui.builtin import model_path

    return AutoTokenizer.from_pretrained(model_path("tiny"))


def ours(path: Path, out: Path) -> dict[str, Any]:
    """Prepare with qtui."""
    from qtui.stages.data.prepare import prepare

    stages: dict[str, float] = {}
    began = time.perf_counter()

    def progress(what: str, done: int, total: int, unit: str) -> None:
        stages[what] = round(time.perf_counter() - began, 1)

    prepared = prepare(settings(path), tokenizer(), out, progress=progress)
    return {
        "rows": len(prepared.train),
        "tokens": prepared.report.tokens,
        "seconds_at_the_end_of": stages,
    }


def theirs(path: Path, out: Path) -> dict[str, Any]:
    """Prepare with datasets and datasketch, two processes wherever they can use them."""
    from datasets import disable_progress_bars, load_dataset
    from datasketch import MinHash, MinHashLSH

    from qtui.stages.data.encoding.template import choose
    from qtui.stages.data.refining.checks import Checker
    from qtui.stages.data.refining.clean import Cleaner
    from qtui.stages.data.refining.refine import compared
    from qtui.stages.data.relating.sketches import shingles
    from qtui.stages.data.rows import Record, Row
    from qtui.stages.data.shapes.shapes import ShapeError, row_of

    disable_progress_bars()
    config = settings(path)
    model_tokenizer = tokenizer()
    template = choose(model_tokenizer, "chatml", assistant_only_loss=True)
    model_tokenizer.chat_template = template.training_text
    cleaner, checker = Cleaner(config.data), Checker(config.data)

    def refine(record: dict[str, Any]) -> dict[str, Any]:
        try:
            row = row_of(Record(dict(record), 1), "rows", config.data)
        except ShapeError:
            return {"messages": [], "kept": False}
        checked = checker(cleaner(row).row)
        kept = all(issue.verdict != "drop" for issue in checked.issues)
        return {"messages": list(checked.row.messages), "kept": kept}

    def hashed(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        found = []
        for messages in batch["messages"]:
            pieces = shingles(compared(Row(tuple(messages), "", 1)))
            made = MinHash(128)
            made.update_batch([piece.encode() for piece in pieces])
            found.append(made.hashvalues)
        return {"hashes": found}

    def encode(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        coded = model_tokenizer.apply_chat_template(
            batch["messages"],
            return_assistant_tokens_mask=True,
            return_dict=True,
            truncation=True,
            max_length=512,
        )
        labels = [
            [token if learnt else -100 for token, learnt in zip(ids, mask, strict=True)]
            for ids, mask in zip(coded["input_ids"], coded["assistant_masks"], strict=True)
        ]
        return {"input_ids": coded["input_ids"], "labels": labels}

    cache = str(out / "cache")
    data = load_dataset("json", data_files=str(path), split="train", cache_dir=cache)
    columns = data.column_names
    data = data.map(refine, num_proc=2, remove_columns=columns)
    data = data.filter(lambda kept: kept, input_columns="kept", num_proc=2)
    data = data.map(hashed, batched=True, num_proc=2)
    index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    keep = []
    for number, row in enumerate(data.select_columns("hashes").with_format("numpy")):
        sketch = MinHash(128, hashvalues=row["hashes"], scheme=MinHash(128).scheme)
        if index.query(sketch):
            continue
        index.insert(str(number), sketch)
        keep.append(number)
    data = data.select(keep).remove_columns("hashes")
    data = data.map(encode, batched=True, num_proc=2, remove_columns=data.column_names)
    data = data.filter(
        lambda labels: any(label != -100 for label in labels), input_columns="labels", num_proc=2
    )
    return {"rows": len(data), "tokens": sum(map(len, data["input_ids"]))}


def memory_of(process: psutil.Process) -> int:
    """Bytes that a process and its children hold, what they share counted once."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def measured(side: str, path: Path, out: Path) -> dict[str, Any]:
    """Run one side in a process of its own."""
    out.mkdir()
    command = [sys.executable, __file__, "--side", side, str(path), str(out)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        seen = psutil.Process(process.pid)
        while not over.wait(0.2):
            try:
                peak = max(peak, memory_of(seen))
            except psutil.Error:
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    said, _ = process.communicate()
    seconds = time.perf_counter() - began
    over.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{side} ended with {process.returncode}")
    found = json.loads(said.splitlines()[-1])
    return {**found, "seconds": round(seconds, 1), "peak_mib": peak >> 20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--only", choices=("ours", "theirs"))
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side, path, out = options.side
        print(json.dumps({"ours": ours, "theirs": theirs}[side](Path(path), Path(out))))
        return
    with tempfile.TemporaryDirectory(prefix="qtui-benchmark-") as place:
        path = Path(place) / "rows.jsonl"
        write_rows(path, options.rows)
        result: dict[str, Any] = {"rows": options.rows, "bytes": path.stat().st_size}
        for side in ("ours", "theirs"):
            if options.only in (None, side):
                result[side] = measured(side, path, Path(place) / side)
                result[side]["rows_per_second"] = round(options.rows / result[side]["seconds"])
        if options.only is None:
            result["ratio"] = round(result["theirs"]["seconds"] / result["ours"]["seconds"], 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""What the Data screen costs on ten million rows, in the real dashboard on a pseudo-terminal.

Makes prepared data of that many small rows (about 1.4 GB) in a temporary folder, which is removed.
Prints one JSON line per figure, each beside `baseline`: `json.loads` of every line of rows.jsonl
until the same row, which is what a screen would do that loads the data.

- `open`: seconds from the key on Home until the first row is on the terminal, the screen's code
  imported on the way; `again` is the same when it was shown before. Goal: 0.5.
- `page`: milliseconds from a key until the row that it leads to is on the terminal: the next row, a
  hundred rows on, the first and the last, and rows all over the data by their number (from its
  enter). `cold`: the same rows after the kernel was asked to forget the files. Goal: 100 at the
  95th percentile.
- `filter`: the same for the next row of the rarest part, with all other rows in between.
- `memory`: resident MiB of the dashboard before and after.

    python -m benchmarks.data_screen [--rows 10000000] [--keys 60]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.dashboard import MIB, Tty, make_run
from tests.dashboard import prepared

from qtui.runs.dataset import PARTS, ROWS, Part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="a multiple of 1000")
    parser.add_argument("--keys", type=int, default=60)
    arguments = parser.parse_args()
    place = {
        "benchmark": "data_screen",
        "rows": arguments.rows,
        "load": round(os.getloadavg()[0], 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}",
    }
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Path(temporary)
        run = make_run(workspace, "brisk-heron", 90_000, 10, ended=True)
        prepared.many(run.data, arguments.rows)
        rare = [arguments.rows // 7, arguments.rows // 2, arguments.rows - 3]
        with (run.data / PARTS).open("r+b") as file:
            for number in rare:
                file.seek(number)
                file.write(bytes([Part.TEST]))
        for figure in measure(workspace, run.data, arguments.rows, arguments.keys):
            print(json.dumps(place | figure), flush=True)


def measure(workspace: Path, data: Path, rows: int, keys: int) -> Iterable[dict[str, object]]:
    """The figures, one after the other."""
    size = sum(path.stat().st_size for path in data.iterdir())
    first, whole = loading(data / ROWS, 1), loading(data / ROWS, rows)
    tty = Tty([sys.executable, "-m", "qtui"], workspace)
    try:
        tty.until(lambda: "brisk-heron" in tty.text)
        tty.quiet(1)
        before = tty.memory()[0]
        opened = [_opening(tty, rows, "3")]
        for _ in range(5):
            tty.quiet(0.5)
            tty.press("1")
            tty.until(lambda: "sorted by" in tty.text)
            tty.quiet(0.5)
            opened.append(_opening(tty, rows, "3"))
        yield {
            "figure": "open",
            "seconds": round(opened[0], 3),
            "again": round(statistics.median(opened[1:]), 3),
            "goal": 0.5,
            "baseline": round(whole, 2),
            "times_faster": round(whole / opened[0]),
            "gigabytes": round(size / 1e9, 2),
        }
        tty.quiet(2)  # the findings are read after the first row
        yield {"figure": "page", "goal_p95_ms": 100, **pages(tty, data, rows, keys),
               "baseline_first_ms": round(first * 1000, 2),
               "baseline_last_ms": round(whole * 1000)}  # fmt: skip
        yield {"figure": "filter", "goal_p95_ms": 100, **filtered(tty, rows)}
        yield {"figure": "memory", "mib_before": round(before, 1),
               "mib_after": round(tty.memory()[0], 1), "mib_data": round(size / MIB)}  # fmt: skip
    finally:
        tty.close()


def loading(path: Path, until: int) -> float:
    """Seconds until `json.loads` of each line has come to that many rows."""
    began = time.perf_counter()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            json.loads(line)
            if number >= until:
                break
    return time.perf_counter() - began


def _opening(tty: Tty, rows: int, key: str) -> float:
    pressed = time.perf_counter()
    tty.press(key)
    return tty.until(lambda: f"of {rows:,}  " in tty.text) - pressed


def _to(tty: Tty, rows: int, number: int, press: Callable[[], None]) -> float:
    """Milliseconds from `press` until row `number` (from 1) is on the terminal."""
    wanted = f" row {number:,} of {rows:,}"
    pressed = time.perf_counter()
    press()
    return (tty.until(lambda: wanted in tty.text) - pressed) * 1000


def pages(tty: Tty, data: Path, rows: int, keys: int) -> dict[str, object]:
    """Key to paint for each way to another row."""
    dice = random.Random(3)
    times: dict[str, list[float]] = {}

    def take(name: str, number: int, key: str) -> None:
        tty.quiet(0.02)
        times.setdefault(name, []).append(_to(tty, rows, number, lambda: tty.press(key)))

    def by_number(name: str, number: int) -> None:
        tty.quiet(0.02)
        tty.press("r")
        tty.until(lambda: "Go to row" in tty.text)
        tty.press(str(number))
        tty.until(lambda: str(number) in tty.text)
        tty.quiet(0.05)
        times.setdefault(name, []).append(_to(tty, rows, number, lambda: tty.press("\r")))

    for at in range(keys):
        take("next", at + 2, "\x1b[C")
    for at in range(1, keys + 1):
        take("hundred", keys + 1 + at * 100, "\x1b[6~")
    for _ in range(max(keys // 4, 1)):
        take("first_last", rows, "\x1b[F")
        take("first_last", 1, "\x1b[H")
    for _ in range(keys):
        by_number("anywhere", dice.randrange(2, rows))
    for _ in range(keys):
        forget(data)
        by_number("cold", dice.randrange(2, rows))
    return {name: _spread(values) for name, values in times.items()}


def filtered(tty: Tty, rows: int) -> dict[str, object]:
    """The next row of a part of which there are three."""
    where = [rows // 7 + 1, rows // 2 + 1, rows - 2]
    tty.press("\x1b[H")
    tty.press("ttt")
    tty.until(lambda: f" row {where[0]:,} of " in tty.text)
    times = []
    for _ in range(5):
        for number in (where[1], where[2]):
            tty.quiet(0.05)
            times.append(_to(tty, rows, number, lambda: tty.press("\x1b[C")))
        for number in (where[1], where[0]):
            tty.quiet(0.05)
            times.append(_to(tty, rows, number, lambda: tty.press("\x1b[D")))
    return {"next_of_three": _spread(times)}


def forget(folder: Path) -> None:
    """Ask the kernel to drop what it has cached of the files."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[math.ceil(len(ordered) * 0.95) - 1], 1),
        "count": len(ordered),
    }


if __name__ == "__main__":
    main()

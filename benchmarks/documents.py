"""How fast PDFs become text, held against pypdf's own extraction in one process.

Prints one JSON line with, for each of two sets of files, pages a second of

- `pypdf`: `PdfReader` and `extract_text` of every page, one file after the other, in a process of
  its own;
- `qtui`: `Documents` with two processes, from nothing to the last piece: starting the processes,
  their imports, headers removed, words joined and text cut into pieces are all in it;
- `qtui_again`: the same with the texts of the first time in the cache;

and `times`, the first divided into the second. `cpu` are the seconds that all processes of a side
ran, which other work on the machine falsifies less: on two idle cores `times` comes near to
2 * pypdf / qtui of them. `cores_free` says how idle they were: how many times the work of one busy
process two did just before.

`real` are the PDFs of a folder, as they are: so few that starting is most of it. `many` is a larger
set made of their pages: files of 12 pages each, every page once in turn, which takes about 20
seconds, so that starting (1.2 seconds of a processor for each process) costs what it costs beside a
folder worth preparing. Goal for `many`: 1.5.

Both sides get the same files in the same run, in turn and `--rounds` times; the best of each
counts, as other work on the machine only ever makes it slower.

    python benchmarks/documents.py FOLDER [--pages 1200] [--rounds 3]
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path

import pypdf

from qtui.config.models import DataConfig
from qtui.stages.data.documents.document_cache import DocumentCache
from qtui.stages.data.documents.documents import Documents
from qtui.stages.data.reading.sources import Source
from qtui.stages.data.rows import Findings

PROCESSES = 2
PAGES_A_FILE = 12
BASELINE = """
import logging, sys
logging.disable()
import pypdf
pages = characters = 0
for path in sys.stdin.read().splitlines():
    for page in pypdf.PdfReader(path).pages:
        characters += len(page.extract_text())
        pages += 1
print(pages, characters)
"""


def readable(folder: Path) -> list[Path]:
    """The PDFs of a folder that open without a password."""
    found = []
    for path in sorted(folder.rglob("*.pdf")):
        reader = pypdf.PdfReader(path)
        if not reader.is_encrypted or reader.decrypt(""):
            found.append(path)
    return found


def make_many(paths: list[Path], folder: Path, pages: int) -> list[Path]:
    """`pages` pages taken from `paths` in turn, in files of `PAGES_A_FILE`."""
    sources = []
    for path in paths:
        reader = pypdf.PdfReader(io.BytesIO(path.read_bytes()))
        if not reader.is_encrypted:  # a page keeps its encryption, but not the key
            sources += list(reader.pages)
    turn = cycle(sources)
    made = []
    for number in range(-(-pages // PAGES_A_FILE)):
        writer = pypdf.PdfWriter()
        for page in islice(turn, PAGES_A_FILE):
            writer.add_page(page)
        writer.add_metadata({"/Title": f"Number {number}"})  # equal bytes would be read once
        made.append(folder / f"{number:04d}.pdf")
        writer.write(made[-1])
    return made


@dataclass
class Taken:
    """Seconds on the clock and of a processor, and how much there was: pages, or pieces."""

    wall: float
    cpu: float
    count: int


def taken(work: Callable[[], int]) -> Taken:
    """Measure `work`, whose processes have all ended when it returns."""
    began, ran = time.perf_counter(), children()
    count = work()
    return Taken(time.perf_counter() - began, children() - ran, count)


def children() -> float:
    """Processor seconds of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def by_pypdf(paths: list[Path]) -> int:
    """Pages, the start of the process included."""
    done = subprocess.run(
        [sys.executable, "-c", BASELINE],
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout.split()[0])


def by_qtui(paths: list[Path], cache: Path) -> int:
    """Pieces, the start of the processes included."""
    sources = [Source(path.name, "pdf", path) for path in paths]
    findings = Findings()
    config = DataConfig()
    with Documents(sources, config, processes=PROCESSES, cache=DocumentCache(cache)) as documents:
        pieces = sum(1 for source in sources for _ in documents.read(source, findings))
    lost = [finding for finding in findings.errors() if finding.kind != "no-text"]
    assert not lost, lost
    return pieces


def compare(paths: list[Path], rounds: int) -> dict[str, object]:
    """Pages a second of both sides."""
    all_taken: dict[str, list[Taken]] = {"pypdf": [], "qtui": [], "qtui_again": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            all_taken["pypdf"].append(taken(lambda: by_pypdf(paths)))
            for name in ("qtui", "qtui_again"):
                all_taken[name].append(taken(lambda: by_qtui(paths, Path(cache))))
    pages = all_taken["pypdf"][0].count
    wall = {name: min(one.wall for one in each) for name, each in all_taken.items()}
    return {
        "files": len(paths),
        "pages": pages,
        "pieces": all_taken["qtui"][0].count,
        **{name: round(pages / seconds, 1) for name, seconds in wall.items()},
        "times": round(wall["pypdf"] / wall["qtui"], 2),
        "cpu": {name: round(min(one.cpu for one in each), 2) for name, each in all_taken.items()},
    }


def cores_free() -> float:
    """Work that two processes do at once, as a multiple of what one does."""

    def busy(count: int) -> None:
        code = "for _ in range(10_000_000): pass"
        for process in [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]:
            process.wait()

    walls = []
    for count in (1, 2):
        began = time.perf_counter()
        busy(count)
        walls.append(time.perf_counter() - began)
    return round(2 * walls[0] / walls[1], 2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of PDFs")
    parser.add_argument("--pages", type=int, default=1200, help="pages of the larger set")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logging.disable()
    paths = readable(arguments.folder)
    with tempfile.TemporaryDirectory() as made:
        many = make_many(paths, Path(made), arguments.pages)
        figures = {
            "benchmark": "documents",
            "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, "
            f"Python {platform.python_version()}, pypdf {version('pypdf')}",
            "load": round(os.getloadavg()[0], 1),
            "cores_free": cores_free(),
            "real": compare(paths, arguments.rounds),
            "many": compare(many, arguments.rounds),
            "goal_times": 1.5,
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

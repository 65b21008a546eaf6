"""What charts of long runs cost, each figure beside what it is to be held against.

Prints one JSON line, for a finished run of 20 metrics at 50,000 steps each:

- `redraw`: milliseconds for one chart of 100x20 cells with one curve of all its points, from
  pyramid to cells, compared with the last cells: when a step came (`step`), when the crosshair
  moved, when the view is a new one (`zoom`), when a smoothing is asked for the first time
  (`smooth_first`). Against plotext's `build()` of the same curve, thinned for it. Goal: 10.
- `open`: seconds until the log is a history and four of its metrics are pyramids, against
  `json.loads` of each line. Goal: 0.5.
- `key_to_paint`: milliseconds from a key written to the terminal until the last byte of what it
  changed, in the real dashboard's Monitor with four charts at 120x40 on a pseudo-terminal, for keys
  that change all charts (crosshair, zoom, pan) and keys that change one (smoothing, logarithm,
  clipping). Against a blank Textual app that shows the number of keys pressed. Goal: 95th
  percentile 20. `cpu` is the processor time of the same keys, which a busy machine falsifies less.

    python benchmarks/chart.py [--keys 120] [--steps 50000]
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import os
import platform
import random
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import plotext

from qtui.runs.events import Event, FinishedEvent, MetricsEvent, Phase, PhaseEvent, ProgressEvent
from qtui.runs.folder import Run, RunSpec
from qtui.runs.naming import stamp
from qtui.runs.pyramid import Pyramid
from qtui.runs.series import History, load
from qtui.widgets.chart import changes
from qtui.widgets.chart_drawing import ChartCurve, draw
from qtui.widgets.chart_view import SMOOTHINGS, ChartView

NAMES = ("loss", "grad_norm", "learning_rate", "tokens_per_second")
METRICS = (*NAMES, *(f"metric_{number:02d}" for number in range(16)))
COLUMNS, ROWS = 120, 40
BLANK = """
from textual.app import App
from textual.widgets import Static
class Blank(App):
    pressed = 0
    def compose(self):
        yield Static("0")
    def on_key(self):
        self.pressed += 1
        self.query_one(Static).update(str(self.pressed))
Blank().run()
"""
QUIET = 0.08  # seconds without a byte after which a key's paint is over
KEYS = ("\x1b[D", "\x1b[C", "+", "[", "]", "-", "t", "g", "x")
"""Crosshair left and right, zoom, pan, wider, smoothing, logarithm, clipping."""


def make_run(workspace: Path, steps: int) -> Run:
    """A finished run whose curves are as noisy as real ones."""
    chance = random.Random(3)
    created = time.time() - 2 * steps - 3600
    run = Run(workspace / "runs" / f"{stamp(created)}-long-otter")
    run.path.mkdir(parents=True)
    spec = RunSpec(
        schema_version=1,
        id=run.id,
        kind="train",
        created=created,
        config={"model": {"model_name": "org/model"}, "training": {"seed": 42}},
    )
    (run.path / "run.json").write_bytes(msgspec.json.encode(spec))
    events: list[Event] = [PhaseEvent(phase=Phase.TRAINING)]
    for step in range(1, steps + 1):
        fall = 1 + 1.4 * math.exp(-6 * step / steps)
        values: dict[str, float | None] = {
            name: fall * (number + 1) * (1 + 0.08 * chance.gauss(0, 1))
            for number, name in enumerate(METRICS)
        }
        events.append(MetricsEvent(step=step, epoch=step / 1000, values=values))
    events += [
        ProgressEvent(what="train", done=steps, total=steps),
        FinishedEvent(status="completed", step=steps, message="trained"),
    ]
    run.events.write_bytes(
        b"".join(
            msgspec.json.encode(msgspec.structs.replace(event, seq=seq, time=created + seq)) + b"\n"
            for seq, event in enumerate(events)
        )
    )
    run.lock.touch()
    return run


def milliseconds(work: Callable[[], object], times: int = 30) -> dict[str, float]:
    """Median and 95th percentile."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return spread(taken)


def spread(taken: list[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {
        "p50": round(statistics.median(ordered), 2),
        "p95": round(ordered[math.ceil(len(ordered) * 0.95) - 1], 2),
    }


def redraw(history: History) -> dict[str, object]:
    steps, values = (list(column) for column in history.metric("loss"))
    planned = len(steps) * 2
    pyramid = Pyramid()
    pyramid.sync(steps, values, revision=0)
    curves = [ChartCurve("loss", pyramid)]
    last = draw(curves, ChartView(), planned, 100, 20)
    sent = 0

    def paint(view: ChartView) -> None:
        nonlocal last, sent
        drawing = draw(curves, view, planned, 100, 20, before=last.scale)
        for old, new in zip(last.rows, drawing.rows, strict=True):
            sent += sum(end - start for start, end in changes(old, new))
        last = drawing

    def step() -> None:
        steps.append(len(steps) + 1)
        values.append(1.0 + len(steps) % 7 / 100)
        pyramid.sync(steps, values, revision=0)
        paint(ChartView())

    def smooth_first() -> None:
        fresh = Pyramid()
        fresh.sync(steps, values, revision=0)
        began = time.perf_counter()
        draw([ChartCurve("loss", fresh)], ChartView(smoothing=0.9), planned, 100, 20)
        first.append((time.perf_counter() - began) * 1000)

    places = iter(range(1, 1000))
    first: list[float] = []
    figures: dict[str, object] = {"step": milliseconds(step)}
    figures["cells_sent_a_step"] = round(sent / 30, 1)
    figures["crosshair"] = milliseconds(lambda: paint(ChartView(crosshair=next(places) * 90)))
    figures["zoom"] = milliseconds(
        lambda: paint(replace(ChartView(), range=(float(next(places)), float(len(steps)))))
    )
    milliseconds(smooth_first, 10)
    figures["smooth_first"] = spread(first)
    figures["plotext"] = milliseconds(lambda: with_plotext(pyramid, planned))
    figures["goal"] = 10
    return figures


def with_plotext(pyramid: Pyramid, planned: int) -> None:
    """The same picture by plotext: two points a column, thinned by us."""
    columns = pyramid.columns(0, planned, 184)
    points = [(at, value) for at, column in enumerate(columns) if column for value in column]
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(100, 20)
    xs, ys = [float(x) for x, _ in points], [y for _, y in points]
    figure.draw(figure.signal(xs, ys, marker=plotext.marker("braille", plotext.pixel())).lines())
    figure.build().string(colorless=True)


def opened(run: Run) -> dict[str, object]:
    def ours() -> None:
        history = load(run)
        for name in NAMES:
            Pyramid().sync(*history.metric(name))

    def plain() -> None:
        with run.events.open("rb") as lines:
            for line in lines:
                json.loads(line)

    taken = {"seconds": ours, "seconds_json_loads": plain}
    figures: dict[str, object] = {
        name: round(milliseconds(work, 5)["p50"] / 1000, 3) for name, work in taken.items()
    }
    return figures | {"goal": 0.5}


@contextlib.contextmanager
def terminal(command: list[str], cwd: Path) -> Iterator[tuple[int, int]]:
    """A program on a pseudo-terminal: the terminal's other end, and the program's process id."""
    fd, end = os.openpty()
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "XDG_CONFIG_HOME": str(cwd / ".none")}
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=end, stdout=end, stderr=end, start_new_session=True
    )
    os.close(end)
    try:
        yield fd, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        os.close(fd)


def painted(fd: int, quiet: float, patience: float = 2.0) -> tuple[float, int]:
    """The moment of the last byte before `quiet` seconds without one, and how many came."""
    last, count = 0.0, 0
    while select.select([fd], [], [], quiet if count else patience)[0]:
        count += len(os.read(fd, 1 << 16))
        last = time.perf_counter()
    return last, count


def until(fd: int, text: str) -> None:
    """Wait until the program has written `text` in one go."""
    seen = b""
    deadline = time.perf_counter() + 60
    while text.encode() not in seen:
        if time.perf_counter() > deadline:
            raise SystemExit(f"{text!r} never came")
        if select.select([fd], [], [], 1)[0]:
            seen += os.read(fd, 1 << 16)


def processor(pid: int) -> float:
    """Milliseconds that the threads of a process have run."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


@dataclass
class Keys:
    """For each key that painted something: milliseconds, of a processor too, and bytes."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


def keys(fd: int, pid: int, which: tuple[str, ...], count: int) -> Keys:
    taken = Keys()
    for number in range(count):
        ran, began = processor(pid), time.perf_counter()
        os.write(fd, which[number % len(which)].encode())
        last, size = painted(fd, QUIET)
        if size:
            taken.wall.append((last - began) * 1000)
            taken.cpu.append(processor(pid) - ran)
            taken.sizes.append(size)
    return taken


def key_to_paint(workspace: Path, count: int) -> dict[str, object]:
    with terminal([sys.executable, "-c", BLANK], workspace) as (fd, pid):
        painted(fd, 1, 20)
        keys(fd, pid, ("a",), 5)
        blank = keys(fd, pid, ("a",), count)
    with terminal([sys.executable, "-m", "qtui"], workspace) as (fd, pid):
        until(fd, "long-otter")
        os.write(fd, b"4")
        painted(fd, 4, 20)  # the charts are there, and their averages made
        keys(fd, pid, KEYS, len(KEYS))
        taken = keys(fd, pid, KEYS, count)
    return {
        "keys": len(taken.wall),
        **spread(taken.wall),
        "cpu": spread(taken.cpu),
        "bytes_p50": statistics.median(taken.sizes),
        "blank": spread(blank.wall),
        "blank_cpu": spread(blank.cpu),
        "goal_p95": 20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=120)
    parser.add_argument("--steps", type=int, default=50_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Path(temporary)
        run = make_run(workspace, arguments.steps)
        figures = {
            "benchmark": "chart",
            "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, "
            f"Python {platform.python_version()}",
            "load": round(os.getloadavg()[0], 1),
            "steps": arguments.steps,
            "smoothings": SMOOTHINGS,
            "redraw_ms": redraw(load(run)),
            "open": opened(run),
            "key_to_paint_ms": key_to_paint(workspace, arguments.keys),
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

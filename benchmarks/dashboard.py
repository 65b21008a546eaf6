"""What the dashboard costs on a real pseudo-terminal, beside a blank Textual app in the same run.

Prints one JSON line per figure:

- `first_paint`: seconds from the start of the program until Home shows the newest of 200 runs,
  against the same until a blank app has painted its blank screen (both warm, taken in turn;
  median). Goal: at most twice the blank app's.
- `memory`: resident MiB of the dashboard then, and of the blank app. Goal: at most 60 more.
- `live`: the Monitor at 80x24 on a run that takes a step a second: bytes a second on the wire,
  share of a core, and seconds from a step's event in the log until the terminal shows that step.
  Goals: under 1,000 bytes a second, under 3 % of a core, 95th percentile under 0.3 s.
- `idle`: bytes a second when nothing changes, on Home and on the Monitor of a finished run, and of
  the blank app. Goal: 0.

    python benchmarks/dashboard.py [--runs 200] [--rounds 7] [--seconds 30]
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import os
import platform
import re
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pyte

from qtui.runs.events import (
    Event,
    FinishedEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
)
from qtui.runs.folder import Run, RunSpec
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog
from qtui.runs.naming import stamp

MIB = 1 << 20
BLANK = [sys.executable, "-c", "from textual.app import App; App().run()"]
BLANK_PAINTED = re.compile(rb"\x1b\[24;1H[^\x1b]*(?:\x1b\[[\d;]*m)? {60,}")
PLANNED = 1200


class Tty:
    """A program on a pseudo-terminal of 80x24; `screen` is what it shows, `bytes` what it sent."""

    def __init__(self, command: list[str], cwd: Path) -> None:
        self.bytes = 0
        self.raw = bytearray()
        self.screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self.screen)
        self.started = time.perf_counter()
        self._fd, end = os.openpty()
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = os.environ | {"TERM": "xterm-256color", "XDG_CONFIG_HOME": str(cwd / ".none")}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(end)

    def read(self, seconds: float) -> bool:
        """Take what was sent, waiting at most `seconds` for it; whether there was anything."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return False
        data = os.read(self._fd, 1 << 16)
        self.bytes += len(data)
        self.raw += data
        self._stream.feed(data)
        return True

    def until(self, condition: Callable[[], object], seconds: float = 60) -> float:
        """The moment at which `condition` held, looked at after everything that was sent."""
        deadline = time.perf_counter() + seconds
        while not condition():
            if time.perf_counter() > deadline:
                raise SystemExit(f"waited in vain; the screen shows\n{self.text}")
            self.read(0.1)
        return time.perf_counter()

    def quiet(self, seconds: float = 2.0) -> None:
        """Wait until nothing has been sent for `seconds`, at most a minute."""
        deadline = time.perf_counter() + 60
        while self.read(seconds) and time.perf_counter() < deadline:
            pass

    def idle(self, seconds: float) -> int:
        """How many bytes are sent in `seconds`."""
        before, deadline = self.bytes, time.perf_counter() + seconds
        while (left := deadline - time.perf_counter()) > 0:
            self.read(left)
        return self.bytes - before

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def press(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def cpu(self) -> float:
        """Processor seconds of the program and of the processes it has started."""
        whole = psutil.Process(self.process.pid)
        used = 0.0
        for process in (whole, *whole.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used += times.user + times.system
        return used

    def memory(self) -> tuple[float, float]:
        """Resident MiB of the program, and of the processes it has started."""
        whole = psutil.Process(self.process.pid)
        others = sum(child.memory_info().rss for child in whole.children(recursive=True))
        return whole.memory_info().rss / MIB, others / MIB

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)


# ---- runs ----------------------------------------------------------------------------------------


def metrics(step: int) -> list[Event]:
    """What a worker writes at a step."""
    values: dict[str, float | None] = {
        "loss": 0.95 + 1.45 * math.exp(-step / 110) + 0.06 * math.sin(step * 1.7),
        "grad_norm": 0.42 + 0.02 * math.sin(step),
        "learning_rate": 2e-4 * (1 - step / PLANNED),
        "tokens_per_second": 2380 + 40 * math.sin(step * 0.9),
        "num_tokens": float(step * 6144),
        "trained_tokens": float(step * 2304),
        "memory_host": 3.1e9,
        "memory_host_peak": 3.3e9,
        "memory_allocated": 17.1e9,
        "memory_reserved": 18.0e9,
        "memory_peak": 17.6e9,
    }
    return [
        ProgressEvent(what="train", done=step, total=PLANNED),
        MetricsEvent(step=step, epoch=step / 400, values=values),
    ]


def make_run(workspace: Path, name: str, age: float, steps: int, *, ended: bool) -> Run:
    """A run made `age` seconds ago that has taken `steps` steps, a second each."""
    created = time.time() - age
    run = Run(workspace / "runs" / f"{stamp(created)}-{name}")
    run.path.mkdir(parents=True)
    spec = RunSpec(
        schema_version=1,
        id=run.id,
        kind="train",
        created=created,
        config={"model": {"model_name": "meta-llama/Llama-3.1-8B"}, "training": {"seed": 42}},
    )
    (run.path / "run.json").write_bytes(msgspec.json.encode(spec))
    events: list[Event] = [PhaseEvent(phase=Phase.TRAINING)]
    for step in range(1, steps + 1):
        events += metrics(step)
    if ended:
        events.append(FinishedEvent(status="completed", step=steps, message="trained"))
    lines = [
        msgspec.structs.replace(event, seq=seq, time=created + seq / 2)
        for seq, event in enumerate(events)
    ]
    run.events.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    run.lock.touch()
    return run


# ---- figures -------------------------------------------------------------------------------------


def first_paint(workspace: Path, newest: str, rounds: int) -> list[dict[str, object]]:
    """First paint and memory of Home and of a blank app, taken in turn."""
    times: dict[str, list[float]] = {"blank": [], "frame": [], "runs": []}
    memory: dict[str, list[tuple[float, float]]] = {"blank": [], "home": []}
    for turn in range(rounds + 1):  # the first one warms the caches
        blank = Tty(BLANK, workspace)
        painted = blank.until(lambda tty=blank: BLANK_PAINTED.search(tty.raw)) - blank.started
        blank.quiet(1)
        memory["blank"].append(blank.memory())
        blank.close()
        home = Tty([sys.executable, "-m", "qtui"], workspace)
        frame = home.until(lambda tty=home: "Home" in tty.text) - home.started
        shown = home.until(lambda tty=home: newest in tty.text) - home.started
        home.quiet(2)
        memory["home"].append(home.memory())
        home.close()
        if turn:
            times["blank"].append(painted)
            times["frame"].append(frame)
            times["runs"].append(shown)
    middle = {name: statistics.median(values) for name, values in times.items()}
    own, others = (statistics.median(values) for values in zip(*memory["home"], strict=True))
    bare = statistics.median(value for value, _ in memory["blank"])
    return [
        {
            "figure": "first_paint",
            "seconds_frame": round(middle["frame"], 3),
            "seconds_runs_shown": round(middle["runs"], 3),
            "seconds_blank": round(middle["blank"], 3),
            "times_blank": round(middle["runs"] / middle["blank"], 2),
            "goal_times_blank": 2.0,
        },
        {
            "figure": "memory",
            "mib": round(own, 1),
            "mib_blank": round(bare, 1),
            "mib_more": round(own - bare, 1),
            "mib_gpu_probe": round(others, 1),
            "goal_mib_more": 60,
        },
    ]


def live(workspace: Path, run: Run, first: int, seconds: int) -> dict[str, object]:
    """The Monitor while `run` takes a step a second from step `first` on."""
    with RunLock(run.lock), EventLog(run.events) as log:
        tty = Tty([sys.executable, "-m", "qtui"], workspace)
        tty.until(lambda: run.name in tty.text)
        tty.press("\r")
        tty.until(lambda: f"{first - 1}/{PLANNED}" in tty.text)
        delays: list[float] = []
        step = first

        def take_steps(count: int) -> None:
            nonlocal step
            for _ in range(count):
                # A little more or less than a second: not always at one point of a poll.
                began = time.perf_counter()
                for event in metrics(step):
                    log.write(event)
                written = time.perf_counter()
                wanted = f"{step}/{PLANNED}"
                delays.append(tty.until(lambda w=wanted: w in tty.text) - written)
                step += 1
                rest = 1.0 + 0.07 * math.sin(step * 2.3)
                while (left := began + rest - time.perf_counter()) > 0:
                    tty.read(left)

        take_steps(5)
        delays.clear()
        cpu, sent, began = tty.cpu(), tty.bytes, time.perf_counter()
        take_steps(seconds)
        took = time.perf_counter() - began
        used, wrote = tty.cpu() - cpu, tty.bytes - sent
        tty.close()
    ordered = sorted(delays)
    return {
        "figure": "live",
        "seconds": round(took, 1),
        "steps": len(delays),
        "bytes_a_second": round(wrote / took),
        "goal_bytes_a_second": 1000,
        "core_share": round(used / took, 4),
        "goal_core_share": 0.03,
        "event_to_screen_p50_s": round(statistics.median(ordered), 3),
        "event_to_screen_p95_s": round(ordered[math.ceil(len(ordered) * 0.95) - 1], 3),
        "goal_event_to_screen_p95_s": 0.3,
    }


def idle(workspace: Path, finished: Run, seconds: int) -> dict[str, object]:
    """Bytes and processor time when nothing changes."""
    figures: dict[str, object] = {"figure": "idle", "seconds": seconds}
    blank = Tty(BLANK, workspace)
    blank.until(lambda: BLANK_PAINTED.search(blank.raw))
    home = Tty([sys.executable, "-m", "qtui"], workspace)
    home.until(lambda: finished.name in home.text)
    monitor = Tty([sys.executable, "-m", "qtui"], workspace)
    monitor.until(lambda: finished.name in monitor.text)
    monitor.press("\r")
    monitor.until(lambda: f"{PLANNED}/{PLANNED}" in monitor.text)
    for name, tty in (("blank", blank), ("home", home), ("monitor", monitor)):
        tty.quiet()
        cpu = tty.cpu()
        figures[f"bytes_{name}"] = tty.idle(seconds)
        figures[f"core_share_{name}"] = round((tty.cpu() - cpu) / seconds, 4)
        tty.close()
    figures["goal_bytes"] = 0
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=30)
    arguments = parser.parse_args()
    place = {
        "benchmark": "dashboard",
        "load": round(os.getloadavg()[0], 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}",
    }
    with tempfile.TemporaryDirectory() as temporary:
        many = Path(temporary) / "many"
        for number in range(arguments.runs):
            # Their ages are far from the moments at which what is shown of them changes.
            age = 90_000.0 + 7200 * number + 1800
            newest = make_run(many, f"run-{arguments.runs - number:03d}", age, 100, ended=True)
            if number == 0:
                first = newest.name
        for figure in first_paint(many, first, arguments.rounds):
            print(json.dumps(place | figure), flush=True)
        one = Path(temporary) / "one"
        run = make_run(one, "quiet-otter", 500, 400, ended=False)
        print(json.dumps(place | live(one, run, 401, arguments.seconds)), flush=True)
        done = Path(temporary) / "done"
        ended = make_run(done, "brisk-heron", 90_000, PLANNED, ended=True)
        print(json.dumps(place | idle(done, ended, arguments.seconds)), flush=True)


if __name__ == "__main__":
    main()

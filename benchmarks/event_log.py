"""The event log's figures, each beside what one would write without it, in the same run.

Prints one JSON line. Writing: CPU time of 1,000 events a second, as a share of a core, against
`json.dumps`, open, append, close and against the same with a flush to an open file. Opening:
seconds until 1,000,000 events are curves, against `json.loads` a line into the same lists.
Following: microseconds to read one new event from a log of 1,000 and of 1,000,000 events, against
reading the file anew. Listing: seconds for 1,000 runs.

    python benchmarks/event_log.py [--events 1000000] [--runs 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from qtui.runs import folder
from qtui.runs.events import MetricsEvent, Phase, PhaseEvent, ProgressEvent
from qtui.runs.folder import Run, all_runs
from qtui.runs.log import EventLog, EventReader
from qtui.runs.series import load
from qtui.runs.summary import summarize


def values(step: int) -> dict[str, float | None]:
    """What a training run logs at each step."""
    return {
        "loss": 2.0 / (step + 1),
        "grad_norm": 0.7312,
        "learning_rate": 2e-4,
        "tokens_per_second": 5321.25,
        "num_tokens": 512.0 * step,
        "trained_tokens": 384.0 * step,
        "memory_host": 1.7e9,
        "memory_host_peak": 1.9e9,
    }


def event(step: int) -> MetricsEvent:
    return MetricsEvent(step=step, epoch=step / 1000, values=values(step))


def cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def best(work: Callable[[], object], name: str = "", times: int = 3) -> dict[str, float]:
    """Least wall-clock and least CPU seconds; they differ on a machine that is busy."""
    runs = []
    for _ in range(times):
        cpu_start, start = time.process_time(), time.perf_counter()
        work()
        runs.append((time.perf_counter() - start, time.process_time() - cpu_start))
    return {
        f"seconds{name}": min(wall_time for wall_time, _ in runs),
        f"cpu_seconds{name}": min(cpu_time for _, cpu_time in runs),
    }


def writing(where: Path, count: int = 10_000) -> dict[str, float]:
    """CPU seconds per second at 1,000 events a second."""

    def ours() -> None:
        with EventLog(where / "ours.jsonl") as log:
            for step in range(count):
                log.write(event(step))

    def plain(step: int) -> str:
        record = {"type": "metrics", "seq": step, "time": time.time(), "step": step}
        return json.dumps(record | {"epoch": step / 1000, "values": values(step)}) + "\n"

    def reopened() -> None:
        for step in range(count):
            with (where / "reopened.jsonl").open("a") as file:
                file.write(plain(step))

    def flushed() -> None:
        with (where / "flushed.jsonl").open("a") as file:
            for step in range(count):
                file.write(plain(step))
                file.flush()

    share = 1000 / count
    return {
        "core_share": min(cpu(ours) for _ in range(3)) * share,
        "core_share_json_open_append": min(cpu(reopened) for _ in range(3)) * share,
        "core_share_json_flush": min(cpu(flushed) for _ in range(3)) * share,
    }


def fill(run: Run, count: int) -> None:
    """A log as a worker writes it, put on disk at once."""
    encoder = msgspec.json.Encoder()
    with run.events.open("wb") as file:
        file.write(encoder.encode(PhaseEvent(seq=0, time=1.0, phase=Phase.TRAINING)) + b"\n")
        for seq in range(1, count):
            step = seq // 2
            made = event(step) if seq % 2 else ProgressEvent(what="training", done=step, total=2000)
            made = msgspec.structs.replace(made, seq=seq, time=1.8e9 + seq * 0.01)
            file.write(encoder.encode(made) + b"\n")


def opening(run: Run) -> dict[str, float]:
    def plain() -> None:
        series: dict[str, tuple[list[int], list[float]]] = {}
        with run.events.open() as file:
            for line in file:
                record = json.loads(line)
                for name, value in record.get("values", {}).items():
                    curve = series.setdefault(name, ([], []))
                    curve[0].append(record["step"])
                    curve[1].append(value)

    return {
        **best(lambda: load(run)),
        **best(plain, "_json_lines", times=1),
        "megabytes": run.events.stat().st_size / 1e6,
    }


def follow(run: Run) -> float:
    """Microseconds to read one event that is new (the median of 200)."""
    reader = EventReader(run.events)
    for _ in reader.blocks():
        pass
    times = []
    with EventLog(run.events) as log:
        for step in range(200):
            log.write(event(step))
            start = time.perf_counter()
            got = reader.poll()
            times.append(time.perf_counter() - start)
            assert len(got) == 1
    return statistics.median(times) * 1e6


def anew(run: Run) -> float:
    """Microseconds to read the whole file for one new event."""
    return best(lambda: run.events.read_text().splitlines(), times=1)["seconds"] * 1e6


def new_run(workspace: Path, name: str) -> Run:
    return folder.create(workspace, kind="train", config={}, command=[], name=name)


def listing(workspace: Path, count: int) -> dict[str, float]:
    """Seconds for `count` runs of 1,200 events each, in this process."""
    template = new_run(workspace / "template", "t")
    fill(template, 1_000)
    with EventLog(template.events) as log:
        for step in range(1000, 1100):
            log.write(event(step))
            log.write(ProgressEvent(what="training", done=step, total=2000))
    config = {"model": {"model_name": "org/model"}}
    text = template.events.read_bytes()
    spec = msgspec.structs.replace(template.spec, config=config)
    for number in range(count):
        path = workspace / "runs" / f"20261120-{number:06d}-run"
        path.mkdir(parents=True)
        made = msgspec.structs.replace(spec, id=path.name)
        (path / "run.json").write_bytes(msgspec.json.encode(made))
        (path / "events.jsonl").write_bytes(text)
        (path / "lock").touch()

    def list_them() -> None:
        assert len([summarize(run) for run in all_runs(workspace)]) == count

    def whole_logs() -> None:
        for run in all_runs(workspace):
            json.loads((run.path / "run.json").read_text())
            [json.loads(line) for line in run.events.read_text().splitlines()]

    return {**best(list_them), **best(whole_logs, "_reading_whole_logs", times=1)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Path(temporary)
        small, large = new_run(workspace / "logs", "small"), new_run(workspace / "logs", "large")
        fill(small, 1_000)
        fill(large, arguments.events)
        figures = {
            "benchmark": "event_log",
            "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
            "write_1000_a_second": writing(workspace),
            "open": {"events": arguments.events, **opening(large)},
            "follow_us": {
                "after_1000": follow(small),
                "after_all": follow(large),
                "reading_anew": anew(large),
            },
            "list": {"runs": arguments.runs, **listing(workspace / "many", arguments.runs)},
        }
    print(json.dumps(_rounded(figures)))


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()

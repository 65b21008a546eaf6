"""How long the command line takes to start, beyond a bare Python, measured in the same run.

Prints one JSON line: wall time, and processor time, which a busy machine falsifies less. Each
figure is the median of the rounds; in every round a bare Python, a
`qtui --help` and a `qtui runs list` over 1,000 runs are started one after the other, so that
whatever else the machine does falls on all alike. Goals: help 0.2 s, list 0.5 s beyond Python.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EVENTS = [
    '{"type":"phase","seq":0,"time":1.0,"phase":"training","detail":""}',
    *(
        line
        for step in range(1, 101)
        for line in (
            f'{{"type":"progress","seq":{2 * step - 1},"time":1.0,"what":"train",'
            f'"done":{step},"total":100,"unit":"steps"}}',
            f'{{"type":"metrics","seq":{2 * step},"time":1.0,"step":{step},'
            f'"values":{{"loss":{1 / step},"tokens_per_second":2000.0}},"epoch":1.0}}',
        )
    ),
    '{"type":"finished","seq":201,"time":1.0,"status":"completed","step":100,"message":"done"}',
]


def make_runs(workspace: Path, count: int) -> None:
    """Write `count` finished runs of 100 steps each."""
    log = "\n".join(EVENTS) + "\n"
    for number in range(count):
        name = f"20260101-{number // 3600:02d}{number // 60 % 60:02d}{number % 60:02d}-run-{number}"
        path = workspace / "runs" / name
        path.mkdir(parents=True)
        spec = {
            "schema_version": 1,
            "id": name,
            "kind": "train",
            "created": 1.0,
            "config": {"model": {"model_name": "org/model", "use_qlora": True}},
        }
        (path / "run.json").write_text(json.dumps(spec))
        (path / "events.jsonl").write_text(log)
        (path / "lock").touch()


def seconds(command: list[str], cwd: Path) -> tuple[float, float]:
    """Wall time and processor time (user and system) of one run of `command`."""
    env = {**os.environ, "QTUI_WORKSPACE": str(cwd)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--runs", type=int, default=1000)
    arguments = parser.parse_args()
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "help": [sys.executable, "-m", "qtui", "--help"],
        "runs_list": [sys.executable, "-m", "qtui", "runs", "list"],
    }
    with tempfile.TemporaryDirectory() as place:
        workspace = Path(place)
        make_runs(workspace, arguments.runs)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for command in commands.values():  # warm the caches
            seconds(command, workspace)
        for _ in range(arguments.rounds):
            for name, command in commands.items():
                times[name].append(seconds(command, workspace))
    wall = {name: statistics.median(w for w, _ in pairs) for name, pairs in times.items()}
    cpu = {name: statistics.median(c for _, c in pairs) for name, pairs in times.items()}
    print(
        json.dumps(
            {
                "benchmark": "startup",
                "runs": arguments.runs,
                "rounds": arguments.rounds,
                "python_s": round(wall["python"], 4),
                "help_beyond_python_s": round(wall["help"] - wall["python"], 4),
                "runs_list_beyond_python_s": round(wall["runs_list"] - wall["python"], 4),
                "python_cpu_s": round(cpu["python"], 4),
                "help_beyond_python_cpu_s": round(cpu["help"] - cpu["python"], 4),
                "runs_list_beyond_python_cpu_s": round(cpu["runs_list"] - cpu["python"], 4),
                "goal_help_s": 0.2,
                "goal_runs_list_s": 0.5,
                "load": round(os.getloadavg()[0], 1),
                "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, "
                f"Python {platform.python_version()}",
            }
        )
    )


if __name__ == "__main__":
    main()

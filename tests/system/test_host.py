"""What the host allows: control groups of both kinds, disks that hang, terminals, pods."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from qtui.system.cgroup import Limits, limits
from qtui.system.disk import disk
from qtui.system.host import container, cpus, host, memory, pod
from qtui.system.terminal_abilities import colours, multiplexer, terminal_abilities

GIB = 2**30


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_version_2_takes_the_tightest_ancestor(tmp_path):
    root = write(
        tmp_path / "cgroup",
        {
            "pod/job/cpu.max": "max 100000\n",
            "pod/job/memory.max": "max\n",
            "pod/cpu.max": "350000 100000\n",
            "pod/memory.max": f"{8 * GIB}\n",
            "pod/memory.current": f"{3 * GIB}\n",
            "pod/memory.stat": f"anon 1\ninactive_file {GIB}\n",
            "memory.max": f"{64 * GIB}\n",
        },
    )
    proc = write(tmp_path, {"proc": "0::/pod/job\n"}) / "proc"
    assert limits(root, proc) == Limits(3.5, 8 * GIB, 2 * GIB)


def test_version_1_and_a_path_that_is_only_the_hosts(tmp_path):
    root = write(
        tmp_path / "cgroup",
        {
            "cpu/cpu.cfs_quota_us": "200000",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": str(4 * GIB),
            "memory/memory.usage_in_bytes": str(GIB),
            "memory/memory.stat": f"total_inactive_file {GIB // 2}\n",
        },
    )
    proc = write(tmp_path, {"proc": "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n"}) / "proc"
    assert limits(root, proc) == Limits(2.0, 4 * GIB, GIB // 2)


def test_no_limit_and_no_groups_at_all(tmp_path):
    root = write(
        tmp_path / "cgroup",
        {
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
        },
    )
    proc = write(tmp_path, {"proc": "4:memory:/\n"}) / "proc"
    assert limits(root, proc) == Limits()
    assert limits(tmp_path / "nowhere", tmp_path / "nothing") == Limits()


def test_memory_is_what_the_container_allows():
    whole = psutil.virtual_memory()
    small = memory(Limits(memory=GIB, memory_used=GIB // 4))
    assert (small.total, small.limited) == (GIB, True)
    assert small.available == min(GIB - GIB // 4, psutil.virtual_memory().available)
    large = memory(Limits(memory=whole.total * 2))
    assert (large.total, large.limited) == (whole.total, False)
    assert memory(Limits(memory=GIB, memory_used=2 * GIB)).available == 0


def test_processors_are_what_affinity_and_quota_allow():
    assert cpus(Limits()) == len(os.sched_getaffinity(0))
    assert cpus(Limits(cpus=0.5)) == 0.5
    program = "from qtui.system.host import cpus; from qtui.system.cgroup import Limits\n"
    program += "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    program += "print(cpus(Limits()))"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert float(output.stdout) == 1


def test_this_machine():
    found = host({"RUNPOD_POD_ID": "abc\x1b[31m"})
    assert found.hostname
    assert 0 < found.cpus <= found.cpus_host
    assert 0 < found.memory.available <= found.memory.total
    assert found.pod.startswith("runpod abc")
    assert "\x1b" not in found.pod


def test_containers(tmp_path):
    assert container({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path) == "kubernetes"
    assert container({}, tmp_path) == ""
    write(tmp_path, {"proc/sys/kernel/osrelease": "5.15.1-microsoft-standard-WSL2\n"})
    assert container({}, tmp_path) == "wsl"
    write(tmp_path, {".dockerenv": ""})
    assert container({}, tmp_path) == "docker"
    assert pod({}) == ""


def test_a_disk_is_measured_where_a_path_will_be_made(tmp_path):
    here = disk(tmp_path)
    assert here.why == ""
    assert disk(tmp_path / "not" / "yet").total == here.total
    assert here.free is not None
    assert here.total is not None
    assert 0 < here.free <= here.total


def test_a_disk_that_hangs_is_asked_once_and_waited_for_in_vain(tmp_path, monkeypatch):
    asked, go_on = [], threading.Event()
    read = __import__("qtui.system.disk", fromlist=["_read"])._read

    def hang(path):
        asked.append(path)
        go_on.wait(60)
        return read(path)

    monkeypatch.setattr("qtui.system.disk._read", hang)
    for _ in range(3):
        found = disk(tmp_path, timeout=0.01)
        assert found.free is None
        assert "did not answer" in found.why
    assert asked == [tmp_path]
    go_on.set()
    assert disk(tmp_path, timeout=60).free
    assert asked == [tmp_path]  # the late answer was used
    assert disk(tmp_path, timeout=60).free
    assert asked == [tmp_path, tmp_path]  # and not kept for ever


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, 0),
        ({"TERM": "dumb"}, 0),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, 0),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, 256),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, 1 << 24),
        ({"TERM": "xterm-direct"}, 1 << 24),
        ({"TERM": "tmux-256color"}, 256),
        ({"TERM": "xterm"}, 16),
        ({"TERM": "linux"}, 8),
        ({"TERM": "vt100"}, 0),
    ],
)
def test_colours(environment, count):
    assert colours(environment) == count


def test_terminal():
    found = terminal_abilities({"TERM": "screen", "TMUX": "/x", "SSH_TTY": "/dev/pts/1"})
    assert (found.multiplexer, found.ssh, found.term) == ("tmux", True, "screen")
    assert multiplexer({"STY": "1"}) == "screen"
    assert found.columns > 0


HEAVY = {"torch", "transformers", "peft", "trl", "bitsandbytes", "datasets", "numpy", "textual"}


@pytest.mark.parametrize(
    ("module", "also"),
    [
        ("gpu", {"pydantic", "pynvml", "psutil"}),
        ("gpu_probe", {"pydantic", "psutil"}),
        ("host", {"pydantic", "pynvml", "psutil"}),
        ("shapes", {"pydantic", "pynvml", "psutil"}),
        ("doctor", {"pydantic", "pynvml", "psutil"}),
        ("verdict", set()),
    ],
)
def test_modules_are_light(module, also):
    program = f"import sys, qtui.system.{module}; print(*sys.modules, sep='\\n')"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in output.stdout.splitlines()}
    assert not loaded & (HEAVY | also)

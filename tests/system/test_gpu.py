"""GPUs through NVML: real processes, against a shared library with NVML's own symbols."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from qtui.system.cuda_visible import assign
from qtui.system.gpu import GpuMonitor, Snapshot, read_once
from qtui.system.gpu_readings import Gpu, MigInstance, Reading
from tests.tools import need

GIB = 2**30
DEADLINE = 60.0


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    """The folder that holds the fake libnvidia-ml.so.1."""
    compiler = need("gcc")
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("fake_nvml.c")
    target = folder / "libnvidia-ml.so.1"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", target, source], check=True
    )
    return folder


@pytest.fixture
def driver(library, monkeypatch, tmp_path):
    """Chooses the driver's behaviour for the probes that are started from here on."""
    switch = tmp_path / "switch"
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library))
    monkeypatch.setenv("FAKE_NVML_SWITCH", str(switch))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)

    def behave(mode: str) -> None:
        fresh = switch.with_name("fresh")
        fresh.write_text(mode)
        fresh.replace(switch)

    return behave


def probes() -> list[int]:
    """Pids of this test process's own probes."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "qtui.system.gpu_probe" in child.cmdline():
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def until(question, what: str):
    """The first true answer to `question`, or a failure that says what was waited for."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        answer = question()
        if answer:
            return answer
        time.sleep(0.01)
    pytest.fail(f"not within {DEADLINE:.0f} s: {what}")


def quick(**changed) -> GpuMonitor:
    return GpuMonitor(**{"interval": 0.05, "timeout": 1.0, "first_timeout": 30.0, **changed})


def test_a_healthy_gpu_is_read_whole(driver):
    driver("healthy")
    found = read_once()
    assert found.available, found.why
    assert found.driver.value == "580.65.06"
    assert found.cuda.value == "13.0"
    (gpu,) = found.gpus
    assert gpu.why == ""
    assert gpu.name.value == "NVIDIA H200"
    assert gpu.compute_capability.value == "9.0"
    assert gpu.memory_total.value == 140 * GIB
    assert gpu.memory_used.value == 2 * GIB  # what the driver reserves is not counted as used
    assert gpu.memory_free.value == 137 * GIB
    assert (gpu.utilisation.value, gpu.memory_utilisation.value) == (87, 41)
    assert gpu.power.value == pytest.approx(512.345)
    assert gpu.power_limit.value == 700
    assert (gpu.temperature.value, gpu.slowdown_temperature.value) == (61, 92)
    assert (gpu.clock.value, gpu.clock_max.value, gpu.memory_clock.value) == (1980, 1995, 3201)
    assert gpu.fan == Reading(None, "not supported on this card")
    assert gpu.mig.value is False
    assert gpu.cuda_index.value == 0
    processes = gpu.processes.value
    assert processes is not None
    assert [(one.host_pid, one.memory) for one in processes] == [(4711, 2 * GIB), (4712, None)]


def test_mig_instances_are_listed_with_their_own_memory(driver):
    driver("mig")
    (gpu,) = read_once().gpus
    assert gpu.mig.value is True
    assert gpu.utilisation == Reading(None, "not told while MIG is on")
    assert [part.index for part in gpu.mig_instances] == [0, 2]
    assert gpu.mig_instances[0].memory_total.value == 18 * GIB
    assert gpu.mig_instances[0].cuda_index == 0
    assert gpu.mig_instances[1].cuda_index is None  # CUDA takes the first instance only


@pytest.mark.parametrize("mode", ["lost", "lost_handle"])
def test_a_lost_gpu_does_not_hide_the_other(driver, mode):
    driver(mode)
    found = read_once()
    assert found.available
    good, lost = found.gpus
    assert good.memory_free.value == 137 * GIB
    assert good.why == ""
    assert "lost" in lost.why
    assert "lost" in lost.memory_free.why
    assert lost.memory_free.value is None


def test_what_a_card_cannot_tell_says_so(driver):
    driver("unsupported")
    (gpu,) = read_once().gpus
    assert gpu.memory_total.value == 140 * GIB
    for reading in (gpu.utilisation, gpu.power, gpu.temperature, gpu.clock, gpu.processes):
        assert reading.value is None
        assert reading.why == "not supported on this card"


def test_an_old_driver_is_read_through_its_old_functions(driver):
    driver("old")
    found = read_once()
    assert found.cuda.value == "11.4"
    assert found.gpus[0].memory_used.value == 3 * GIB
    processes = found.gpus[0].processes.value
    assert processes is not None
    assert processes[0].host_pid == 4711


@pytest.mark.parametrize(
    ("mode", "cause", "said"),
    [
        ("no_permission", "permission", "no permission"),
        ("not_loaded", "driver", "not loaded"),
        ("mismatch", "mismatch", "differ"),
    ],
)
def test_each_refusal_has_its_own_reason_and_way_out(driver, mode, cause, said):
    driver(mode)
    found = read_once()
    assert (found.available, found.cause) == (False, cause)
    assert said in found.why
    assert found.remedy


def test_no_library_at_all(monkeypatch, tmp_path):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"")  # found first, and no library
    found = read_once()
    assert (found.available, found.cause) == (False, "library")
    assert "libnvidia-ml.so.1" in found.why
    with quick() as monitor:
        until(lambda: monitor.snapshot().cause == "library", "the reason")
        assert monitor.snapshot().why.startswith("unavailable since ")


def test_what_the_driver_says_is_made_safe(driver):
    driver("garbage")
    (gpu,) = read_once().gpus
    assert gpu.name.value is not None
    assert "\x1b" not in gpu.name.value
    assert gpu.name.value.endswith("NVIDIA [INST]")
    assert gpu.uuid.value is None
    assert "cannot be read" in gpu.uuid.why


def test_lines_that_the_library_prints_are_passed_over(driver):
    driver("noisy")
    assert read_once().available
    with quick() as monitor:
        until(lambda: monitor.snapshot().available, "a reading")


def test_read_once_does_not_wait_for_ever(driver):
    driver("hang")
    found = read_once(timeout=3)
    assert (found.available, found.cause) == (False, "timeout")
    assert probes() == []


def test_a_crash_of_the_library_is_told_and_survived(driver):
    driver("crash")
    found = read_once()
    assert (found.available, found.cause) == (False, "crash")
    assert "SIGSEGV" in found.why


def test_the_monitor_goes_on_through_crash_hang_and_recovery(driver):
    driver("healthy")
    with quick() as monitor:
        until(lambda: monitor.snapshot().available, "the first reading")
        driver("crash")
        broken = until(lambda: _when(monitor, "crash"), "the crash")
        assert broken.why.startswith("unavailable since ")
        assert broken.gpus[0].name.value == "NVIDIA H200"  # the last values stay, with their age
        assert broken.age is not None
        driver("healthy")
        until(lambda: monitor.snapshot().available, "readings after the crash")
        driver("hang")
        until(lambda: _when(monitor, "timeout"), "the hang")
        assert "does not answer" in monitor.snapshot().why
        assert len(probes()) <= 1
        driver("healthy")
        until(lambda: monitor.snapshot().available, "readings after the hang")
    until(lambda: probes() == [], "the probe's end")


def test_a_probe_that_cannot_be_killed_is_left_alone_and_is_the_only_one(driver, monkeypatch):
    driver("hang")
    with quick(first_timeout=0.5) as monitor:
        with monkeypatch.context() as patch:
            # A process that hangs in the kernel does not die of SIGKILL; here it is not sent.
            patch.setattr("qtui.system.gpu._put_down", lambda process: False)
            until(lambda: "cannot be interrupted" in monitor.snapshot().why, "the stuck probe")
        (stuck,) = probes()
        monitor._first_timeout = 30.0  # a busy machine starts the next one slowly
        driver("healthy")
        until(lambda: probes() == [stuck] and not monitor.snapshot().available, "no second one")
        os.kill(stuck, signal.SIGKILL)
        until(lambda: monitor.snapshot().available, "a new probe once the stuck one is gone")


def _when(monitor: GpuMonitor, cause: str) -> Snapshot | None:
    snapshot = monitor.snapshot()
    return snapshot if snapshot.cause == cause else None


def test_the_caller_never_waits_while_a_call_hangs(driver):
    driver("hang_init")
    with quick(first_timeout=2.0) as monitor:
        until(probes, "a probe that hangs")
        slowest = 0.0
        for _ in range(1000):
            before = time.perf_counter()
            snapshot = monitor.snapshot()
            slowest = max(slowest, time.perf_counter() - before)
            assert not snapshot.available
        assert "waiting for the NVIDIA driver's first answer" in snapshot.why or (
            "does not answer" in snapshot.why
        )
        # Far below the time that the hanging call takes, however busy the machine is.
        assert slowest < 2.0
        until(lambda: _when(monitor, "timeout"), "the time-out")
        assert len(probes()) <= 1


def test_readings_grow_older_and_are_renewed(driver):
    driver("healthy")
    with quick() as monitor:
        first = until(lambda: monitor.snapshot().time, "the first reading")
        until(lambda: monitor.snapshot().time > first, "a newer reading")
        age = monitor.snapshot().age
        assert age is not None
        assert age >= 0


def test_the_probe_dies_with_a_parent_that_is_killed(driver):
    driver("healthy")
    program = (
        "import time\n"
        "from qtui.system.gpu import GpuMonitor\n"
        "monitor = GpuMonitor(interval=0.05).start()\n"
        "while not monitor.snapshot().available: time.sleep(0.01)\n"
        "print(monitor._probe.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    until(lambda: not _alive(pid), "the end of a probe whose parent was killed")


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_probe_prints_json_lines_and_ends_with_its_input(driver):
    driver("two")
    probe = subprocess.Popen(
        [sys.executable, "-m", "qtui.system.gpu_probe", "--interval=0.01"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(os.environ),
    )
    assert probe.stdin is not None
    assert probe.stdout is not None
    lines = [json.loads(probe.stdout.readline()) for _ in range(3)]
    assert [len(line["gpus"]) for line in lines] == [2, 2, 2]
    probe.stdin.close()
    probe.stdout.read()
    assert probe.wait(DEADLINE) == 0
    probe.stdout.close()


def gpu(index: int, name: str = "A", parts: tuple[int, ...] = ()) -> Gpu:
    missing: Reading[int] = Reading(None, "x")
    return Gpu(
        index=index,
        name=Reading(name),
        uuid=Reading(f"GPU-{index}abc"),
        mig_instances=tuple(
            MigInstance(
                index=part,
                uuid=Reading(f"MIG-{index}{part}"),
                name=Reading("slice"),
                memory_total=missing,
                memory_used=missing,
                memory_free=missing,
            )
            for part in parts
        ),
    )


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, [0, 1, 2]),
        ("", [None, None, None]),
        ("-1", [None, None, None]),
        ("1", [None, 0, None]),
        ("2,0", [1, None, 0]),
        ("0,7,1", [0, None, None]),  # the list ends at an entry that names nothing
        ("0,0", [None, None, None]),  # an entry twice hides all
        ("GPU-2", [None, None, 0]),
        ("GPU-1abc, 0", [1, 0, None]),
        ("GPU-", [None, None, None]),  # three begin like this
    ],
)
def test_cuda_visible_devices(wanted, expected):
    environment = {} if wanted is None else {"CUDA_VISIBLE_DEVICES": wanted}
    found, note = assign([gpu(0), gpu(1), gpu(2)], environment)
    assert [one.cuda_index.value for one in found] == expected
    assert all(one.cuda_index.why for one in found if one.cuda_index.value is None)
    assert bool(note) == (wanted is not None)


def test_mig_instances_by_uuid_and_by_their_gpus_index():
    gpus = [gpu(0), gpu(1, parts=(0, 3))]
    found, _ = assign(gpus, {"CUDA_VISIBLE_DEVICES": "MIG-13,0"})
    assert [part.cuda_index for part in found[1].mig_instances] == [None, 0]
    assert found[0].cuda_index.value == 1
    assert "MIG" in found[1].cuda_index.why
    found, _ = assign(gpus, {"CUDA_VISIBLE_DEVICES": "1"})
    assert [part.cuda_index for part in found[1].mig_instances] == [0, None]


def test_unlike_gpus_have_no_sure_number_when_the_fastest_comes_first():
    gpus = [gpu(0, "NVIDIA L4"), gpu(1, "NVIDIA H200")]
    found, _ = assign(gpus, {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"})
    assert found[0].cuda_index.value is None
    assert "PCI_BUS_ID" in found[0].cuda_index.why
    found, _ = assign(gpus, {})
    assert [one.cuda_index.value for one in found] == [0, 1]
    by_uuid = {"CUDA_VISIBLE_DEVICES": "GPU-1abc", "CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    found, _ = assign(gpus, by_uuid)
    assert found[1].cuda_index.value == 0

"""Reads all GPUs once through NVML; only ever called in a process of its own (`gpu_probe`).

NVML is NVIDIA's own library in the driver. Any of its calls may be refused, may not exist in an
old driver, may hang and may take the process down, so each value is asked for by itself and a
refusal becomes a reason in words. `pynvml` finds the library as `libnvidia-ml.so.1`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from qtui.system.cuda_visible import assign
from qtui.system.gpu_readings import Cause, Gpu, GpuProcess, MigInstance, Reading, Snapshot
from qtui.terminal import clean_line

T = TypeVar("T")

_LOST = 15
_REASONS: Mapping[int, tuple[str, Cause, str]] = {
    # NVML's number: reason, cause, way out
    2: ("the driver refused the question", "error", ""),
    3: ("not supported on this card", "error", ""),
    4: (
        "no permission to read it",
        "permission",
        "Run as a user who may open /dev/nvidia*, or start the container with access to the GPU.",
    ),
    9: (
        "the NVIDIA driver is not loaded",
        "driver",
        "Load it with `sudo modprobe nvidia`; on a fresh machine reboot after installing it.",
    ),
    10: ("the driver did not answer in time", "timeout", ""),
    12: (
        "the library libnvidia-ml.so.1 is not on this machine: no NVIDIA driver is installed, or "
        "the container was started without the GPU",
        "library",
        "Install the NVIDIA driver, or start the container with `--gpus all`.",
    ),
    13: ("this driver is too old to tell", "error", ""),
    15: ("the GPU is lost: it has fallen off the bus", "error", ""),
    16: ("the GPU must be reset before it can be used", "error", ""),
    18: (
        "the driver was updated while running: library and kernel module differ",
        "mismatch",
        "Reboot, or reload the nvidia kernel module.",
    ),
    999: ("the driver reports an unknown error", "error", ""),
}


class Unreadable(Exception):
    """NVML as a whole cannot be read; `snapshot` says why."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot.why)
        self.snapshot = snapshot


def open_library() -> Any:
    """The initialised `pynvml` module. Raises Unreadable."""
    try:
        import pynvml
    except ImportError:
        raise Unreadable(
            Snapshot(
                available=False,
                why="the Python package nvidia-ml-py is not installed",
                cause="package",
                remedy="Install it with `pip install nvidia-ml-py`.",
            )
        ) from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise Unreadable(_unavailable(error)) from None
    return pynvml


def collect(nvml: Any, environment: Mapping[str, str] = os.environ) -> Snapshot:
    """One reading of every GPU. Raises Unreadable when not even their number is told."""
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        raise Unreadable(_unavailable(error)) from None
    gpus, note = assign([_gpu(nvml, index) for index in range(count)], environment)
    return Snapshot(
        available=True,
        time=time.time(),
        age=0.0,
        driver=_ask(nvml, lambda: _text(nvml.nvmlSystemGetDriverVersion())),
        cuda=_ask(nvml, lambda: _cuda_version(nvml.nvmlSystemGetCudaDriverVersion())),
        gpus=gpus,
        visible_note=note,
    )


def _unavailable(error: Any) -> Snapshot:
    why, cause, remedy = _reason(error)
    return Snapshot(available=False, why=why, cause=cause, remedy=remedy)


def _reason(error: Any) -> tuple[str, Cause, str]:
    if error.value in _REASONS:
        return _REASONS[error.value]
    return f"the driver reports: {clean_line(str(error), 120)}", "error", ""


def _ask(nvml: Any, question: Callable[[], T]) -> Reading[T]:
    """The answer to `question`, or the reason why there is none."""
    try:
        return Reading(question())
    except nvml.NVMLError as error:
        return Reading(None, _reason(error)[0])
    except UnicodeDecodeError:
        return Reading(None, "the driver answered with text that cannot be read")


def _text(value: str | bytes) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return clean_line(value, 96)


def _cuda_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _gpu(nvml: Any, index: int) -> Gpu:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as error:
        return _silent(index, _reason(error)[0])

    def ask(question: Callable[[], T]) -> Reading[T]:
        return _ask(nvml, question)

    uuid = ask(lambda: _text(nvml.nvmlDeviceGetUUID(handle)))
    total, used, free = _memory(nvml, handle)
    if total.why == _REASONS[_LOST][0]:
        return _silent(index, total.why, uuid=uuid)
    mig = ask(lambda: bool(nvml.nvmlDeviceGetMigMode(handle)[0]))
    busy = ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    if busy.value is None and mig.value:
        busy = Reading(None, "not told while MIG is on")
    return Gpu(
        index=index,
        uuid=uuid,
        name=ask(lambda: _text(nvml.nvmlDeviceGetName(handle))),
        compute_capability=ask(
            lambda: "{}.{}".format(*nvml.nvmlDeviceGetCudaComputeCapability(handle))
        ),
        memory_total=total,
        memory_used=used,
        memory_free=free,
        utilisation=_part(busy, "gpu"),
        memory_utilisation=_part(busy, "memory"),
        power=ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
        power_limit=ask(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000),
        temperature=ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        slowdown_temperature=ask(
            lambda: nvml.nvmlDeviceGetTemperatureThreshold(
                handle, nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
            )
        ),
        clock=ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
        clock_max=ask(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)),
        memory_clock=ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
        fan=ask(lambda: nvml.nvmlDeviceGetFanSpeed(handle)),
        mig=mig,
        mig_instances=_instances(nvml, handle) if mig.value else (),
        processes=ask(lambda: _processes(nvml, handle)),
    )


def _silent(index: int, why: str, *, uuid: Reading[str] | None = None) -> Gpu:
    """A GPU that does not answer: every reading gives the same reason."""
    missing: Reading[Any] = Reading(None, why)
    return Gpu(
        index=index,
        why=why,
        uuid=missing if uuid is None or uuid.value is None else uuid,
        name=missing,
        compute_capability=missing,
        memory_total=missing,
        memory_used=missing,
        memory_free=missing,
        utilisation=missing,
        memory_utilisation=missing,
        power=missing,
        power_limit=missing,
        temperature=missing,
        slowdown_temperature=missing,
        clock=missing,
        clock_max=missing,
        memory_clock=missing,
        fan=missing,
        mig=missing,
        processes=missing,
    )


def _part(pair: Reading[Any], name: str) -> Reading[int]:
    return Reading(None, pair.why) if pair.value is None else Reading(getattr(pair.value, name))


def _memory(nvml: Any, handle: Any) -> tuple[Reading[int], Reading[int], Reading[int]]:
    """Total, used and free bytes; in the newer form what the driver reserves is not `used`."""
    info = _ask(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2))
    if info.value is None:
        info = _ask(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    return _part(info, "total"), _part(info, "used"), _part(info, "free")


def _instances(nvml: Any, handle: Any) -> tuple[MigInstance, ...]:
    count = _ask(nvml, lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(handle)).value or 0
    found = []
    for index in range(count):
        part = _ask(nvml, lambda at=index: nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, at))  # type: ignore[misc]
        if part.value is None:
            continue  # slots are numbered, and not every slot holds an instance
        total, used, free = _memory(nvml, part.value)
        found.append(
            MigInstance(
                index=index,
                uuid=_ask(nvml, lambda own=part.value: _text(nvml.nvmlDeviceGetUUID(own))),  # type: ignore[misc]
                name=_ask(nvml, lambda own=part.value: _text(nvml.nvmlDeviceGetName(own))),  # type: ignore[misc]
                memory_total=total,
                memory_used=used,
                memory_free=free,
            )
        )
    return tuple(found)


def _processes(nvml: Any, handle: Any) -> tuple[GpuProcess, ...]:
    try:
        running = nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)
    except nvml.NVMLError_FunctionNotFound:
        running = nvml.nvmlDeviceGetComputeRunningProcesses_v2(handle)
    return tuple(
        GpuProcess(host_pid=process.pid, memory=process.usedGpuMemory) for process in running
    )

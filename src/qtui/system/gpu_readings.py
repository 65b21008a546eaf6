"""What is known of the GPUs at one moment. Every value may be missing, and then says why.

These are plain structs that travel as JSON: from the process that talks to the driver
(`gpu_probe`) to whoever shows them, and out of `--json`.
"""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

import msgspec

T = TypeVar("T")

Cause = Literal[
    "",
    "starting",
    "package",
    "library",
    "driver",
    "mismatch",
    "permission",
    "timeout",
    "crash",
    "error",
]


class Reading(msgspec.Struct, Generic[T], frozen=True, omit_defaults=True):
    """A value, or None and the reason in words."""

    value: T | None = None
    why: str = ""


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A program on a GPU. In a container NVML gives the *host's* pid: never match by it."""

    host_pid: int
    memory: int | None = None
    """Bytes, where the driver tells."""


class MigInstance(msgspec.Struct, frozen=True, kw_only=True):
    """A slice of a GPU in MIG mode, which CUDA sees as a device of its own. Memory in bytes."""

    index: int
    uuid: Reading[str]
    name: Reading[str]
    memory_total: Reading[int]
    memory_used: Reading[int]
    memory_free: Reading[int]
    cuda_index: int | None = None


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU. Memory in bytes, power in watts, temperature in °C, clocks in MHz, the rest in %.

    `why` is empty while the GPU answers; a GPU that is lost says so here and in each reading.
    `cuda_index` is the number under which CUDA (and torch) will see it, if at all.
    """

    index: int
    why: str = ""
    uuid: Reading[str] = Reading()
    name: Reading[str] = Reading()
    compute_capability: Reading[str] = Reading()
    memory_total: Reading[int] = Reading()
    memory_used: Reading[int] = Reading()
    memory_free: Reading[int] = Reading()
    utilisation: Reading[int] = Reading()
    memory_utilisation: Reading[int] = Reading()
    """Share of time in which memory was read or written; not how full it is."""
    power: Reading[float] = Reading()
    power_limit: Reading[float] = Reading()
    temperature: Reading[int] = Reading()
    slowdown_temperature: Reading[int] = Reading()
    """At which the card begins to slow itself down."""
    clock: Reading[int] = Reading()
    clock_max: Reading[int] = Reading()
    memory_clock: Reading[int] = Reading()
    fan: Reading[int] = Reading()
    mig: Reading[bool] = Reading()
    mig_instances: tuple[MigInstance, ...] = ()
    processes: Reading[tuple[GpuProcess, ...]] = Reading()
    cuda_index: Reading[int] = Reading()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The GPUs as they were `age` seconds ago.

    `available` tells whether they are being read now. When not, `why` is a sentence, `cause`
    its kind, `remedy` the way out, and `gpus` still holds the last values there were.
    """

    available: bool
    why: str = ""
    cause: Cause = ""
    remedy: str = ""
    time: float = 0.0
    """Unix time of the reading; 0 when there was none."""
    age: float | None = None
    driver: Reading[str] = Reading()
    cuda: Reading[str] = Reading()
    """Newest CUDA version that the driver can run, such as `13.0`."""
    gpus: tuple[Gpu, ...] = ()
    visible_note: str = ""
    """What CUDA_VISIBLE_DEVICES does to the list, in words; empty when it is not set."""


snapshot_decoder: msgspec.json.Decoder[Snapshot] = msgspec.json.Decoder(Snapshot)

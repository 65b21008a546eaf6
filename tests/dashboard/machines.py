"""Machines for the dashboard to be shown on: GPUs as NVML would describe them."""

from __future__ import annotations

from qtui.system.gpu_readings import Gpu, Reading, Snapshot

GIB = 1 << 30


def gpu(index: int, name: str, used: float, total: int, *, busy: int = 97) -> Gpu:
    """A GPU in good health; memory in GiB."""
    return Gpu(
        index=index,
        uuid=Reading(f"GPU-{index:08d}"),
        name=Reading(name),
        compute_capability=Reading("8.9"),
        memory_total=Reading(total * GIB),
        memory_used=Reading(int(used * GIB)),
        memory_free=Reading(int((total - used) * GIB)),
        utilisation=Reading(busy),
        memory_utilisation=Reading(61),
        power=Reading(318.0),
        power_limit=Reading(450.0),
        temperature=Reading(66),
        clock=Reading(2520),
        clock_max=Reading(3105),
        memory_clock=Reading(10251),
        fan=Reading(54),
        mig=Reading(False),
        processes=Reading(()),
        cuda_index=Reading(index),
    )


def _machine(*gpus: Gpu) -> Snapshot:
    return Snapshot(
        available=True, age=0.2, driver=Reading("580.95"), cuda=Reading("13.0"), gpus=gpus
    )


RTX_4090 = _machine(gpu(0, "NVIDIA GeForce RTX 4090", 17.1, 24))
TWO_H100 = _machine(
    gpu(0, "NVIDIA H100 80GB HBM3", 71.0, 80), gpu(1, "NVIDIA H100 80GB HBM3", 64.2, 80, busy=88)
)
NO_GPU = Snapshot(
    available=False,
    why="there is no NVIDIA driver on this machine",
    cause="library",
    remedy="nothing is wrong if it has no NVIDIA GPU",
)
GPU_LOST = _machine(
    Gpu(
        index=0,
        why="GPU is lost",
        **{
            field: Reading(None, "GPU is lost")
            for field in Gpu.__struct_fields__
            if field not in ("index", "why", "mig_instances")
        },
    )
)
GPU_HANGS = Snapshot(
    available=False,
    why="unavailable since 73 s: the driver did not answer within 5 s",
    cause="timeout",
    gpus=RTX_4090.gpus,
    age=73.0,
)

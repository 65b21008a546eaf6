"""How busy and how full each GPU was in the last minutes; kept while no screen shows it."""

from __future__ import annotations

from collections.abc import Sequence

from qtui.system.gpu_readings import Gpu
from qtui.widgets.gauges import Past

SECONDS = 5.0
"""What one bar stands for."""


class GpuPast:
    """One GPU."""

    def __init__(self) -> None:
        self.busy = Past(seconds=SECONDS)
        self.full = Past(seconds=SECONDS)

    def take(self, at: float, gpu: Gpu) -> None:
        """Note a reading made at `at`, in seconds of any clock."""
        self.busy.take(at, gpu.utilisation.value)
        used, total = gpu.memory_used.value, gpu.memory_total.value
        self.full.take(at, 100 * used / total if used is not None and total else None)


class GpuPasts(dict[int, GpuPast]):
    """All GPUs, by index."""

    def take(self, at: float, gpus: Sequence[Gpu]) -> None:
        """Note readings made at `at`."""
        for gpu in gpus:
            self.setdefault(gpu.index, GpuPast()).take(at, gpu)

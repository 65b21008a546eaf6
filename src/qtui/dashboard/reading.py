"""Reads the machine once a second for whoever shows it, on a thread that may hang.

Neither the GPU driver nor a network volume can be trusted to answer. Whatever they do, the
interface gets a message that says what is known now and, where nothing is, since when and why.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec
from textual.message import Message

from qtui.system import disk as disks
from qtui.system import host
from qtui.system.disk import Disk
from qtui.system.gpu import GpuMonitor, Snapshot
from qtui.system.gpu_readings import Gpu
from qtui.system.host import Memory

_GIB = 1 << 30


class MachineRead(Message, bubble=False):
    """What the machine is like now. Sent to the application, which hands it to its screens."""

    def __init__(self, gpus: Snapshot, memory: Memory, disk: Disk, gpu_text: str) -> None:
        super().__init__()
        self.gpus = gpus
        self.memory = memory
        self.disk = disk
        """Of the workspace; while it does not answer the last figures, and why."""
        self.gpu_text = gpu_text
        """The GPUs in one short line."""


class MachineReader:
    """Reads on a thread of its own from `start` to `close`, which never waits for a reading."""

    def __init__(
        self, workspace: Path, deliver: Callable[[MachineRead], object], interval: float = 1.0
    ) -> None:
        self._workspace = workspace
        self._deliver = deliver
        self._interval = interval
        self._gpus = GpuMonitor()
        self._closed = threading.Event()
        self._gpu_since = Since()
        self._disk_since = Since()
        self._disk: Disk | None = None

    def start(self) -> Self:
        """Begin to read and to deliver; `deliver` is called on the reader's thread."""
        threading.Thread(target=self._run, name="machine-reader", daemon=True).start()
        return self

    def close(self) -> None:
        """Stop; whatever still hangs is left to end with the process."""
        self._closed.set()

    def _run(self) -> None:
        with self._gpus:
            while not self._closed.is_set():
                self._deliver(self._read())
                self._closed.wait(self._interval)

    def _read(self) -> MachineRead:
        gpus = self._gpus.snapshot()
        failing = failure(gpus)
        text = gpu_line(gpus, self._gpu_since.at(failing))
        return MachineRead(gpus, host.memory(), self._read_disk(), text)

    def _read_disk(self) -> Disk:
        disk = disks.disk(self._workspace, timeout=self._interval)
        since = self._disk_since.at(disk.why)
        if not disk.why:
            self._disk = disk
            return disk
        why = f"unavailable since {since}: {disk.why}"
        return msgspec.structs.replace(self._disk or disk, why=why)


class Since:
    """When the present trouble began, as a time of day that stays the same while it lasts."""

    def __init__(self) -> None:
        self._began = ""

    def at(self, trouble: object) -> str:
        """The time since when there is `trouble`; empty while there is none."""
        if not trouble:
            self._began = ""
        elif not self._began:
            self._began = time.strftime("%H:%M:%S", time.localtime(time.time()))
        return self._began


_AGE = re.compile(r"^unavailable since \d+ s: ")


def failure(gpus: Snapshot) -> str:
    """What keeps the GPUs from being read, without the seconds that it has lasted."""
    if not gpus.available:
        return "" if gpus.cause == "starting" else _AGE.sub("", gpus.why)
    return next((f"GPU {gpu.index}: {gpu.why}" for gpu in gpus.gpus if gpu.why), "")


def gpu_line(gpus: Snapshot, since: str) -> str:
    """The GPUs in one line, such as `RTX 4090 17/24G 97%` or `2×H100 71/80G 64/80G`.

    `since` is the time of day since when they cannot be read. Text from the driver is in it:
    it has to be made safe before it is shown.
    """
    why = failure(gpus)
    if gpus.cause == "starting":
        return "asking for the GPU"
    if not gpus.gpus and (gpus.available or gpus.cause in ("library", "driver")):
        return "no GPU"
    if why:
        return f"GPU unavailable since {since}: {why.removeprefix('GPU 0: ')}"
    if len(gpus.gpus) == 1:
        only = gpus.gpus[0]
        busy = only.utilisation.value
        parts = (_name(only), _memory(only), "" if busy is None else f"{busy}%")
        return " ".join(filter(None, parts))
    names = {_name(gpu) for gpu in gpus.gpus}
    name = names.pop() if len(names) == 1 else "GPU"
    memories = [_memory(gpu) or "?" for gpu in gpus.gpus]
    if len(memories) > 4:
        memories = [*memories[:3], "…"]
    return f"{len(gpus.gpus)}×{name} {' '.join(memories)}"


def _name(gpu: Gpu) -> str:
    """The model without its maker: `NVIDIA H100 80GB HBM3` is H100."""
    name = gpu.name.value or "GPU"
    name = re.sub(r"^(NVIDIA|Tesla|Quadro)\s+", "", name)
    name = re.sub(r"^(GeForce|Tesla|Quadro)\s+", "", name)
    return re.split(r"[\s-]+(?:\d+GB|PCIe|SXM\d?|HBM\d?|NVL)\b", name)[0] or name


def _memory(gpu: Gpu) -> str:
    used, total = gpu.memory_used.value, gpu.memory_total.value
    if used is None or total is None:
        return ""
    return f"{used / _GIB:.0f}/{total / _GIB:.0f}G"

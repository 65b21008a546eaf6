"""Which one GPU a run uses. The trainer takes one device: more visible ones would be an error.

The choice is made before torch is loaded, by narrowing CUDA_VISIBLE_DEVICES; with UUIDs where
NVML gives them, since CUDA's own numbering may differ from NVML's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qtui.errors import ImpossibleError
from qtui.system.gpu_readings import Gpu, MigInstance, Snapshot
from qtui.terminal import clean_line

DEVICE_NODE = Path("/dev/nvidia0")


@dataclass(frozen=True)
class Choice:
    """`visible` is the new CUDA_VISIBLE_DEVICES; `sentence` says which GPU and why."""

    visible: str
    sentence: str


@dataclass(frozen=True)
class _Device:
    """A GPU or a MIG slice, under the number that CUDA has for it now."""

    cuda_index: int
    uuid: str | None
    name: str
    free: int | None


def choose(device: str, snapshot: Snapshot, environment: Mapping[str, str]) -> Choice | None:
    """The GPU for `device` (auto, cuda or cuda:N); none where there is nothing to narrow.

    auto and cuda take the one with most free memory, cuda:N the one that CUDA calls N now.
    Without NVML the first entry (or entry N) of CUDA_VISIBLE_DEVICES is taken unseen, so that a
    machine with several GPUs starts as well.

    Raises:
        ImpossibleError: cuda:N is asked for and CUDA sees no such GPU.
    """
    wanted = int(device.split(":")[1]) if ":" in device else None
    devices = sorted(_devices(snapshot), key=lambda one: one.cuda_index)
    if not devices:
        return _unseen(wanted, environment) if _may_have_gpus(snapshot) else None
    if wanted is None:
        chosen = max(devices, key=lambda one: (one.free or 0, -one.cuda_index))
        why = "" if len(devices) == 1 else f", which has most free memory of {len(devices)}"
    else:
        found = [one for one in devices if one.cuda_index == wanted]
        if not found:
            numbers = ", ".join(f"cuda:{one.cuda_index}" for one in devices)
            raise ImpossibleError(
                f"training.device is {device}, but CUDA sees only {numbers}",
                remedy=f"set training.device to one of {numbers}, or to auto",
            )
        chosen, why = found[0], ", as asked"
    return Choice(
        visible=chosen.uuid or _entry(chosen.cuda_index, environment),
        sentence=f"using cuda:{chosen.cuda_index} ({chosen.name}){why}",
    )


def _devices(snapshot: Snapshot) -> list[_Device]:
    found: list[_Device] = []
    for gpu in snapshot.gpus:
        parts: list[Gpu | MigInstance] = [gpu, *gpu.mig_instances]
        for part in parts:
            index = part.cuda_index if isinstance(part, MigInstance) else part.cuda_index.value
            if index is not None:
                found.append(
                    _Device(
                        cuda_index=index,
                        uuid=part.uuid.value,
                        name=clean_line(part.name.value or "GPU", 60),
                        free=part.memory_free.value,
                    )
                )
    return found


def _may_have_gpus(snapshot: Snapshot) -> bool:
    """Whether the lack of an answer may hide a GPU: a container may have one without NVML."""
    if snapshot.available:
        return False
    return snapshot.cause not in ("library", "") or DEVICE_NODE.exists()


def _unseen(wanted: int | None, environment: Mapping[str, str]) -> Choice:
    number = wanted or 0
    return Choice(
        visible=_entry(number, environment),
        sentence=f"NVML does not answer: taking GPU {number} without having seen it",
    )


def _entry(number: int, environment: Mapping[str, str]) -> str:
    """Entry `number` of CUDA_VISIBLE_DEVICES as it is now."""
    entries = [entry.strip() for entry in environment.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    if entries == [""]:
        return str(number)
    return entries[number] if number < len(entries) else ""

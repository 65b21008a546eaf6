"""Which GPU CUDA will see under which number: CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER.

The rules are those of the CUDA C++ Programming Guide (environment variables): a list of indexes,
GPU UUIDs (or beginnings of one) or MIG UUIDs; the first entry that names nothing ends the list;
an entry twice hides everything. The numbers are those that a run of qtui's will see: its worker
sets CUDA_DEVICE_ORDER=PCI_BUS_ID, NVML's own order. Where the environment says FASTEST_FIRST an
index can only be told if all GPUs are of one kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from qtui.system.gpu_readings import Gpu, Reading
from qtui.terminal import clean_line

_HIDDEN: Reading[int] = Reading(None, "hidden by CUDA_VISIBLE_DEVICES")
_MIG: Reading[int] = Reading(None, "in MIG mode: its instances are the devices")
_ORDER: Reading[int] = Reading(
    None, "the GPUs differ and CUDA_DEVICE_ORDER is FASTEST_FIRST: set it to PCI_BUS_ID"
)


def assign(gpus: Sequence[Gpu], environment: Mapping[str, str]) -> tuple[tuple[Gpu, ...], str]:
    """`gpus` with `cuda_index` filled in, and what CUDA_VISIBLE_DEVICES does, in words."""
    wanted = environment.get("CUDA_VISIBLE_DEVICES")
    by_bus = environment.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID") == "PCI_BUS_ID"
    names = {gpu.name.value for gpu in gpus if not gpu.why}
    ordered = by_bus or len(names) <= 1
    tokens = [str(gpu.index) for gpu in gpus] if wanted is None else _tokens(wanted)
    chosen: list[tuple[int, int | None]] = []
    for token in tokens:
        device = _find(token, gpus)
        if device is None:
            break
        chosen.append(device)
    if len(set(chosen)) != len(chosen):
        chosen = []
    unsure = not ordered and (wanted is None or any(token.isdigit() for token in tokens))
    numbered = tuple(_numbered(gpu, chosen, unsure) for gpu in gpus)
    if wanted is None:
        return numbered, ""
    shown = clean_line(wanted, 80)
    return numbered, (
        f"CUDA_VISIBLE_DEVICES={shown}: CUDA sees {len(chosen)} "
        f"of {len(gpus)} GPU{'' if len(gpus) == 1 else 's'}"
    )


def _tokens(wanted: str) -> list[str]:
    return [token.strip() for token in wanted.split(",")]


def _find(token: str, gpus: Sequence[Gpu]) -> tuple[int, int | None] | None:
    """(GPU's position, MIG instance's index or None) that `token` names."""
    if token.isdecimal():
        position = int(token)
        if position >= len(gpus):
            return None
        instances = gpus[position].mig_instances
        return position, instances[0].index if instances else None
    matches: list[tuple[int, int | None]] = []
    for position, gpu in enumerate(gpus):
        uuid = gpu.uuid.value or ""
        if token.startswith("GPU-") and uuid.startswith(token):
            matches.append((position, None))
        for instance in gpu.mig_instances:
            own = instance.uuid.value or ""
            if token.startswith("MIG-") and own.startswith(token):
                matches.append((position, instance.index))
    return matches[0] if len(matches) == 1 else None


def _numbered(gpu: Gpu, chosen: list[tuple[int, int | None]], unsure: bool) -> Gpu:
    position = gpu.index
    instances = tuple(
        msgspec.structs.replace(
            instance,
            cuda_index=chosen.index((position, instance.index))
            if (position, instance.index) in chosen and not unsure
            else None,
        )
        for instance in gpu.mig_instances
    )
    if (position, None) in chosen:
        number = _ORDER if unsure else Reading(chosen.index((position, None)))
    elif any(where == position for where, _ in chosen):
        number = _MIG
    else:
        number = _HIDDEN
    return msgspec.structs.replace(gpu, cuda_index=number, mig_instances=instances)

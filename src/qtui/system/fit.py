"""Whether a run fits on this machine: memory by estimate, disk by arithmetic.

Asked by `train` before it starts anything, by `validate` and by `estimate`. What cannot be
known here (a hub model whose shape nobody has told us, an architecture that the estimate cannot
read) is said, and never counts as a no.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtui.config.models import FineTuneConfig
from qtui.errors import InputError
from qtui.system import host
from qtui.system.disk_need import DiskNeed, disk_needed
from qtui.system.estimate import Estimate, decide_checkpointing, estimate
from qtui.system.gpu import Snapshot, read_once
from qtui.system.shapes import shape_of
from qtui.system.sizes import size
from qtui.system.verdict import Verdict, verdict


@dataclass(frozen=True)
class Fit:
    """What a run needs and what is there, in bytes; None where it cannot be known."""

    device: str
    estimate: Estimate | None
    verdict: Verdict | None
    memory_free: int | None
    disk: DiskNeed | None
    disk_free: int | None
    unknown: str = ""
    """Why there is no estimate, in a sentence."""

    @property
    def too_small(self) -> list[str]:
        """What is known to be too small here, a sentence each; empty when nothing is."""
        sentences = []
        if self.verdict is not None and self.verdict.result == "no":
            sentences.append(f"memory ({self.device}): {self.verdict.sentence}")
        if self.disk is not None and self.disk_free is not None:
            short = self.disk.in_workspace - self.disk_free
            if short > 0:
                sentences.append(
                    f"disk: the run folder needs about {size(self.disk.in_workspace)}, "
                    f"{size(self.disk_free)} are free: {size(short)} too little; "
                    "keep fewer checkpoints (training.save_total_limit) or use --workspace"
                )
        return sentences

    def as_document(self) -> dict[str, Any]:
        """For --json."""
        return {
            "device": self.device,
            "estimate": self.estimate,
            "verdict": self.verdict,
            "memory_free": self.memory_free,
            "disk": self.disk,
            "disk_free": self.disk_free,
            "unknown": self.unknown,
            "too_small": self.too_small,
        }


def examine(
    config: FineTuneConfig,
    workspace: Path,
    *,
    device: str | None = None,
    gpus: Snapshot | None = None,
) -> Fit:
    """Reckon what `config` needs on `device` (cuda or cpu; none: as the run file says) and has.

    `gpus` are the GPUs as they were read a moment ago; without them they are read now.
    `gradient_checkpointing: auto` is decided as the worker will decide it. Never raises for a
    model that cannot be reckoned with: `unknown` says why.
    """
    wanted = config.training.device
    free = None
    if device != "cpu" and wanted != "cpu":
        free = _free_on_gpu(wanted, read_once() if gpus is None else gpus)
    if device is None:
        device = "cuda" if wanted.startswith("cuda") or free is not None else "cpu"
    if device == "cpu":
        free = host.memory().available
    disk_free = host.disk(workspace).free
    try:
        shape = shape_of(config.model.model_name, config.model.revision)
        checkpointing = None if free is None else decide_checkpointing(config, shape, device, free)
        needed = estimate(config, shape, device=device, gradient_checkpointing=checkpointing)
        disk = disk_needed(config, shape, device=device)
    except InputError as error:  # the worker is the judge of what a model is
        return Fit(device, None, None, free, None, disk_free, error.message)
    judged = verdict(needed, free) if free is not None else None
    return Fit(device, needed, judged, free, disk, disk_free)


def _free_on_gpu(device: str, gpus: Snapshot) -> int | None:
    """Bytes free on the GPU that a run would take: the one named, else the one with most."""
    free: dict[int, int] = {}
    for card in gpus.gpus:
        parts = [(card.cuda_index.value, card.memory_free.value)]
        parts += [(mig.cuda_index, mig.memory_free.value) for mig in card.mig_instances]
        free |= {index: left for index, left in parts if index is not None and left is not None}
    if device.startswith("cuda:"):
        return free.get(int(device.removeprefix("cuda:")))
    return max(free.values(), default=None)

"""What a person should look at now in the machine that runs train on: GPUs and disk.

Pure, as `alerts`: readings and times come in, alerts come out, each once until it has cleared.

- `temperature`: a GPU is for 10 s at 87 °C, or at the temperature at which it slows itself down
  where the driver tells that; over when 5 °C below.
- `gpu_lost`: a GPU that answered has stopped to answer while the others are read.
- `idle_gpu`: while a run that uses a GPU makes steps, no GPU that CUDA may use here reaches 5 %
  for two minutes; over at 10 %. Which GPU a run is on cannot be told in a container (see
  `gpu_readings`), so the busiest one speaks for all.
- `gpu_memory`: while such a run makes steps, a GPU has for 30 s less than 2 % of its memory left,
  where what torch holds in reserve counts as left; over at 4 %.
- `disk`: the workspace has less free than the next checkpoint of a living run needs (a tenth more
  than the last one took), or than 2 GB; over at a quarter more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtui.runs.alerts import Alarm, Alert, AlertLevel, RunAlerts

if TYPE_CHECKING:
    from qtui.system.disk import Disk
    from qtui.system.gpu_readings import Gpu, Snapshot

HOT = 87
"""°C, where the driver does not tell at what temperature the GPU slows itself down."""

_HOT_SECONDS = 10.0
_COOLER = 5
_IDLE_PERCENT = 5
_BUSY_PERCENT = 10
_IDLE_SECONDS = 120.0
_FULL = 0.02
_ROOMY = 0.04
_FULL_SECONDS = 30.0
_LEAST_DISK = 2_000_000_000
_CHECKPOINT_MARGIN = 1.1
_DISK_HYSTERESIS = 1.25
_GB = 1_000_000_000


class MachineAlerts:
    """Watches this machine. Times are Unix seconds that do not go back."""

    def __init__(self) -> None:
        self.active: dict[str, Alert] = {}
        """Alerts that were raised and have not cleared, by kind and GPU."""
        self._alarms: dict[str, Alarm] = {}
        self._answered: set[int] = set()

    def look(
        self, snapshot: Snapshot, disk: Disk | None, runs: Sequence[RunAlerts], now: float
    ) -> list[Alert]:
        """What these readings give rise to, with `runs` living. `disk` is the workspace's."""
        found = self._disk(disk, runs, now) if disk is not None else []
        if not snapshot.available:
            # Old values say nothing of now: what has to last for a while begins anew.
            for alarm in self._alarms.values():
                alarm.pause()
            return found
        for gpu in snapshot.gpus:
            found += self._lost(gpu, now) + self._temperature(gpu, now)
        training = [run for run in runs if run.training and run.uses_gpu]
        usable = [gpu for gpu in snapshot.gpus if gpu.cuda_index.value is not None]
        found += self._idle(usable or list(snapshot.gpus), bool(training), now)
        for gpu in usable:
            found += self._memory(gpu, training, now)
        return found

    def _judge(
        self,
        key: str,
        now: float,
        message: str,
        *,
        bad: bool,
        good: bool,
        hold: float = 0.0,
        level: AlertLevel = "warning",
    ) -> list[Alert]:
        alarm = self._alarms.setdefault(key, Alarm(hold))
        rings = alarm.look(now, bad=bad, good=good)
        if not alarm.on:
            self.active.pop(key, None)
        if not rings:
            return []
        kind = key.partition(" ")[0]
        self.active[key] = Alert(run="", kind=kind, message=message, time=now, level=level)
        return [self.active[key]]

    def _lost(self, gpu: Gpu, now: float) -> list[Alert]:
        if not gpu.why:
            self._answered.add(gpu.index)
        return self._judge(
            f"gpu_lost {gpu.index}",
            now,
            f"GPU {gpu.index} does not answer any more: {gpu.why}. A run on it will fail; see "
            "`sudo dmesg | grep -i xid`, and reboot or rent another pod",
            bad=bool(gpu.why) and gpu.index in self._answered,
            good=not gpu.why,
            level="error",
        )

    def _temperature(self, gpu: Gpu, now: float) -> list[Alert]:
        temperature = gpu.temperature.value
        if temperature is None:
            return []
        limit = gpu.slowdown_temperature.value or HOT
        return self._judge(
            f"temperature {gpu.index}",
            now,
            f"GPU {gpu.index} is at {temperature} °C and slows itself down at {limit} °C. See to "
            f"its air, or lower its power: sudo nvidia-smi -i {gpu.index} -pl WATTS",
            bad=temperature >= limit,
            good=temperature <= limit - _COOLER,
            hold=_HOT_SECONDS,
        )

    def _idle(self, gpus: list[Gpu], training: bool, now: float) -> list[Alert]:
        told = [gpu.utilisation.value for gpu in gpus if gpu.utilisation.value is not None]
        busiest = max(told, default=None)
        if busiest is None:
            training = False
        return self._judge(
            "idle_gpu",
            now,
            f"a run is training, but the GPU was under {_IDLE_PERCENT} % busy for "
            f"{_IDLE_SECONDS / 60:.0f} minutes. Slow storage or slow loading of data is the usual "
            "cause: look at the processors, try training.dataloader_num_workers 2",
            bad=training and busiest is not None and busiest < _IDLE_PERCENT,
            good=not training or (busiest is not None and busiest >= _BUSY_PERCENT),
            hold=_IDLE_SECONDS,
        )

    def _memory(self, gpu: Gpu, training: Sequence[RunAlerts], now: float) -> list[Alert]:
        total, free = gpu.memory_total.value, gpu.memory_free.value
        if not total or free is None:
            return []
        left = free + sum(run.reserve for run in training)
        return self._judge(
            f"gpu_memory {gpu.index}",
            now,
            f"GPU {gpu.index} has {left / _GB:.1f} of {total / _GB:.0f} GB left. If the run ends "
            "out of memory it starts again with half the batch; a lower training.max_seq_length "
            "or training.gradient_checkpointing leaves more room",
            bad=bool(training) and left < _FULL * total,
            good=not training or left >= _ROOMY * total,
            hold=_FULL_SECONDS,
        )

    def _disk(self, disk: Disk, runs: Sequence[RunAlerts], now: float) -> list[Alert]:
        if disk.free is None:
            return []
        checkpoint = max((run.checkpoint for run in runs if run.end is None), default=0)
        needed = _CHECKPOINT_MARGIN * checkpoint
        limit = max(needed, _LEAST_DISK)
        why = f", and the next checkpoint needs {needed / _GB:.1f} GB" if needed == limit else ""
        return self._judge(
            "disk",
            now,
            f"{disk.free / _GB:.1f} GB free in the workspace{why}. Delete runs you do not need "
            "(`qtui runs delete`), or lower training.save_total_limit in the next one",
            bad=disk.free < limit,
            good=disk.free >= _DISK_HYSTERESIS * limit,
            level="error" if why else "warning",
        )

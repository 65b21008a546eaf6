"""The Monitor's values in lines of fields: what the worker measures, and what the machine says.

The machine's values are those of this machine; they are shown beside a living run only. GPU
memory is the device's, from its driver: in a container the driver's process ids are the host's,
so nothing is ever matched to the worker by one. What the worker's torch holds stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from textual.content import Content

from qtui.dashboard.reading import MachineRead
from qtui.screens.monitor.charts import label, shown_as
from qtui.screens.monitor.followed import GIB, Followed
from qtui.system.gpu_readings import Gpu
from qtui.terminal import clean_line
from qtui.widgets.gauges import Gauge, Past, fitting, row

_FIRST = ("learning_rate", "grad_norm", "tokens_per_second")
_TORCH = (
    ("memory_allocated", "allocated"),
    ("memory_reserved", "reserved"),
    ("memory_peak", "peak"),
)
_WORKER = (("memory_host", "worker"), ("memory_host_peak", "worker's peak"))
_MOST_GPUS = 2
_HOT = 85  # °C, from which the temperature is worth a look


@dataclass
class MachinePast:
    """The last minutes of the machine's values, by name; one a dashboard."""

    pasts: dict[str, Past] = field(default_factory=dict)

    def take(self, read: MachineRead, now: float) -> None:
        """Note a reading."""
        self._put("host", now, float(read.memory.total - read.memory.available))
        for gpu in read.gpus.gpus if read.gpus.available else ():
            self._put(f"memory {gpu.index}", now, gpu.memory_used.value)
            self._put(f"busy {gpu.index}", now, gpu.utilisation.value)
            self._put(f"power {gpu.index}", now, gpu.power.value)
            self._put(f"heat {gpu.index}", now, gpu.temperature.value)

    def _put(self, name: str, now: float, value: float | None) -> None:
        self.pasts.setdefault(name, Past()).take(now, value)

    def of(self, name: str) -> Past:
        """The past of a value; an empty one if it was never read."""
        return self.pasts.get(name) or Past()


def lines(
    followed: Followed,
    read: MachineRead | None,
    past: MachinePast,
    width: int,
    *,
    living: bool,
    unicode: bool,
) -> list[Content]:
    """Training in one line, then each GPU, then memory."""
    found = [_training(followed, width, unicode=unicode)]
    fields = fitting(width, 4)
    memory = _torch_memory(followed)
    if living and read is not None:
        gpus, without = _gpus(read, past, width, unicode=unicode)
        found += gpus
        used = read.memory.total - read.memory.available
        text = f"{used / GIB:.1f}/{read.memory.total / GIB:.0f} GiB"
        drawn = past.of("host").drawn(read.memory.total, unicode=unicode)
        memory = [*memory, *without, Gauge("host", text, drawn)]
    if memory:
        found.append(row(memory, width, fields=fields))
    return found


def _training(followed: Followed, width: int, *, unicode: bool) -> Content:
    history = followed.history
    names = history.names() if history is not None else []
    more = [
        name
        for name in names
        if name not in (*_FIRST, "loss", "eval_loss", "num_tokens", "trained_tokens")
        and not name.startswith(("memory_", "eval_"))
    ]
    shown = [*_FIRST, *more][: max(len(_FIRST), width // 30)]
    gauges = []
    for name in shown:
        latest = followed.latest(name)

        def drawn(room: int, name: str = name) -> str:
            return followed.trace(name, room, unicode=unicode)

        gauges.append(Gauge(label(name), shown_as(name)(latest), drawn if name in names else None))
    return row(gauges, width, fields=len(shown))


def _torch_memory(followed: Followed) -> list[Gauge]:
    """What the worker says of its own memory: on the GPU by torch's allocator, else the host's."""
    history = followed.history
    names = set(history.names()) if history is not None else set()
    shown = _TORCH if "memory_allocated" in names else _WORKER
    return [
        Gauge(text, f"{shown_as(name)(followed.latest(name))} GiB")
        for name, text in shown
        if name in names
    ]


def _gpus(
    read: MachineRead, past: MachinePast, width: int, *, unicode: bool
) -> tuple[list[Content], list[Gauge]]:
    """A line a GPU; without any, a field that says so, to go beside the memory."""
    snapshot = read.gpus
    if not snapshot.available:
        if snapshot.gpus or snapshot.cause not in ("library", "driver", "package", "starting"):
            return [_trouble(read.gpu_text, width)], []
        return [], [Gauge("GPU", "none" if snapshot.cause != "starting" else "asking")]
    if not snapshot.gpus:
        return [], [Gauge("GPU", "none")]
    found = []
    several = len(snapshot.gpus) > 1
    for gpu in snapshot.gpus[:_MOST_GPUS]:
        if gpu.why:
            found.append(_trouble(f"GPU {gpu.index}: {gpu.why}", width))
        else:
            gauges = _gpu(gpu, past, several=several, unicode=unicode)
            found.append(row(gauges, width, fields=fitting(width, len(gauges))))
    left_out = len(snapshot.gpus) - _MOST_GPUS
    if left_out > 0:
        more = Content.styled(f" and {left_out} more GPUs: 9 system", "$text-muted")
        found[-1] = found[-1] + more if found[-1].cell_length + 30 < width else found[-1]
    return found, []


def _gpu(gpu: Gpu, past: MachinePast, *, several: bool, unicode: bool) -> list[Gauge]:
    name = f"GPU {gpu.index}" if several else "GPU"
    used, total = gpu.memory_used.value, gpu.memory_total.value
    memory = "memory unknown"
    if used is not None:
        memory = f"{used / GIB:.1f}" + (f"/{total / GIB:.0f}" if total else "") + " GiB"
    limit, power = gpu.power_limit.value, gpu.power.value
    watts = "–" if power is None else f"{power:.0f}" + (f"/{limit:.0f}" if limit else "") + " W"
    busy, heat = gpu.utilisation.value, gpu.temperature.value
    number = gpu.index

    return [
        Gauge(name, memory, past.of(f"memory {number}").drawn(total or 0, unicode=unicode)),
        Gauge(
            "busy",
            "–" if busy is None else f"{busy} %",
            past.of(f"busy {number}").drawn(100, unicode=unicode),
        ),
        Gauge("power", watts, past.of(f"power {number}").drawn(limit or 0, unicode=unicode)),
        Gauge(
            "heat",
            "–" if heat is None else f"{heat} °C",
            past.of(f"heat {number}").drawn(100, unicode=unicode),
            "$warning" if heat is not None and heat >= _HOT else "",
        ),
    ]


def _trouble(text: str, width: int) -> Content:
    return Content.styled(" " + clean_line(text, max(width - 2, 1)), "$warning")

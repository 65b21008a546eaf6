"""GPUs as lines: one a GPU, then all that is known of the one that is looked at.

Pure: readings in, lines out. A value that is missing is a dash in its column, and the reason
stands below. Memory is in GiB, by which GPUs are sold and named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from textual.content import Content

from qtui import wording
from qtui.runs.machine_alerts import HOT
from qtui.system.gpu_readings import Gpu, MigInstance, Reading
from qtui.terminal import clean_line, columns, cut
from qtui.widgets.gauges import Gauge, row
from qtui.widgets.gpu_past import GpuPast

T = TypeVar("T")

_GIB = 1 << 30
_MOST_DETAILS = 4
_FEWEST_ROWS = 3
_MAKER = re.compile(r"^(?:(?:NVIDIA|Tesla|Quadro|GeForce)\s+)+")
_SLICE = re.compile(r"^.*\b(?=MIG )")
_LONGEST_NAME = 30
_LONGEST_BAR = 40
_FIXED = 54
"""Columns of a row beside the name and the bar, at their narrowest."""


def gpu_lines(
    gpus: Sequence[Gpu],
    looked_at: int,
    past: Mapping[int, GpuPast],
    *,
    width: int,
    height: int,
    unicode: bool,
) -> list[Content]:
    """At most `height` lines of `width` columns; `looked_at` is the place in `gpus` of the one
    whose details are shown, and `past` is by GPU index."""
    gpu = gpus[looked_at]
    details = _details(gpu, past.get(gpu.index, GpuPast()), width, unicode=unicode)
    parts = [_instance(part, width, unicode=unicode) for part in gpu.mig_instances]
    rows = min(len(gpus), max(_FEWEST_ROWS, height - 1 - min(len(details) + len(parts), 2)))
    first = min(max(looked_at - rows // 2, 0), len(gpus) - rows)
    lines = [_head(len(gpus), first, rows, width, unicode=unicode)]
    for place in range(first, first + rows):
        here = place == looked_at
        lines.append(_row(gpus[place], width, marked=here and len(gpus) > 1, unicode=unicode))
        if here:
            lines += parts
    return [*lines, *details[: max(height - len(lines), 1)]][: max(height, 2)]


def _widths(width: int) -> tuple[int, int]:
    """Columns of the name and of the memory's bar."""
    room = max(width - _FIXED, 12)
    name = min(room - room // 3, _LONGEST_NAME)
    return name, min(room - name, _LONGEST_BAR)


def _head(count: int, first: int, rows: int, width: int, *, unicode: bool) -> Content:
    name, bar = _widths(width)
    some = ""
    if rows < count:
        dash = "–" if unicode else "-"
        some = f" {first + 1}{dash}{first + rows} of {count}"
    text = (
        f"  GPU {'NAME' + some:<{name}} {'MEMORY':<{bar}} {'GiB':>11}  {'BUSY':>5}  "
        f"{'POWER':>9}  {'TEMP':>5}  {'CLOCK':>8}"
    )
    return Content.styled(cut(text, width), "$text-muted")


def _row(gpu: Gpu, width: int, *, marked: bool, unicode: bool) -> Content:
    name, bar = _widths(width)
    marker = ("▸" if unicode else ">") if marked else " "
    start = f"{marker} {gpu.index:<3} "
    if gpu.why:
        sign = "✗" if unicode else "x"
        text = cut(f"{sign} {clean_line(gpu.why)}", max(width - len(start), 0))
        return Content.styled(start, "bold" if marked else "") + Content.styled(text, "$error")
    full, drawn = _memory(gpu.memory_used, gpu.memory_total, bar, unicode=unicode)
    title = _fit(_MAKER.sub("", _shown(gpu.name, str, unicode=unicode)), name)
    celsius = "°C" if unicode else "C"
    hot = _hot(gpu)
    return Content.assemble(
        Content.styled(f"{start}{title} ", "bold" if marked else ""),
        Content.styled(drawn, "$accent"),
        f" {full}  {_shown(gpu.utilisation, lambda v: f'{v} %', unicode=unicode):>5}  ",
        f"{_power(gpu, unicode=unicode):>9}  ",
        Content.styled(
            f"{_shown(gpu.temperature, lambda v: f'{v} {celsius}', unicode=unicode):>5}",
            "$warning" if hot else "",
        ),
        f"  {_shown(gpu.clock, lambda v: f'{v} MHz', unicode=unicode):>8}",
    )


def _instance(part: MigInstance, width: int, *, unicode: bool) -> Content:
    """A slice of a GPU, below it."""
    name, bar = _widths(width)
    full, drawn = _memory(part.memory_used, part.memory_total, bar, unicode=unicode)
    title = _SLICE.sub("", _shown(part.name, str, unicode=unicode))
    seen = f"cuda:{part.cuda_index}" if part.cuda_index is not None else "hidden from CUDA"
    return Content.assemble(
        Content(f"      {_fit(f'{part.index}: {title}', name)} "),
        Content.styled(drawn, "$accent"),
        f" {full}  {seen}",
    )


def _details(gpu: Gpu, past: GpuPast, width: int, *, unicode: bool) -> list[Content]:
    """Most important first; they are cut from the end where there is no room."""
    if gpu.why:
        return []
    missing: dict[str, list[str]] = {}
    for label, reading in _named(gpu):
        if reading.value is None:
            missing.setdefault(clean_line(reading.why) or "the driver does not tell", []).append(
                label
            )
    lines = [_traces(gpu, past, width, unicode=unicode)]
    if missing:
        told = "; ".join(f"{why}: {', '.join(labels)}" for why, labels in missing.items())
        lines.append(Content.styled(cut(f"      missing  {told}", width), "$text-muted"))
    lines.append(Content(cut(f"      {_programs(gpu, unicode=unicode)}", width)))
    lines.append(Content(cut(f"      {_about(gpu, unicode=unicode)}", width)))
    return lines[:_MOST_DETAILS]


def _traces(gpu: Gpu, past: GpuPast, width: int, *, unicode: bool) -> Content:
    used, total = gpu.memory_used.value, gpu.memory_total.value
    full = f"{100 * used / total:.0f} %" if used is not None and total else "–"
    busy = _shown(gpu.utilisation, lambda value: f"{value} %", unicode=unicode)
    gauges = (
        Gauge("busy", f"{busy:>5}", past.busy.drawn(100, unicode=unicode)),
        Gauge("memory", f"{full if unicode else full.replace('–', '-'):>5}",
              past.full.drawn(100, unicode=unicode)),
    )  # fmt: skip
    return Content("     ") + row(gauges, width - 5, fields=2)


def _named(gpu: Gpu) -> list[tuple[str, Reading[Any]]]:
    return [
        ("name", gpu.name),
        ("memory", gpu.memory_used),
        ("busy", gpu.utilisation),
        ("power", gpu.power),
        ("power limit", gpu.power_limit),
        ("temperature", gpu.temperature),
        ("clock", gpu.clock),
        ("fan", gpu.fan),
        ("programs", gpu.processes),
    ]


def _programs(gpu: Gpu, *, unicode: bool) -> str:
    found = gpu.processes.value
    if found is None:
        return f"programs {'–' if unicode else '-'}"
    if not found:
        return "no program on it"
    each = []
    for program in found:
        size = f"{program.memory / _GIB:.1f} GiB" if program.memory is not None else "not told"
        each.append(f"{program.host_pid}: {size}")
    return f"programs {len(found)}, by the host's process numbers  {', '.join(each)}"


def _about(gpu: Gpu, *, unicode: bool) -> str:
    degrees = " °C" if unicode else " C"
    parts = [
        f"cuda:{gpu.cuda_index.value}" if gpu.cuda_index.value is not None else "hidden from CUDA"
    ]
    for label, reading, unit in (
        ("clock up to", gpu.clock_max, " MHz"),
        ("memory clock", gpu.memory_clock, " MHz"),
        ("fan", gpu.fan, " %"),
        ("slows down at", gpu.slowdown_temperature, degrees),
        ("compute", gpu.compute_capability, ""),
    ):
        if reading.value is not None:
            parts.append(f"{label} {clean_line(str(reading.value))}{unit}")
    return "  ".join(parts)


def _memory(
    used: Reading[int], total: Reading[int], width: int, *, unicode: bool
) -> tuple[str, str]:
    """`17.1/24.0` in eleven columns, and the bar."""
    if used.value is None or not total.value:
        return f"{'–' if unicode else '-':>11}", " " * width
    text = f"{used.value / _GIB:.1f}/{total.value / _GIB:.0f}"
    return f"{text:>11}", wording.bar(used.value / total.value, width, unicode=unicode)


def _power(gpu: Gpu, *, unicode: bool) -> str:
    if gpu.power.value is None:
        return "–" if unicode else "-"
    limit = f"/{gpu.power_limit.value:.0f}" if gpu.power_limit.value is not None else ""
    return f"{gpu.power.value:.0f}{limit} W"


def _hot(gpu: Gpu) -> bool:
    limit = gpu.slowdown_temperature.value or HOT
    return gpu.temperature.value is not None and gpu.temperature.value >= limit


def _shown(reading: Reading[T], words: Callable[[T], str], *, unicode: bool) -> str:
    if reading.value is None:
        return "–" if unicode else "-"
    return clean_line(words(reading.value))


def _fit(text: str, width: int) -> str:
    short = cut(text, width)
    return short + " " * (width - columns(short))

"""`qtui monitor` and `qtui doctor`: the GPUs, this machine, the living runs, what is missing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtui import wording
from qtui.cli.output import Output, Part, Style, Styled
from qtui.errors import EXIT_DONE, EXIT_IMPOSSIBLE, InputError
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from argparse import Namespace

    from qtui.cli.alerts import WatchedAlerts
    from qtui.runs.folder import Run
    from qtui.runs.summary import Summary
    from qtui.system.gpu import Gpu, Snapshot

_SHORTEST = 0.5  # seconds between two readings


def gpu_lines(snapshot: Snapshot) -> list[list[Part]]:
    """A line a GPU, or one that says why there is none."""
    lines: list[list[Part]] = []
    if not snapshot.available:
        lines.append([Styled("GPU     ", "dim"), clean_line(snapshot.why)])
        if snapshot.remedy:
            lines.append([Styled("        try  ", "dim"), clean_line(snapshot.remedy)])
    elif not snapshot.gpus:
        lines.append([Styled("GPU     ", "dim"), "none: training will use the CPU"])
    lines += [[Styled(f"GPU {gpu.index}   ", "dim"), _gpu(gpu)] for gpu in snapshot.gpus]
    if snapshot.visible_note:
        lines.append(["        ", clean_line(snapshot.visible_note)])
    return lines


def _gpu(gpu: Gpu) -> str:
    """What is known of one GPU; a value that is missing is left out."""
    if gpu.why:
        return clean_line(f"{gpu.name.value or 'unnamed'}: {gpu.why}")
    parts = [gpu.name.value or "unnamed"]
    used, total = gpu.memory_used.value, gpu.memory_total.value
    if used is not None and total is not None:
        parts.append(f"{wording.size(used)} of {wording.size(total)}")
    for reading, unit in (
        (gpu.utilisation, " %"),
        (gpu.temperature, " °C"),
        (gpu.clock, " MHz"),
    ):
        if reading.value is not None:
            parts.append(f"{reading.value}{unit}")
    if gpu.power.value is not None:
        limit = f"/{gpu.power_limit.value:.0f}" if gpu.power_limit.value is not None else ""
        parts.append(f"{gpu.power.value:.0f}{limit} W")
    if gpu.mig_instances:
        parts.append(f"{len(gpu.mig_instances)} MIG instances")
    return clean_line("  ".join(parts))


def monitor(arguments: Namespace, out: Output) -> int:
    """`monitor`: a reading every --interval seconds until Ctrl-C, or one with --once."""
    from qtui.cli.alerts import WatchedAlerts
    from qtui.runs.folder import find
    from qtui.system.gpu import GpuMonitor, read_once

    if not arguments.interval >= _SHORTEST:
        raise InputError(
            f"--interval {arguments.interval:g} is too short",
            remedy=f"give {_SHORTEST:g} seconds or more",
        )
    only = find(arguments.workspace, arguments.run) if arguments.run else None
    alerts = WatchedAlerts(arguments.workspace, only, out)
    try:
        if arguments.once:
            _reading(read_once(), arguments, only, alerts, out)
            return EXIT_DONE
        with GpuMonitor(interval=max(arguments.interval, 1.0)) as gpus:
            while True:
                _reading(gpus.snapshot(), arguments, only, alerts, out)
                time.sleep(arguments.interval)
    except KeyboardInterrupt:
        return EXIT_DONE
    finally:
        alerts.close()


def _reading(
    snapshot: Snapshot, arguments: Namespace, only: Run | None, alerts: WatchedAlerts, out: Output
) -> None:
    from qtui.cli.alerts import line
    from qtui.runs.folder import all_runs
    from qtui.runs.state import FINAL, Status
    from qtui.runs.summary import summarize
    from qtui.system import host

    memory, disk = host.memory(), host.disk(arguments.workspace)
    if only is not None:
        runs = [summarize(only)]
    else:
        runs = [
            summary
            for summary in map(summarize, all_runs(arguments.workspace))
            if summary.status not in FINAL and summary.status is not Status.QUEUED
        ]
    found = alerts.look(snapshot, disk)
    if out.json:
        reading = {"gpus": snapshot, "memory": memory, "disk": disk, "runs": runs, "alerts": found}
        out.document({"time": time.time(), **reading})
        return
    lines = gpu_lines(snapshot)
    free = f"{wording.size(memory.available)} of {wording.size(memory.total)} free"
    room = f"{wording.size(disk.free)} free in the workspace"
    lines.append([Styled("host    ", "dim"), f"memory {free}, disk {room}"])
    lines += [_run(summary, out) for summary in runs]
    if not runs:
        lines.append([Styled("runs    ", "dim"), "none is living"])
    lines += map(line, found)
    out.block(lines)


def _run(summary: Summary, out: Output) -> list[Part]:
    total = f"/{summary.total_steps}" if summary.total_steps else ""
    speed = summary.tokens_per_second
    parts = [f"step {summary.step}{total}", f"loss {wording.number(summary.loss)}"]
    if speed is not None:
        parts.append(f"{wording.number(speed)} tokens/s")
    return [summary.name, "  ", out.run_status(summary.status), "  ", "  ".join(parts)]


def doctor(arguments: Namespace, out: Output) -> int:
    """`doctor`: findings with the command that mends each; 4 when one is an error."""
    from qtui.system.doctor import examine

    findings = examine(arguments.workspace)
    errors = [finding for finding in findings if finding.level == "error"]
    if out.json:
        out.document(findings)
        return EXIT_IMPOSSIBLE if errors else EXIT_DONE
    signs: dict[str, tuple[str, str, Style]] = {
        "ok": ("✓", "+", "green"),
        "note": ("·", "-", "dim"),
        "warning": ("!", "!", "yellow"),
        "error": ("✗", "x", "red"),
    }
    for finding in findings:
        fancy, plain, style = signs[finding.level]
        out.line(Styled(f"{out.sign(fancy, plain)} ", style), clean_line(finding.what))
        if finding.why and finding.level != "ok":
            out.line("    ", clean_line(finding.why))
        if finding.command:
            out.line(Styled("    mend it  ", "dim"), finding.command)
    out.line("")
    if errors:
        out.line(Styled(f"{len(errors)} to mend before training can work here", "red"))
    else:
        out.line(Styled("ready to train", "green"))
    return EXIT_IMPOSSIBLE if errors else EXIT_DONE

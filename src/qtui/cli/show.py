"""`qtui runs show`: what a run was asked to do, how it stands, and what came of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from qtui import wording
from qtui.cli.output import Column, Output, Styled
from qtui.errors import EXIT_DONE, InputError
from qtui.runs import export, series, state
from qtui.runs.events import FailedEvent, FinishedEvent
from qtui.runs.folder import SERVE, Run, find
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from argparse import Namespace

    from qtui.runs.series import History


def show(arguments: Namespace, out: Output) -> int:
    """`runs show`: for people, or whole as JSON, or the metrics as CSV."""
    if out.json and arguments.csv:
        raise InputError("--json and --csv exclude each other", remedy="give one of them")
    run = find(arguments.workspace, arguments.run)
    spec = run.spec
    history = series.load(run)
    status = state.status(run)
    if arguments.csv:
        export.write_csv(export.metrics_table(history), sys.stdout)
        return EXIT_DONE
    if out.json:
        out.document(
            {
                "run": spec,
                "path": run.path,
                "status": status.value,
                "overrides": history.overrides,
                "step": history.step,
                "epoch": history.epoch,
                "end": history.end,
                "checkpoints": history.checkpoints,
                "artifacts": history.artifacts,
                "alerts": history.alerts,
                "samples": history.samples,
                "metrics": export.metrics_table(history),
            }
        )
        return EXIT_DONE
    out.line(Styled(run.id, "bold"), "  ", out.run_status(status))
    for label, value in _facts(run, spec.config, history):
        out.line(Styled(f"{label:<12}", "dim"), clean_line(value))
    _end(history, status, out)
    _memory(history, out)
    _checkpoints(history, run, out)
    _samples(history, out)
    return EXIT_DONE


def _facts(run: Run, config: dict[str, Any], history: History) -> list[tuple[str, str]]:
    from qtui.runs.summary import summarize

    summary = summarize(run)
    total = f" of {summary.total_steps}" if summary.total_steps else ""
    epoch = f", epoch {wording.number(summary.epoch)}" if summary.epoch is not None else ""
    data = config.get("data")
    inputs = data.get("input_path") if isinstance(data, dict) else None
    facts = [
        ("kind", summary.kind),
        ("model", f"{summary.model} ({summary.method})"),
        ("data", ", ".join(map(str, inputs)) if isinstance(inputs, list) else str(inputs or "")),
        ("created", wording.clock(summary.created, "%Y-%m-%d %H:%M:%S")),
        *_changes(history),
        ("listens at", _address(run)),
        ("step", "" if summary.kind == SERVE else f"{summary.step}{total}{epoch}"),
        ("loss", _first_to_last(history, "loss")),
        ("eval loss", _first_to_last(history, "eval_loss")),
        ("speed", f"{wording.number(summary.tokens_per_second)} tokens/s"),
        ("time", _took(history)),
        ("adapter", str(run.adapter) if run.adapter.is_dir() else ""),
        ("folder", str(run.path)),
        ("command", " ".join(run.spec.command)),
    ]
    return [(label, value) for label, value in facts if value and value != "– tokens/s"]


def _address(run: Run) -> str:
    if run.spec.kind != SERVE:
        return ""
    from qtui.runs.serving import address

    found = address(run)
    return (found.socket or f"{found.url}/v1") if found else ""


def _changes(history: History) -> list[tuple[str, str]]:
    """The settings in force that are not the frozen ones, in the order of their steps."""
    return [
        ("changed", f"since step {override.since}: {key} {wording.setting(override.value)}")
        for key, override in sorted(history.overrides.items(), key=lambda item: item[1].since)
    ]


def _first_to_last(history: History, name: str) -> str:
    values = [value for value in history.metric(name)[1] if value is not None]
    if not values:
        return ""
    best = f" (best {wording.number(min(values))})" if min(values) < values[-1] else ""
    return f"{wording.number(values[0])} to {wording.number(values[-1])}{best}"


def _took(history: History) -> str:
    if history.started is None or history.updated is None:
        return ""
    return wording.duration(history.updated - history.started)


def _end(history: History, status: state.Status, out: Output) -> None:
    if isinstance(history.end, FailedEvent):
        out.line(Styled(f"{'why':<12}", "red"), clean_line(history.end.message))
        if history.end.remedy:
            out.line(Styled(f"{'try':<12}", "dim"), clean_line(history.end.remedy))
    elif status is state.Status.INTERRUPTED:
        out.line(Styled(f"{'why':<12}", "red"), "the worker is gone without a word")
    for alert in history.alerts[-5:]:
        out.line(Styled(f"{'alert':<12}", "yellow"), clean_line(alert.message))


def _memory(history: History, out: Output) -> None:
    """The estimate beside the real peak, where the run measured one on a GPU."""
    end = history.end
    if not isinstance(end, FinishedEvent):
        return
    estimated = end.summary.get("estimated_memory")
    peak = end.summary.get("peak_memory_allocated")
    if not isinstance(estimated, int | float) or not isinstance(peak, int | float) or peak <= 0:
        return
    off = (estimated - peak) / peak * 100
    text = f"estimated {wording.size(estimated)}, real peak {wording.size(peak)} ({off:+.0f} %)"
    out.line(Styled(f"{'GPU memory':<12}", "dim"), text)


def _checkpoints(history: History, run: Run, out: Output) -> None:
    kept = [c for c in history.checkpoints if (run.path / c.path).is_dir()]
    if not kept:
        return
    out.line("")
    rows = []
    for checkpoint in kept:
        name = checkpoint.path.rpartition("/")[2]
        loss = wording.number(checkpoint.metrics.get("eval_loss"))
        rows.append([name, wording.size(checkpoint.size), loss])
    out.table([Column("CHECKPOINT"), Column("SIZE", "right"), Column("EVAL LOSS", "right")], rows)


def _samples(history: History, out: Output) -> None:
    if not history.samples:
        return
    out.line("")
    last = history.samples[-1].step
    out.line(Styled(f"SAMPLES AT STEP {last}", "dim"))
    width = out.width - 10 if out.stdout.isatty() else 2000
    for sample in history.samples:
        if sample.step == last:
            out.line(Styled("  prompt  ", "dim"), clean_line(sample.prompt, width))
            out.line(Styled("  answer  ", "dim"), clean_line(sample.output, width))

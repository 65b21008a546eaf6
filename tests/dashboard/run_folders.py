"""Run folders in every state that the dashboard can meet, with the same content on every machine.

All times count back from `NOW`, which `harness.drive` makes the dashboard's present. So ages,
clock times and durations on a snapshot are always the same.
"""

from __future__ import annotations

import calendar
import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from qtui.config.serve import ServeConfig, ServedModel
from qtui.runs import naming
from qtui.runs.events import (
    AlertEvent,
    ArtifactEvent,
    CheckpointEvent,
    Event,
    FailedEvent,
    FinishedEvent,
    LogEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
    SampleEvent,
)
from qtui.runs.folder import Run, RunSpec
from qtui.runs.lock import RunLock
from tests.cli.corpus import EVERYTHING, IN_FILES

NOW = float(calendar.timegm((2026, 11, 20, 15, 42, 10)))
"""2026-11-20 15:42:10 UTC."""

GB = 1 << 30
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


@lru_cache
def _config(settings: tuple[str, ...]) -> str:
    from qtui.config.load import load, resolve_dict

    return json.dumps(resolve_dict(load(None, preset="qlora-24gb", overrides=settings, environ={})))


def config(*settings: str) -> dict[str, Any]:
    """A whole resolved run file; `settings` such as `training.seed=7`."""
    chosen = (f"model.model_name={LLAMA}", "data.input_path=tickets.jsonl", *settings)
    made: dict[str, Any] = json.loads(_config(chosen))
    return made


def write(
    workspace: Path,
    name: str,
    events: Iterable[Event],
    *,
    age: float,
    settings: Iterable[str] = (),
    spec: Mapping[str, Any] | None = None,
) -> Run:
    """The folder of run `name`, made `age` seconds before `NOW`; the events have their times."""
    created = NOW - age
    run = Run(workspace / "runs" / f"{naming.stamp(created)}-{name}")
    run.path.mkdir(parents=True)
    made = RunSpec(
        schema_version=1,
        id=run.id,
        kind="train",
        created=created,
        config=config(*settings),
        versions={"qtui": "0.1.0", "python": "3.11.9", "torch": "2.13.0", "trl": "1.16.0"},
        host={"hostname": "pod", "platform": "Linux"},
        command=["qtui", "train", "run.yaml"],
    )
    made = msgspec.structs.replace(made, **(spec or {}))
    (run.path / "run.json").write_bytes(msgspec.json.encode(made))
    append(run, events)
    run.lock.touch()
    return run


def append(run: Run, events: Iterable[Event]) -> None:
    """Write `events` at the end of the run's log, each with the next number, in one write."""
    known = run.events.read_bytes().count(b"\n") if run.events.exists() else 0
    lines = [
        msgspec.json.encode(msgspec.structs.replace(event, seq=seq)) + b"\n"
        for seq, event in enumerate(events, known)
    ]
    fd = os.open(run.events, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(fd, b"".join(lines))
    finally:
        os.close(fd)


# ---- what a run writes ---------------------------------------------------------------------------


def setup(at: float) -> list[Event]:
    """From the start of the worker to its first step: 20 seconds."""
    return [
        PhaseEvent(time=at, phase=Phase.INITIALIZING),
        LogEvent(time=at + 1, level="info", message="training on GPU 0, NVIDIA GeForce RTX 4090"),
        PhaseEvent(time=at + 2, phase=Phase.LOADING_DATASET, detail="tickets.jsonl"),
        ProgressEvent(time=at + 4, what="prepare", done=3112, total=3112, unit="rows"),
        PhaseEvent(time=at + 5, phase=Phase.LOADING_MODEL, detail=LLAMA),
        ProgressEvent(time=at + 8, what="download", done=2 * GB, total=5 * GB, unit="bytes"),
        ProgressEvent(time=at + 17, what="download", done=5 * GB, total=5 * GB, unit="bytes"),
        PhaseEvent(time=at + 18, phase=Phase.CONFIGURING_LORA),
    ]


def loss(step: int) -> float:
    """A loss that falls from 2.4 to about 1, with a little noise that is always the same."""
    return 0.95 + 1.45 * math.exp(-step / 110) + 0.06 * math.sin(step * 1.7) * math.cos(step * 0.6)


def steps(
    first: int, last: int, *, total: int, end: float, seconds: float = 2.6, every: int = 100
) -> Iterator[Event]:
    """Steps `first` to `last` of `total`, the last one at time `end`; an evaluation, a checkpoint
    and a sample after each `every` steps."""
    for step in range(first, last + 1):
        at = end - (last - step) * seconds
        yield ProgressEvent(time=at, what="train", done=step, total=total)
        values: dict[str, float | None] = {
            "loss": loss(step),
            "grad_norm": 0.42 + 0.3 * math.exp(-step / 60) + 0.02 * math.sin(step),
            "learning_rate": 2e-4 * min(step / 30, 1.0) * (1 - step / (total + 1)),
            "tokens_per_second": 2380 + 40 * math.sin(step * 0.9),
            "num_tokens": float(step * 6144),
            "trained_tokens": float(step * 2304),
            "memory_host": 3.1 * GB,
            "memory_host_peak": 3.3 * GB,
            "memory_allocated": 15.9 * GB,
            "memory_reserved": 16.8 * GB,
            "memory_peak": 16.4 * GB,
        }
        yield MetricsEvent(time=at, step=step, epoch=step / 400, values=values)
        if step % every == 0:
            yield from checkpoint(step, at + 0.3)


def checkpoint(step: int, at: float) -> list[Event]:
    """Evaluation, checkpoint and sample after `step`, and back to training."""
    evaluated = loss(step) + 0.05
    return [
        PhaseEvent(time=at, phase=Phase.EVALUATING, detail="161 rows"),
        MetricsEvent(time=at + 0.5, step=step, epoch=step / 400, values={"eval_loss": evaluated}),
        SampleEvent(
            time=at + 0.6,
            step=step,
            prompt="Refund for order 5512?",
            output=f"I have refunded order 5512 after step {step}.",
            reference="I have refunded order 5512.",
        ),
        PhaseEvent(time=at + 0.7, phase=Phase.TRAINING, detail="1200 steps"),
        CheckpointEvent(
            time=at + 0.8,
            step=step,
            path=f"checkpoints/step-{step:06d}",
            size=84_000_000,
            metrics={"eval_loss": evaluated},
        ),
    ]


def training(age: float, last: int, total: int, seconds: float = 2.6) -> list[Event]:
    """All of a run that was started `age` seconds before `NOW`, up to step `last`."""
    at = NOW - age
    begun = PhaseEvent(time=at + 20, phase=Phase.TRAINING, detail=f"{total} steps")
    end = at + 20 + last * seconds
    return [*setup(at), begun, *steps(1, last, total=total, end=end, seconds=seconds)]


def _keep_checkpoints(run: Run, *steps: int) -> Run:
    """Folders for checkpoints that a list counts as complete."""
    for step in steps:
        path = run.checkpoints / f"step-{step:06d}"
        path.mkdir(parents=True)
        (path / "manifest.json").write_text("{}")
    return run


# ---- runs in every state -------------------------------------------------------------------------


def finished(
    workspace: Path, name: str = "brisk-heron", *, age: float = 3 * 3600, total: int = 800
) -> Run:
    """Completed, with adapter."""
    events = training(age, total, total)
    at = events[-1].time + 5
    summary = {
        "train_rows": 2790,
        "trained_tokens": total * 2304,
        "train_seconds": total * 2.6,
        "estimated_memory": 16.1 * GB,
        "peak_memory_allocated": 16.4 * GB,
    }
    events += [
        PhaseEvent(time=at, phase=Phase.SAVING_ADAPTER),
        ArtifactEvent(time=at + 1, kind="adapter", path="adapter", size=84_000_000),
        FinishedEvent(
            time=at + 2, status="completed", step=total, message="trained", summary=summary
        ),
    ]
    run = write(workspace, name, events, age=age, settings=(f"training.max_steps={total}",))
    (run.path / "adapter").mkdir()
    run.worker_log.write_text("the worker's own words\n")
    return _keep_checkpoints(run, total - 100, total)


def failed(workspace: Path, name: str = "pale-lynx", *, age: float = 26 * 3600) -> Run:
    """Out of memory at step 51."""
    events = training(age, 51, 300)
    at = events[-1].time + 1
    message = "out of GPU memory at step 51, after three smaller batches"
    events += [
        AlertEvent(time=at, kind="out_of_memory", message=message, step=51),
        FailedEvent(
            time=at + 1,
            error="OutOfMemoryError",
            message=message,
            remedy="lower training.max_seq_length to 1024 (saves about 5.1 GB), "
            "or turn training.gradient_checkpointing on",
            step=51,
        ),
    ]
    settings = (
        "model.model_name=microsoft/Phi-3-mini-4k-instruct",
        "training.max_steps=300",
        "training.gradient_checkpointing=false",
    )
    run = write(workspace, name, events, age=age, settings=settings)
    run.worker_log.write_text("Traceback (most recent call last):\ntorch.OutOfMemoryError: …\n")
    return run


def interrupted(workspace: Path, name: str = "amber-finch", *, age: float = 50 * 3600) -> Run:
    """In the middle of its training, and nobody holds the lock."""
    settings = ("model.model_name=meta-llama/Llama-3.2-1B", "training.max_steps=500")
    run = write(workspace, name, training(age, 230, 500), age=age, settings=settings)
    return _keep_checkpoints(run, 100, 200)


def stopped(workspace: Path, name: str = "calm-otter", *, age: float = 5 * 3600) -> Run:
    """Stopped with a checkpoint at step 150 of 400."""
    events = training(age, 150, 400)
    at = events[-1].time + 1
    events += [
        PhaseEvent(time=at, phase=Phase.STOPPING, detail="saving a checkpoint"),
        CheckpointEvent(time=at + 2, step=150, path="checkpoints/step-000150", size=84_000_000),
        FinishedEvent(time=at + 3, status="stopped", step=150, message="stopped after step 150"),
    ]
    run = write(workspace, name, events, age=age, settings=("training.max_steps=400",))
    return _keep_checkpoints(run, 100, 150)


def queued(workspace: Path, name: str = "early-wren", *, age: float = 60) -> Run:
    """Made, and never started."""
    return write(workspace, name, [], age=age)


@contextmanager
def living(run: Run) -> Iterator[Run]:
    """Hold the run's lock, as its worker does."""
    with RunLock(run.lock):
        yield run


@contextmanager
def live(
    workspace: Path,
    name: str = "quiet-otter",
    *,
    age: float = 18 * 60 + 20,
    last: int = 412,
    total: int = 1200,
) -> Iterator[Run]:
    """Training, at step `last` of `total`. `append(run, steps(…))` makes it go on."""
    settings = (f"training.max_steps={total}",)
    run = write(workspace, name, training(age, last, total), age=age, settings=settings)
    with living(_keep_checkpoints(run, *range(100, last + 1, 100))):
        yield run


@contextmanager
def serving(workspace: Path, name: str = "warm-finch", *, age: float = 190) -> Iterator[Run]:
    """A server that has answered twice; it holds its lock and listens nowhere."""
    config = ServeConfig(model=ServedModel(model_name=LLAMA))
    spec = {"kind": "serve", "config": config.model_dump(mode="json")}
    at = NOW - age
    url = "http://127.0.0.1:8000"
    values = {"requests": 1.0, "tokens_per_second": 31.0, "first_token_p50": 0.21}
    events = [
        PhaseEvent(time=at, phase=Phase.INITIALIZING),
        PhaseEvent(time=at + 1, phase=Phase.LOADING_MODEL, detail=LLAMA),
        ArtifactEvent(time=at + 9, kind="server", path="", detail={"url": url}),
        PhaseEvent(time=at + 9, phase=Phase.SERVING, detail=url),
        MetricsEvent(time=at + 40, step=1, values=values),
        MetricsEvent(time=at + 60, step=2, values=values | {"tokens_per_second": 33.0}),
    ]
    with living(write(workspace, name, events, age=age, spec=spec)) as run:
        yield run


@contextmanager
def loading(workspace: Path, name: str = "swift-ibis", *, age: float = 11) -> Iterator[Run]:
    """Downloading its model, 2 of 5 GB so far."""
    with living(write(workspace, name, setup(NOW - age)[:6], age=age)) as run:
        yield run


@contextmanager
def evaluating(workspace: Path, name: str = "keen-stork") -> Iterator[Run]:
    """In an evaluation after step 250."""
    events = training(700, 250, 600)
    at = events[-1].time + 0.3
    events.append(PhaseEvent(time=at, phase=Phase.EVALUATING, detail="161 rows"))
    events.append(ProgressEvent(time=at + 4, what="evaluate", done=40, total=161, unit="rows"))
    with living(write(workspace, name, events, age=700)) as run:
        yield run


@contextmanager
def resumed(workspace: Path, name: str = "deft-raven") -> Iterator[Run]:
    """Interrupted at step 130, went on from step 100 with another learning rate, is at 140."""
    age = 7200.0
    events = training(age, 130, 400)
    at = NOW - 140
    events += [
        PhaseEvent(time=at, phase=Phase.INITIALIZING),
        ResumedEvent(time=at, step=100, overrides={"training.learning_rate": 5e-5}),
        PhaseEvent(time=at + 1, phase=Phase.LOADING_DATASET, detail="tickets.jsonl"),
        PhaseEvent(time=at + 2, phase=Phase.LOADING_MODEL, detail=LLAMA),
        PhaseEvent(time=at + 10, phase=Phase.TRAINING, detail="400 steps"),
        *steps(101, 140, total=400, end=NOW - 2, seconds=2.6),
    ]
    run = write(workspace, name, events, age=age, settings=("training.max_steps=400",))
    with living(_keep_checkpoints(run, 100)):
        yield run


def many(workspace: Path, count: int) -> list[Run]:
    """`count` short completed runs with names of their own, an hour apart."""
    text: bytes | None = None
    runs = []
    for number in range(count):
        age = 4 * 3600.0 + 3600 * number
        run = write(workspace, f"run-{number:03d}", [], age=age)
        if text is None:
            ended = FinishedEvent(time=NOW - age, status="completed", step=60, message="trained")
            append(run, [*training(age, 60, 60), ended])
            text = run.events.read_bytes()
        run.events.write_bytes(text)
        runs.append(run)
    return runs


def hostile(workspace: Path, name: str = "evil-shrew", *, age: float = 900) -> Run:
    """Failed; every text that a run can hold attacks the terminal, the folder's name too."""
    text = IN_FILES
    at = NOW - age
    metrics: dict[str, float | None] = {"loss": 1.0, text: 2.0, "eval_loss": 1.5}
    events = [
        PhaseEvent(phase=Phase.TRAINING, detail=text),
        ProgressEvent(what=text, done=1, total=4, unit="bytes"),
        MetricsEvent(step=1, values=metrics),
        MetricsEvent(step=2, values=metrics),
        SampleEvent(step=2, prompt=text, output=text, reference=text),
        LogEvent(level="error", message=text),
        AlertEvent(kind=text, message=text),
        CheckpointEvent(step=2, path=f"checkpoints/{text}", size=5),
        ArtifactEvent(kind=text, path=text, size=1, detail={text: text}),
        ResumedEvent(step=2, reason=text, overrides={text: text}),
        FailedEvent(error=text, message=text, remedy=text),
    ]
    timed = [
        msgspec.structs.replace(event, time=at + second)
        for second, event in zip(itertools.count(), events, strict=False)
    ]
    spec = {
        "kind": text,
        "versions": {text: text},
        "host": {"hostname": text},
        "command": ["qtui", text],
        "config": {"model": {"model_name": text}, "data": {"input_path": [text]}, text: {text: 1}},
    }
    run = write(workspace, name, timed, age=age, spec=spec)
    run.worker_log.write_bytes(
        EVERYTHING.encode("utf-8", "surrogatepass")
        + b"\n\x9b31m \xff\x1b[35m raw\x9d52;c;ZQ==\x07\n"
    )
    return run


@contextmanager
def every_state(workspace: Path) -> Iterator[dict[str, Run]]:
    """One run of each state that a list shows, by the state's name."""
    with live(workspace) as training_now, loading(workspace) as loading_now:
        yield {
            "training": training_now,
            "loading_model": loading_now,
            "queued": queued(workspace),
            "completed": finished(workspace),
            "stopped": stopped(workspace),
            "failed": failed(workspace),
            "interrupted": interrupted(workspace),
        }

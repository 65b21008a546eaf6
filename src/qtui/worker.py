"""`python -m qtui.worker RUN`: opens a run's folder, does what its frozen config asks, reports.

One process a run. It holds the run's lock for as long as it lives, takes requests from
`commands.jsonl` and signals, and says everything in `events.jsonl`; front ends see it nowhere
else. Started again on a folder that has events, it goes on where the run was.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import psutil

from qtui.config.load import from_dict
from qtui.config.models import FineTuneConfig
from qtui.config.resumable import merged
from qtui.config.serve import ServeConfig, serve_config
from qtui.errors import (
    EXIT_DONE,
    EXIT_INPUT,
    EXIT_STOPPED,
    ImpossibleError,
    QtuiError,
    StoppedError,
)
from qtui.runs.commands import OVERRIDES, CommandReader
from qtui.runs.events import (
    OUT_OF_MEMORY,
    AlertEvent,
    FailedEvent,
    FinishedEvent,
    LogEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ResumedEvent,
    SampleEvent,
    Scalar,
)
from qtui.runs.folder import SERVE, Run
from qtui.runs.lock import LOCK_FD, RunLock
from qtui.runs.log import EventLog, EventReader
from qtui.runs.reserve import give_room, last_words
from qtui.runs.summary import summarize
from qtui.stages.control import BLOCKED_OVER_EXEC, Control, StopNow

ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "warning",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
}
"""Defaults for libraries that read the environment once, when they are loaded."""


def main(argv: list[str] | None = None) -> int:
    """Work on one run; returns the exit code that the run's end stands for."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m qtui.worker RUN_FOLDER\n")
        return EXIT_INPUT
    environment = dict(os.environ)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    run = Run(Path(arguments[0]).resolve())
    lock = RunLock.adopt(run.lock) or RunLock(run.lock)
    lock.acquire()
    control = Control(CommandReader(run.commands))
    with lock, EventLog(run.events) as log, last_words(run.path):
        try:
            try:
                control.listen()
                return _work(run, log, control)
            except (StopNow, StoppedError):
                control.shield()
                log.write(PhaseEvent(phase=Phase.STOPPING))
                message = "stopped before anything was trained"
                return _finished(log, "stopped", summarize(run).step, message, {})
            except Restarting as restart:
                control.shield()
                if control.stop is not None:
                    step = summarize(run).step
                    return _finished(log, "stopped", step, "stopped as asked, out of memory", {})
                _begin_anew(run, restart, log, lock, environment)
        except QtuiError as error:
            return _failed(run, log, type(error).__name__, error)
        except Exception as error:
            traceback.print_exc()
            first_line = (str(error).splitlines() or [""])[0]
            unforeseen = QtuiError(
                f"{type(error).__name__}: {first_line}",
                remedy="worker.log in the run's folder has the whole traceback",
            )
            return _failed(run, log, type(error).__name__, unforeseen)


class Restarting(BaseException):
    """The run is to go on in a fresh process, with other settings."""

    def __init__(self, reason: str, overrides: dict[str, int]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.overrides = overrides


def _work(run: Run, log: EventLog, control: Control) -> int:
    """Run the stage that the run's kind names."""
    past = _history(run)
    log.write(PhaseEvent(phase=Phase.INITIALIZING))
    spec = run.spec
    if spec.kind == SERVE:
        return _serve(run, serve_config(spec.config), log, control)
    changed = _asked_for(log, run)
    config = from_dict(merged(spec.config, past.overrides | changed))
    _require_train_extra()
    _choose_gpu(config.training.device, log)
    if spec.kind == "prepare":
        return _prepare(run, config, log, control)
    return _train(run, config, log, control, past)


def _train(
    run: Run, config: FineTuneConfig, log: EventLog, control: Control, past: _History
) -> int:
    from qtui.stages.training.journal import Journal
    from qtui.stages.training.recovery import Restart
    from qtui.stages.training.sft import Past, train

    try:
        outcome = train(
            run,
            config,
            Journal(log),
            control,
            past=Past(began=past.began, sampled=past.sampled, restarts=past.restarts),
        )
    except Restart as restart:
        raise Restarting(restart.reason, restart.overrides) from restart
    return _finished(log, outcome.status, outcome.step, outcome.message, outcome.summary)


def _serve(run: Run, config: ServeConfig, log: EventLog, control: Control) -> int:
    from qtui.stages.inference.serve import serve

    _choose_gpu(config.device, log)
    message, summary = serve(run, config, log, control)
    status: Literal["completed", "stopped"] = "stopped" if control.stopped() else "completed"
    return _finished(log, status, 0, message, summary)


def _prepare(run: Run, config: FineTuneConfig, log: EventLog, control: Control) -> int:
    from qtui.stages.training.dry_run import dry_run
    from qtui.stages.training.journal import Journal

    report = dry_run(run, config, Journal(log), control)
    return _finished(log, "completed", 0, "the data was read", report)


@dataclass(frozen=True)
class _History:
    """What the log says of earlier lives of this run."""

    overrides: dict[str, Any]
    """Settings that restarts and resumes have changed."""
    restarts: int
    """How often memory ran out."""
    began: bool
    """Whether anything was measured yet."""
    sampled: bool
    """Whether the base model has answered a held-out prompt."""


def _history(run: Run) -> _History:
    overrides: dict[str, Any] = {}
    restarts = 0
    began = sampled = False
    for event in EventReader(run.events).poll():
        if isinstance(event, ResumedEvent):
            overrides |= event.overrides
            restarts += event.reason == OUT_OF_MEMORY
        began = began or isinstance(event, MetricsEvent | SampleEvent)
        sampled = sampled or (isinstance(event, SampleEvent) and event.step == 0)
    return _History(overrides, restarts, began, sampled)


def _asked_for(log: EventLog, run: Run) -> dict[str, Any]:
    """Settings that `qtui runs resume --set` changes from here on."""
    overrides: dict[str, Any] = json.loads(os.environ.pop(OVERRIDES, "{}"))
    if overrides:
        step = summarize(run).step
        log.write(ResumedEvent(step=step, reason="settings", overrides=overrides))
    return overrides


def _begin_anew(
    run: Run,
    restart: Restarting,
    log: EventLog,
    lock: RunLock,
    environment: dict[str, str],
) -> NoReturn:
    """Say what changes, then replace this process by a fresh one that holds the same lock.

    A new process is the only sure way to give back all GPU memory, fragments included. It gets
    the environment that this one began with, or it would choose among the one GPU chosen here.
    """
    from qtui.stages.training import checkpoints

    last = checkpoints.newest(run.checkpoints)
    step = last[1].step if last else 0
    batch = restart.overrides["training.batch_size"]
    accumulation = restart.overrides["training.gradient_accumulation_steps"]
    sentence = (
        f"out of memory: going on from step {step} with a batch of {batch} and "
        f"{accumulation} accumulation steps (the effective batch stays {batch * accumulation})"
    )
    overrides: dict[str, Any] = dict(restart.overrides)
    log.write(ResumedEvent(step=step, reason=restart.reason, overrides=overrides))
    log.write(AlertEvent(kind=restart.reason, message=sentence, step=step))
    log.write(LogEvent(level="warning", message=sentence))
    log.sync()
    _end_children()
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED_OVER_EXEC)
    lock.keep_over_exec()
    environment[LOCK_FD] = os.environ[LOCK_FD]
    environment.pop(OVERRIDES, None)  # they stand in the log by now
    _close_on_exec(keep={0, 1, 2, lock.fileno})
    command = [sys.executable, "-m", "qtui.worker", str(run.path)]
    os.execve(sys.executable, command, environment)  # noqa: S606


def _end_children() -> None:
    """End what this process started: exec would leave it, and the GPU memory it shares."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, timeout=5)


def _close_on_exec(keep: set[int]) -> None:
    """Mark every other descriptor: a GPU driver's, left open, would keep its memory."""
    folder = Path("/proc/self/fd")
    descriptors = [int(entry.name) for entry in folder.iterdir()] if folder.is_dir() else []
    for descriptor in descriptors:
        if descriptor not in keep:
            with suppress(OSError):  # the descriptor of the listing itself is closed by now
                os.set_inheritable(descriptor, False)


def _choose_gpu(device: str, log: EventLog) -> None:
    """Make one GPU visible to torch: the one asked for, else the one with most free memory."""
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return
    from qtui.system.cuda_choice import choose
    from qtui.system.gpu import read_once

    # CUDA's own order puts the fastest first, which NVML cannot foresee.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    chosen = choose(device, read_once(), os.environ)
    if chosen is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = chosen.visible
        log.write(LogEvent(level="info", message=chosen.sentence))


def _require_train_extra() -> None:
    from importlib.util import find_spec

    missing = [
        name
        for name in ("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets")
        if find_spec(name) is None
    ]
    if missing:
        raise ImpossibleError(
            f"{', '.join(missing)} not installed in this environment",
            remedy="bash scripts/setup.sh in the checkout, or pip install '.[train]', adds them",
        )


def _finished(
    log: EventLog,
    status: Literal["completed", "stopped"],
    step: int,
    message: str,
    summary: dict[str, Scalar],
) -> int:
    log.write(FinishedEvent(status=status, step=step, message=message, summary=summary))
    return EXIT_STOPPED if status == "stopped" else EXIT_DONE


def _failed(run: Run, log: EventLog, name: str, error: QtuiError) -> int:
    event = FailedEvent(
        error=name,
        message=error.message,
        remedy=error.remedy,
        step=summarize(run).step,
        exit_code=error.exit_code,
    )
    give_room(run.path)
    log.write(event)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())

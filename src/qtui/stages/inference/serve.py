"""The stage of a run of kind `serve`: an engine, and the HTTP server in front of it, until the end.

First it is made sure that the server may and can listen; loading the model takes minutes, and what
is wrong about the address is said before. Then the server runs on a thread of its own, and this
one watches: for a stop that was asked for, for an engine that died, for idleness. Every few
seconds in which something was answered the figures go into the run's log.
"""

from __future__ import annotations

import resource
import threading
import time
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from qtui.config.serve import ServeConfig
from qtui.errors import ImpossibleError, QtuiError, StoppedError
from qtui.runs import serving
from qtui.runs.events import (
    ArtifactEvent,
    LogEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
    Scalar,
)
from qtui.runs.folder import Run
from qtui.runs.log import EventLog
from qtui.runs.summary import summarize
from qtui.stages.control import Control, StopNow
from qtui.stages.inference.engine import Engine, GoneError
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from qtui.stages.inference.server.app import Service
    from qtui.stages.inference.server.listening import Listener

_TICK = 0.1
_FIGURES_SECONDS = 5.0
_PROGRESS_SECONDS = 0.5
_LAST_WORDS_SECONDS = 1.0
"""How long clients may hear that the engine has died."""

_FILES = 65_536
"""Open files wanted: each connection is one."""

_PACKAGES = {
    "transformers": (
        ("torch", "transformers", "peft", "bitsandbytes", "llguidance"),
        "train,serve",
    ),
    "llama_cpp": (("llama_cpp", "llguidance", "transformers"), "train,llama,serve"),
    "vllm": (("torch", "transformers", "peft", "bitsandbytes", "llguidance"), "train,serve"),
}
"""What an engine stands on, and the extras that bring it. vLLM itself is a program, which its
engine looks for: it may be installed elsewhere."""


def serve(
    run: Run, config: ServeConfig, log: EventLog, control: Control
) -> tuple[str, dict[str, Scalar]]:
    """Serve until a stop is asked for or nobody has asked for long; message and figures.

    Raises:
        InputError: the address cannot be listened on, a key is needed, or the model, an adapter or
            the template cannot be used.
        ImpossibleError: a package or memory is lacking.
        GoneError: the engine died.
    """
    _require_packages(config)
    from qtui.stages.inference.server.listening import on_port, on_socket

    serving.check_key(config, serving.key())
    listener = on_socket(run.path) if config.socket else on_port(config.host, config.port)
    try:
        model = clean_line(config.model.model_name)
        log.write(PhaseEvent(phase=Phase.LOADING_MODEL, detail=f"loading {model}"))
        try:
            engine = _engine(run, config, log, control)
        except (StopNow, StoppedError):
            control.shield()
            log.write(PhaseEvent(phase=Phase.STOPPING))
            return "stopped while the model was being loaded", {}
        with control.shielded():
            try:
                return serve_with(engine, run, config, log, control, listener)
            finally:
                engine.close()
    finally:
        listener.close()


def _require_packages(config: ServeConfig) -> None:
    needed, extras = _PACKAGES[config.chosen_engine]
    missing = [
        name
        for name in ("fastapi", "uvicorn", "prometheus_client", *needed)
        if find_spec(name) is None
    ]
    if missing:
        raise ImpossibleError(
            f"{', '.join(missing)} not installed in this environment",
            remedy=f"pip install '.[{extras}]' in the checkout adds what serving needs",
        )


def _engine(run: Run, config: ServeConfig, log: EventLog, control: Control) -> Engine:
    """Load the engine that the config comes to."""
    workspace = run.path.parent.parent
    said = 0.0

    def say(sentence: str) -> None:
        log.write(LogEvent(level="info", message=clean_line(sentence)))

    def progress(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if done >= total or now - said >= _PROGRESS_SECONDS:
            said = now
            log.write(ProgressEvent(what="downloading", done=done, total=total, unit="bytes"))

    if config.chosen_engine == "llama_cpp":
        from qtui.stages.inference import gguf_engine

        return gguf_engine.start(config, say)
    if config.chosen_engine == "vllm":
        from qtui.stages.inference import vllm_engine

        return vllm_engine.start(workspace, config, say)
    from qtui.stages.inference import transformers_engine

    return transformers_engine.load(
        workspace, config, say=say, stopped=control.stopped, progress=progress
    )


def serve_with(
    engine: Engine,
    run: Run,
    config: ServeConfig,
    log: EventLog,
    control: Control,
    listener: Listener,
) -> tuple[str, dict[str, Scalar]]:
    """Serve what `engine` answers on `listener`, and watch, until the end; see `serve`."""
    from qtui.stages.inference.server.app import Service
    from qtui.stages.inference.server.doors import doors
    from qtui.stages.inference.server.request_log import NAME, RequestLog
    from qtui.stages.inference.server.running import GRACE_SECONDS, Running

    _allow_connections()
    at = doors(
        config.host,
        unix=config.socket,
        key=serving.key(),
        hosts=config.allowed_hosts,
        origins=config.allowed_origins,
    )
    requests = RequestLog(run.path / NAME)
    service = Service(engine, config, at, requests)
    running = Running(service, listener)
    running.start()
    grace = GRACE_SECONDS
    try:
        _announce(log, listener, len(engine.models()))
        step = summarize(run).step
        ended = _watch(service, running.ended, log, control, step)
        if control.stopped():
            _note(log, PhaseEvent(phase=Phase.STOPPING))
    except GoneError:
        grace = _LAST_WORDS_SECONDS
        raise
    finally:
        running.stop(grace)
        requests.close()
    measures = service.measures
    summary = measures.summary()
    if values := measures.period():
        _note(log, MetricsEvent(step=step + measures.requests, values=values))
    if requests.dropped:
        missing = f"{requests.dropped} lines of {NAME} are missing"
        _note(log, LogEvent(level="warning", message=missing))
    count = measures.requests
    answered = "1 request was" if count == 1 else f"{count:,} requests were"
    return f"{ended}; {answered} answered", summary


def _note(log: EventLog, event: MetricsEvent | LogEvent | PhaseEvent) -> None:
    """Write what nobody's answer depends on: a disk that is full ends no server."""
    with suppress(QtuiError):
        log.write(event)


def _announce(log: EventLog, listener: Listener, models: int) -> None:
    """Say where requests may be sent."""
    detail: dict[str, Scalar] = {"url": listener.url}
    if listener.path is not None:
        detail["socket"] = str(listener.path)
    log.write(ArtifactEvent(kind=serving.SERVER, path="", detail=detail))
    where = listener.url if listener.path is None else clean_line(str(listener.path))
    count = "1 model" if models == 1 else f"{models} models"
    log.write(PhaseEvent(phase=Phase.SERVING, detail=f"{where} · {count}"))


def _watch(
    service: Service, ended: threading.Event, log: EventLog, control: Control, step: int
) -> str:
    """Wait for a reason to end, and return it; figures go into the log meanwhile.

    The step of a metrics event is the number of requests, on top of `step` of the run's earlier
    lives.
    """
    answers, measures = service.answers, service.measures
    idle = service.config.idle_minutes
    written_at = time.monotonic()
    while not control.stopped():
        if ended.wait(_TICK):
            raise QtuiError(
                "the server's thread ended by itself",
                remedy="worker.log in the run's folder says why",
            )
        if trouble := service.engine.trouble():
            raise GoneError(
                f"the engine has died: {trouble}",
                remedy="worker.log in the run's folder has more; qtui runs resume starts it again",
            )
        now = time.monotonic()
        if now - written_at >= _FIGURES_SECONDS:
            written_at = now
            if values := measures.period():
                _note(log, MetricsEvent(step=step + measures.requests, values=values))
        if idle is not None and not answers.busy and now - answers.active > idle * 60:
            return f"nobody has asked for {idle:g} minutes"
    return "stopped as asked"


def _allow_connections() -> None:
    """Lift the limit of open files as far as this user may: a connection is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

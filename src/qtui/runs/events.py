"""Everything that crosses the process boundary: the events of a run's log.

One JSON object a line in `events.jsonl`; `type`, `seq` and `time` come first, then the fields
of that type. The types form one tagged union, decoded with msgspec: a wrong type or a missing
field is an error at the edge, not a surprise on a screen. Unknown types and unknown fields are
the mark of a newer writer; the reader counts them and goes on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

Scalar = str | int | float | bool | None

SettingValue = Scalar | list[str]
"""A value of a setting."""

OUT_OF_MEMORY = "out_of_memory"
"""`ResumedEvent.reason` of a worker that executes itself anew to get all its memory back."""


class Phase(StrEnum):
    """What a living run is doing; the middle of the life-cycle (see `runs.state`)."""

    INITIALIZING = "initializing"
    LOADING_MODEL = "loading_model"
    CONFIGURING_LORA = "configuring_lora"
    LOADING_DATASET = "loading_dataset"
    TRAINING = "training"
    EVALUATING = "evaluating"
    SAVING_ADAPTER = "saving_adapter"
    SERVING = "serving"
    STOPPING = "stopping"


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", gc=False):
    """What every event has. `seq` is contiguous within a log; `time` is Unix time in seconds."""

    seq: int = -1
    time: float = 0.0


class PhaseEvent(Event, frozen=True, kw_only=True, tag="phase"):
    """The run entered `phase`; `detail` says in words what it waits for."""

    phase: Phase
    detail: str = ""


Unit = Literal["steps", "rows", "bytes", "files"]
"""What progress is counted in."""


class ProgressEvent(Event, frozen=True, kw_only=True, tag="progress"):
    """`done` of `total` (0: unknown) units of `what`: steps, rows or bytes."""

    what: str
    done: int
    total: int = 0
    unit: Unit = "steps"


class MetricsEvent(Event, frozen=True, kw_only=True, tag="metrics"):
    """Measured values after optimiser step `step`. A value that is not finite is `None`.

    Names follow the trainer's (`loss`, `eval_loss`, `learning_rate`, `grad_norm`,
    `tokens_per_second`, `trained_tokens`) and `memory_*` in bytes.
    """

    step: int
    values: dict[str, float | None]
    epoch: float | None = None


class SampleEvent(Event, frozen=True, kw_only=True, tag="sample"):
    """What the model answers to a held-out prompt after `step`."""

    step: int
    prompt: str
    output: str
    reference: str = ""


class LogEvent(Event, frozen=True, kw_only=True, tag="log"):
    """A sentence for the reader of the log."""

    level: Literal["debug", "info", "warning", "error"]
    message: str


class AlertEvent(Event, frozen=True, kw_only=True, tag="alert"):
    """Something a person should look at now. `kind` is stable, `message` is for reading."""

    kind: str
    message: str
    step: int | None = None


class CheckpointEvent(Event, frozen=True, kw_only=True, tag="checkpoint"):
    """A checkpoint became complete: its manifest is on disk. `path` is relative to the run."""

    step: int
    path: str
    size: int
    """Bytes on disk."""
    metrics: dict[str, float | None] = {}


class ArtifactEvent(Event, frozen=True, kw_only=True, tag="artifact"):
    """A result was written: `kind` such as `adapter`, `dataset`, `report`; `path` relative."""

    kind: str
    path: str
    size: int = 0
    detail: dict[str, Scalar] = {}


class ResumedEvent(Event, frozen=True, kw_only=True, tag="resumed"):
    """The run goes on from `step`: metrics of later steps written so far are superseded."""

    step: int
    reason: str = ""
    overrides: dict[str, SettingValue] = {}
    """Settings that differ from the frozen config from here on, key (`training.batch_size`) to
    value: what was given at the resume, or the batch after out of memory."""


class FinishedEvent(Event, frozen=True, kw_only=True, tag="finished"):
    """The run ended as wanted; the last event of its log until it is resumed."""

    status: Literal["completed", "stopped"]
    step: int = 0
    message: str = ""
    summary: dict[str, Scalar] = {}


class FailedEvent(Event, frozen=True, kw_only=True, tag="failed"):
    """The run ended by an error: what happened, why, and the next thing to try."""

    error: str
    message: str
    remedy: str = ""
    step: int = 0
    exit_code: int = 1


AnyEvent = (
    PhaseEvent
    | ProgressEvent
    | MetricsEvent
    | SampleEvent
    | LogEvent
    | AlertEvent
    | CheckpointEvent
    | ArtifactEvent
    | ResumedEvent
    | FinishedEvent
    | FailedEvent
)

decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
"""Decodes one line into its event; raises `msgspec.ValidationError` or `msgspec.DecodeError`."""


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="stop"):
    """Asks the worker to end.

    `save`: write a checkpoint first; otherwise what was trained since the last one is discarded.
    """

    save: bool = True
    time: float = 0.0


class SaveNow(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="save"):
    """Asks the worker for a checkpoint at the next step boundary."""

    time: float = 0.0


Command = Stop | SaveNow

command_decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
"""Decodes one line of `commands.jsonl`."""

"""The life-cycle: one enum, one table of moves, and one function that says where a run is.

A state is never stored. It follows from the last phase in the log, from how the log ends, and
from whether the kernel still has a process that holds the run's lock.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from qtui.runs.events import FailedEvent, FinishedEvent, Phase

if TYPE_CHECKING:
    from qtui.runs.folder import Run


class Status(StrEnum):
    """Where a run is. The middle ones are the phases of `events.Phase`, name for name."""

    QUEUED = "queued"
    INITIALIZING = "initializing"
    LOADING_MODEL = "loading_model"
    CONFIGURING_LORA = "configuring_lora"
    LOADING_DATASET = "loading_dataset"
    TRAINING = "training"
    EVALUATING = "evaluating"
    SAVING_ADAPTER = "saving_adapter"
    SERVING = "serving"
    STOPPING = "stopping"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


FINAL = frozenset({Status.COMPLETED, Status.STOPPED, Status.FAILED, Status.INTERRUPTED})
"""No worker is alive, and none will be unless somebody resumes the run."""

RESTART_SECONDS = 2.0
"""How long a lock must stay free before a worker that was executing itself anew counts as gone;
to start Python and take the lock takes it about a third of a second."""

_S = Status
_ENDS = frozenset({_S.STOPPED, _S.FAILED, _S.INTERRUPTED})
# From any phase: asked to stop, ended badly, or started again in place (after out of memory).
_ALWAYS = _ENDS | {_S.STOPPING, _S.INITIALIZING}
# The order of the three depends on the kind of run and on what can be checked first.
_SETUP = frozenset({_S.LOADING_MODEL, _S.CONFIGURING_LORA, _S.LOADING_DATASET})

ALLOWED: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        _S.QUEUED: frozenset({_S.INITIALIZING, _S.STOPPING}) | _ENDS,
        _S.INITIALIZING: (_SETUP | _ALWAYS) - {_S.INITIALIZING},
        _S.LOADING_MODEL: (_SETUP | _ALWAYS | {_S.TRAINING, _S.EVALUATING, _S.SERVING})
        - {_S.LOADING_MODEL},
        _S.CONFIGURING_LORA: (_SETUP | _ALWAYS | {_S.TRAINING, _S.EVALUATING})
        - {_S.CONFIGURING_LORA},
        # A run that only prepares data ends here.
        _S.LOADING_DATASET: (_SETUP | _ALWAYS | {_S.TRAINING, _S.EVALUATING, _S.COMPLETED})
        - {_S.LOADING_DATASET},
        _S.TRAINING: _ALWAYS | {_S.EVALUATING, _S.SAVING_ADAPTER},
        _S.EVALUATING: _ALWAYS | {_S.TRAINING, _S.SAVING_ADAPTER},
        _S.SAVING_ADAPTER: _ALWAYS | {_S.COMPLETED},
        # A server ends when it is stopped, or completes when nobody has asked for long.
        _S.SERVING: _ALWAYS | {_S.COMPLETED},
        _S.STOPPING: _ENDS | {_S.INITIALIZING},
        _S.COMPLETED: frozenset(),
        _S.STOPPED: frozenset({_S.INITIALIZING}),
        _S.FAILED: frozenset({_S.INITIALIZING}),
        _S.INTERRUPTED: frozenset({_S.INITIALIZING}),
    }
)
"""From each status, the statuses that may follow it. A final one with none cannot be resumed."""


def derive(last_phase: Phase | None, end: FinishedEvent | FailedEvent | None, held: bool) -> Status:
    """The status that follows from the log and the lock; defined for every combination.

    `end` is the log's last `finished` or `failed`, or none if a later phase or resume took it
    back. An end that was written counts even while the worker is still leaving.
    """
    if isinstance(end, FinishedEvent):
        return Status(end.status)
    if end is not None:
        return Status.FAILED
    if held:
        return Status(last_phase) if last_phase is not None else Status.INITIALIZING
    return Status.INTERRUPTED if last_phase is not None else Status.QUEUED


def resumable(status: Status) -> bool:
    """Whether a run that is over may be started again."""
    return status in FINAL and Status.INITIALIZING in ALLOWED[status]


def status(run: Run) -> Status:
    """Where `run` is now, from the tail of its log and from its lock."""
    from qtui.runs.lock import is_held
    from qtui.runs.tail import last_words

    # The lock first: a worker that ends between the two looks is then seen by its last words.
    held = is_held(run.lock)
    words = last_words(run.events)
    return derive(words.phase, words.end, held)


def worker_lives(run: Run) -> bool:
    """Whether a worker holds the run's lock; one that is executing itself anew counts.

    Linux before 5.11 drops the lock at the `execv` of a process that has threads, until the new
    program takes it again. So after such a farewell a free lock is believed only when it stays
    free for `RESTART_SECONDS`; in every other case this answers at once.
    """
    from qtui.runs.lock import is_held
    from qtui.runs.tail import last_words

    deadline = time.monotonic() + RESTART_SECONDS
    while not is_held(run.lock):
        if not last_words(run.events).restarting:
            return is_held(run.lock)  # it may have come back between the two looks
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def settled(run: Run) -> Status:
    """`status` for a decision: a worker that is executing itself anew is not `interrupted`."""
    worker_lives(run)
    return status(run)

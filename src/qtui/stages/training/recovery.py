"""What goes wrong in training, and what can be done about it.

Out of memory is answered with half the batch and twice the accumulation: the effective batch, and
with it the computation, stays what it was. Numbers that are not finite end the run before they
reach the weights.
"""

from __future__ import annotations

import torch

from qtui.config.models import ModelConfig, TrainingConfig
from qtui.errors import QtuiError

MAX_RESTARTS = 3


class NonFiniteError(QtuiError):
    """The loss or the gradient is no longer a number."""


class Restart(BaseException):
    """The worker is to begin anew, in a fresh process, with `overrides` in force."""

    def __init__(self, reason: str, overrides: dict[str, int]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.overrides = overrides


class OutOfMemoryError(QtuiError):
    """Memory is not enough, and smaller batches do not help any more."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, CUDA's libraries or the host's allocator ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        sign in text
        for sign in (
            "out of memory",
            "CUBLAS_STATUS_ALLOC_FAILED",
            "can't allocate memory",
            "CUDNN_STATUS_ALLOC_FAILED",
        )
    )


def smaller_batch(training: TrainingConfig) -> dict[str, int] | None:
    """Settings with at most half the batch and the same effective batch; none at a batch of 1.

    The new batch is the largest divisor of the old one that is at most its half.
    """
    batch = training.batch_size
    if batch == 1:
        return None
    half = next(size for size in range(batch // 2, 0, -1) if batch % size == 0)
    overrides = {
        "training.batch_size": half,
        "training.gradient_accumulation_steps": (
            training.gradient_accumulation_steps * (batch // half)
        ),
    }
    if training.eval_batch_size is not None:
        overrides["training.eval_batch_size"] = max(training.eval_batch_size // 2, 1)
    return overrides


def gave_up(
    training: TrainingConfig, restarts: int, gradient_checkpointing: bool, error: BaseException
) -> OutOfMemoryError:
    """The end of it: what was tried, and the next thing to try, by what it saves."""
    tried = f" after {restarts} smaller batches" if restarts else ""
    if not gradient_checkpointing:
        remedy = "qtui runs resume with --set training.gradient_checkpointing=true"
    elif training.max_seq_length > 512:
        remedy = (
            f"start a new run with half the training.max_seq_length (it is "
            f"{training.max_seq_length}); qtui estimate says what that saves"
        )
    else:
        remedy = "take a smaller model, or a GPU with more memory; qtui estimate compares"
    return OutOfMemoryError(
        f"out of memory at a batch of {training.batch_size}{tried}: {_first_line(error)}",
        remedy=remedy,
    )


def does_not_fit(model: ModelConfig, error: BaseException) -> OutOfMemoryError:
    """The model alone is too big: no batch was tried yet."""
    smaller = "a smaller model or a GPU with more memory"
    return OutOfMemoryError(
        f"out of memory while {model.model_name} was loaded: {_first_line(error)}",
        remedy=f"qtui estimate says how much it needs: take {smaller}"
        if model.use_qlora
        else f"set model.use_qlora: true, which needs about a quarter, or take {smaller}",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]

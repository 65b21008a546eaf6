"""The state of every generator that training draws from, to be kept and put back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class RandomState:
    """Python's, numpy's, torch's and, where CUDA is in use, the GPU's generator."""

    python: Any
    numpy: Any
    cpu: torch.Tensor
    cuda: torch.Tensor | None


def capture() -> RandomState:
    """The state now."""
    in_use = torch.cuda.is_available() and torch.cuda.is_initialized()
    return RandomState(
        python=random.getstate(),
        numpy=np.random.get_state(),
        cpu=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state() if in_use else None,
    )


def restore(state: RandomState) -> None:
    """Put `state` back."""
    random.setstate(state.python)
    np.random.set_state(state.numpy)
    torch.set_rng_state(state.cpu)
    if state.cuda is not None:
        torch.cuda.set_rng_state(state.cuda)


@contextmanager
def untouched() -> Iterator[None]:
    """What happens inside takes nothing from the generators.

    Even walking over a data loader does: it draws a seed for workers that it may not have.
    """
    state = capture()
    try:
        yield
    finally:
        restore(state)

"""Bytes of an optimiser's state for the tensors that are trained.

Adam keeps two numbers a parameter, in the parameter's own type (torch) or in 8 bit with a scale
of 4 bytes for every 256 (bitsandbytes, which leaves tensors under 4,096 elements in 32 bit).
Adafactor keeps a row and a column for each matrix (arXiv 1804.04235).
"""

from __future__ import annotations

from collections.abc import Iterable

_SMALLEST_8BIT = 4096


def resolve(optim: str, device: str) -> str:
    """The optimiser that `auto` stands for on `device`."""
    if optim != "auto":
        return optim
    return "paged_adamw_8bit" if device.startswith("cuda") else "adamw_torch_fused"


def state_bytes(optim: str, tensors: Iterable[tuple[int, int]], element: int) -> int:
    """Bytes of state for trained `tensors`, each (rows, columns), of `element` bytes a number."""
    total = 0
    for rows, columns in tensors:
        count = rows * columns
        if optim == "sgd":
            continue
        if optim == "adafactor":
            total += 4 * (rows + columns)
        elif optim.endswith("8bit") and count >= _SMALLEST_8BIT:
            total += 2 * count + 8 * (-(-count // 256))
        elif optim.endswith(("8bit", "32bit")):
            total += 8 * count
        else:
            total += 2 * element * count
    return total


def step_bytes(optim: str, parameters: int, element: int) -> int:
    """Bytes of temporaries while the optimiser steps over `parameters` numbers.

    `adamw_torch` works on all tensors at once and holds an intermediate of their size; the fused
    and the 8-bit ones work in place.
    """
    return parameters * element if optim in ("adamw_torch", "adafactor") else 0

"""The language-model head on a CPU: the loss of trained positions, by torch's own kernels.

TRL's fused head never holds the logits of all positions at once. On a GPU it does that in Triton;
on a CPU its reference code scores every position, trained or not, in a dozen passes over each
tile (a quarter of a training step of the built-in model). Here the same numbers come from
`torch.nn.functional.cross_entropy`, chunk by chunk, and where there is more than a little of them
each chunk's logits are computed again in the backward pass: four to five times as fast, and no
more memory.
"""

from __future__ import annotations

from typing import Any

import torch
import trl.trainer.utils as trl_utils
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from trl.kernels.chunked_logprob import ChunkedLogProbFunction

CHUNK = 1024
"""Positions scored at once: 0.5 GB of float32 logits at a vocabulary of 128,000."""

KEPT = 2**23
"""Logits that are kept for the backward pass rather than computed again: 32 MB in float32."""

LOG_PROBS = ("log_probs",)


class ChunkedLogProbs:
    """Takes the place of TRL's `ChunkedLogProbFunction`; only log-probabilities on a CPU differ."""

    @staticmethod
    def apply(
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
        chunk_size: int,
        softcap: float | None,
        scale: float,
        outputs: tuple[str, ...],
    ) -> tuple[torch.Tensor | None, ...]:
        """Log-probabilities of `targets`.

        Args:
            hidden: last hidden states, (positions, hidden size).
            weight: the head, (vocabulary, hidden size).
            targets: token ids, (positions,).
        """
        if hidden.device.type != "cpu" or outputs != LOG_PROBS:
            fused: tuple[torch.Tensor | None, ...] = ChunkedLogProbFunction.apply(
                hidden, weight, bias, targets, temperature, chunk_size, softcap, scale, outputs
            )
            return fused

        def score(part: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
            logits = functional.linear(part, weight.to(part.dtype), bias).float()
            # A factor of one is a pass over all logits for nothing.
            if scale != 1:
                logits = logits * scale
            if softcap is not None:
                logits = softcap * torch.tanh(logits / softcap)
            if temperature != 1:
                logits = logits / temperature
            return -functional.cross_entropy(logits, wanted, reduction="none")

        if len(targets) * len(weight) <= KEPT:
            return score(hidden, targets), None, None, None, None
        scored: list[Any] = [
            checkpoint(score, part, wanted, use_reentrant=False, preserve_rng_state=False)
            for part, wanted in zip(hidden.split(CHUNK), targets.split(CHUNK), strict=True)
        ]
        return torch.cat(scored), None, None, None, None


def install() -> None:
    """Make TRL's fused head score trained positions only, here as on a GPU."""
    trl_utils._ChunkedLogProbFunction = ChunkedLogProbs
    trl_utils._use_triton = lambda device: device.type in ("cpu", "cuda", "xpu")

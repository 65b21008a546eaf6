"""One answer at a time, for models whose rows cannot be told apart in a batch that changes.

Models that carry a state from token to token, and others that keep more than keys and values, are
asked as transformers' own `generate` asks them: with the cache that the model makes for itself.
`choose` says which way a loaded model goes: first by what its cache holds, then by trying whether
three short rows together give what each gives alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from qtui.stages.inference.batch import Forward, Rows
from qtui.stages.inference.kv_cache import is_plain
from qtui.stages.training.recovery import is_out_of_memory
from qtui.terminal import clean_line

TOLERANCE = 0.1
"""How far a row's logits may lie from those of the row alone, as a share of their length. In
bfloat16 rounding makes 0.01 of it; a row that sees another one, 0.3 and more."""

_LENGTHS = (24, 9, 17)


class Solo:
    """A batch of one row; see `batch.Rows` for what the methods do."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.lengths: list[int] = []
        self._ids = torch.empty((1, 0), dtype=torch.long)
        self._kept: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.lengths)

    def reading(self, prompts: Sequence[Sequence[int]], piece: int) -> Iterator[torch.Tensor]:
        """Reads the one prompt whole, whatever `piece` says: a state has no place to pause at."""
        (prompt,) = prompts
        self.lengths = [len(prompt)]
        self._ids = torch.tensor([list(prompt)], device=self._model.device)
        self._kept = {"use_cache": True, "attention_mask": torch.ones_like(self._ids)}
        yield self._forward(is_first_iteration=True)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        self._ids = torch.cat([self._ids, tokens[:, None]], dim=1)
        self.lengths = [self.lengths[0] + 1]
        return self._forward(next_sequence_length=1)

    def _forward(self, **how: Any) -> torch.Tensor:
        inputs = self._model.prepare_inputs_for_generation(self._ids, **how, **self._kept)
        outputs = self._model(**inputs, return_dict=True)
        self._kept = self._model._update_model_kwargs_for_generation(outputs, self._kept)
        logits: torch.Tensor = outputs.logits
        return logits[:, -1]

    def keep(self, rows: Sequence[int]) -> None:
        if not rows:
            self.lengths, self._kept = [], {}

    def join(self, other: Solo) -> None:
        self.lengths, self._ids, self._kept = other.lengths, other._ids, other._kept


def choose(
    model: Any, say: Callable[[str], None]
) -> tuple[Callable[[], Rows] | Callable[[], Solo], bool]:
    """What makes a batch for this model, and whether it may have more than one row."""
    why = _why_alone(model)
    if why is None:
        forward = Forward(model)
        return lambda: Rows(forward), True
    say(f"one request is answered at a time: {why}")
    return lambda: Solo(model), False


def _why_alone(model: Any) -> str | None:
    if not is_plain(model.config):
        return "the model keeps a state, which rows of a batch cannot share"
    try:
        error = crossing(model)
    except Exception as failure:
        if is_out_of_memory(failure):
            raise
        reason = (str(failure).splitlines() or [""])[0]
        return f"rows cannot be computed together ({clean_line(reason, 200)})"
    if error > TOLERANCE:
        return f"rows that are computed together change its answers by {error:.0%}"
    return None


def crossing(model: Any) -> float:
    """How far logits of three short rows together lie from those of each alone, at the most.

    Compared are those behind the prompts and behind one more token.
    """
    forward = Forward(model)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    rows = [
        ((torch.arange(length) * 7919 + 31 * length) % vocabulary).tolist() for length in _LENGTHS
    ]
    next_tokens = torch.tensor([1, 2, 3], device=forward.device)
    with torch.inference_mode():
        together = _two(Rows(forward), rows, next_tokens)
        worst = 0.0
        for at, row in enumerate(rows):
            alone = _two(Rows(forward), [row], next_tokens[at : at + 1])
            for ours, theirs in zip(together, alone, strict=True):
                apart = (ours[at] - theirs[0]).norm() / theirs[0].norm()
                worst = max(worst, float(apart))
    return worst


def _two(rows: Rows, prompts: list[list[int]], tokens: torch.Tensor) -> list[torch.Tensor]:
    return [rows.read(prompts, 512).float(), rows.step(tokens).float()]

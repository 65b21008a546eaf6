"""Which token comes next, for all rows of a batch at once, each with settings of its own.

The order is transformers': repetition penalty, the grammar's mask, temperature, top-k, top-p,
min-p; what is left of the vocabulary is what its `generate` leaves with the same settings. A
batch in which every row is greedy takes one argmax.

A token is drawn with one uniform number a row and step, from the row's own generator: so a seed
gives the same answer whatever else is in the batch, on any device. Top-k and top-p look at the
best `CANDIDATES` tokens, and at more only where these are not enough: sorting a vocabulary of
150,000 would take longer than a small model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from qtui.stages.inference.engine import Sampling
from qtui.stages.inference.grammar import Grammar

CANDIDATES = 256
_ALMOST_ONE = 1 - 1e-9
_COLDEST = 1e-5
"""Temperatures below are greedy: dividing by them would leave the range of floats."""


@dataclass
class Drawn:
    """How one row's tokens are drawn."""

    sampling: Sampling
    seen: list[int]
    """Tokens of the prompt and of the answer so far."""
    grammar: Grammar | None = None
    generator: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        seed = self.sampling.seed
        self.generator = np.random.default_rng(None if seed is None else seed % 2**64)

    @property
    def greedy(self) -> bool:
        return self.sampling.temperature < _COLDEST


class Sampler:
    """Chooses for the rows it was made for, in their order; made anew when they change."""

    def __init__(self, rows: Sequence[Drawn], vocabulary: int, device: torch.device) -> None:
        self._rows = rows
        self._device = device
        penalties = [row.sampling.repetition_penalty for row in rows]
        self._penalty: torch.Tensor | None = None
        if any(penalty != 1 for penalty in penalties):
            self._penalty = self._column(penalties)
            self._seen = torch.zeros((len(rows), vocabulary), dtype=torch.bool, device=device)
            for at, row in enumerate(rows):
                self._seen[at, torch.tensor(row.seen, dtype=torch.long, device=device)] = True
        self._masked = [at for at, row in enumerate(rows) if row.grammar is not None]
        drawn = [at for at, row in enumerate(rows) if not row.greedy]
        cut = [at for at in drawn if _is_cut(rows[at].sampling)]
        whole = [at for at in drawn if not _is_cut(rows[at].sampling)]
        self._cut = _Group(rows, cut, device) if cut else None
        self._whole = _Group(rows, whole, device) if whole else None

    def choose(self, logits: torch.Tensor) -> torch.Tensor:
        """The next token of each row, (rows,), from `logits`, (rows, vocabulary)."""
        scores = self.scores(logits)
        chosen = scores.argmax(dim=-1)
        if self._whole is not None:
            self._whole.draw_from_all(scores, chosen)
        if self._cut is not None:
            self._cut.draw_from_best(scores, chosen)
        if self._penalty is not None:
            self._seen.scatter_(1, chosen[:, None], True)
        return chosen

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits after what also greedy rows obey: the penalty, and the grammar's mask."""
        if self._penalty is None and not self._masked:
            return logits
        scores = logits.float()
        if self._penalty is not None:
            punished = torch.where(scores < 0, scores * self._penalty, scores / self._penalty)
            scores = torch.where(self._seen, punished, scores)
        if self._masked:
            scores = scores.clone()
        for at in self._masked:
            grammar = self._rows[at].grammar
            assert grammar is not None
            allowed = grammar.allowed(scores.shape[1]).to(self._device)
            scores[at].masked_fill_(~allowed, -torch.inf)
        return scores

    def _column(self, values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self._device)[:, None]


def _is_cut(sampling: Sampling) -> bool:
    return sampling.top_k > 0 or sampling.top_p < 1


class _Group:
    """Some of the rows: their settings as columns, (rows, 1)."""

    def __init__(self, rows: Sequence[Drawn], at: list[int], device: torch.device) -> None:
        self._generators = [rows[row].generator for row in at]
        self._index = torch.tensor(at, device=device)
        self._all = len(at) == len(rows)
        settings = [rows[row].sampling for row in at]

        def column(values: list[float]) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)[:, None]

        self._temperature = column([each.temperature for each in settings])
        # 1 cuts nothing, though a sum of all weights may come to it before the last.
        self._top_p = column([each.top_p if each.top_p < 1 else math.inf for each in settings])
        self._min_p = column([each.min_p for each in settings])
        self._has_min_p = any(each.min_p > 0 for each in settings)
        # 0, all of them, is more than any vocabulary has.
        sizes = [each.top_k or 2**31 for each in settings]
        self._top_k = torch.tensor(sizes, dtype=torch.long, device=device)[:, None]
        self._largest = max((each.top_k for each in settings), default=0)

    def _hot(self, scores: torch.Tensor) -> torch.Tensor:
        own = scores if self._all else scores.index_select(0, self._index)
        return own.float() / self._temperature

    def draw_from_all(self, scores: torch.Tensor, chosen: torch.Tensor) -> None:
        """Draw from the whole vocabulary, into `chosen`."""
        weights = torch.softmax(self._hot(scores), dim=-1)
        if self._has_min_p:
            least = self._min_p * weights.amax(dim=-1, keepdim=True)
            weights = weights.masked_fill(weights < least, 0)
        chosen[self._index] = self._draw(weights)

    def draw_from_best(self, scores: torch.Tensor, chosen: torch.Tensor) -> None:
        """Draw from what top-k, top-p and min-p leave, into `chosen`."""
        weights, tokens = self.best(self._hot(scores))
        chosen[self._index] = tokens.gather(1, self._draw(weights)[:, None])[:, 0]

    def best(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (0 for what is cut off) and tokens, best first, (rows, candidates)."""
        vocabulary = scores.shape[1]
        total = scores.logsumexp(dim=-1, keepdim=True)
        # Twice the k: tokens as good as the k-th one are kept with it.
        size = min(max(CANDIDATES, 2 * self._largest), vocabulary)
        while True:
            values, tokens = scores.topk(size, dim=-1)
            last = values.gather(1, (self._top_k - 1).clamp(max=size - 1))
            weights = (values - total).exp()
            limited = self._top_k <= size
            weights = weights.masked_fill(limited & (values < last), 0)
            whole = torch.where(limited, weights.sum(dim=-1, keepdim=True), 1.0)
            weights = weights / whole
            reached = weights.cumsum(dim=-1)
            if size == vocabulary or bool((limited | (reached[:, -1:] >= self._top_p)).all()):
                break
            size = min(size * 8, vocabulary)
        cut = reached - weights >= self._top_p
        if self._has_min_p:
            cut |= weights < self._min_p * weights[:, :1]
        cut[:, 0] = False
        return weights.masked_fill(cut, 0), tokens

    def _draw(self, weights: torch.Tensor) -> torch.Tensor:
        """An index for each row, (rows,), as likely as its weight in (rows, choices)."""
        reached = weights.double().cumsum(dim=-1)
        numbers = [min(generator.random(), _ALMOST_ONE) for generator in self._generators]
        uniform = torch.tensor(numbers, dtype=torch.float64, device=weights.device)[:, None]
        found = torch.searchsorted(reached, uniform * reached[:, -1:], right=True)
        return found[:, 0].clamp(max=weights.shape[1] - 1)

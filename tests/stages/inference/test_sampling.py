"""The draw, held against transformers' own processors and against what was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from qtui.stages.inference import sampling
from qtui.stages.inference.engine import Sampling
from qtui.stages.inference.sampling import Drawn, Sampler

pytestmark = pytest.mark.train

VOCABULARY = 1200
CPU = torch.device("cpu")

settings = st.builds(
    Sampling,
    temperature=st.floats(0.05, 3),
    top_k=st.sampled_from([0, 1, 2, 7, 40, 700, 5000]),
    top_p=st.sampled_from([1.0, 0.0001, 0.3, 0.9, 0.999]),
    min_p=st.sampled_from([0.0, 0.02, 0.3]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.8]),
)


def scores(seed: int, rows: int = 1, spread: float = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((rows, VOCABULARY), generator=generator) * spread


def left_by_transformers(row: torch.Tensor, wanted: Sampling, seen: list[int]) -> torch.Tensor:
    """Probabilities after transformers' processors, in the order of its `generate`."""
    ids = torch.tensor([seen])
    result = row[None].clone()
    if wanted.repetition_penalty != 1:
        result = RepetitionPenaltyLogitsProcessor(wanted.repetition_penalty)(ids, result)
    result = TemperatureLogitsWarper(wanted.temperature)(ids, result)
    if wanted.top_k:
        result = TopKLogitsWarper(wanted.top_k)(ids, result)
    if wanted.top_p < 1:
        result = TopPLogitsWarper(wanted.top_p)(ids, result)
    if wanted.min_p:
        result = MinPLogitsWarper(wanted.min_p)(ids, result)
    return result.softmax(dim=-1)[0]


def distribution(
    row: torch.Tensor, wanted: Sampling, seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> torch.Tensor:
    """Probabilities that the sampler draws by."""
    drawn: list[torch.Tensor] = []
    own = sampling._Group._draw

    def spy(group: Any, weights: torch.Tensor) -> torch.Tensor:
        drawn.append(weights[0] / weights[0].sum())
        return own(group, weights)

    tokens = torch.arange(VOCABULARY)
    best = sampling._Group.best

    def remember(group: Any, values: torch.Tensor) -> Any:
        nonlocal tokens
        weights, found = best(group, values)
        tokens = found[0]
        return weights, found

    with monkeypatch.context() as patched:
        patched.setattr(sampling._Group, "_draw", spy)
        patched.setattr(sampling._Group, "best", remember)
        Sampler([Drawn(wanted, list(seen))], VOCABULARY, CPU).choose(row[None])
    return torch.zeros(VOCABULARY).scatter_(0, tokens, drawn[0])


@given(st.integers(0, 10**6), settings, st.sampled_from([0.2, 1, 8]))
def test_what_is_drawn_from_is_what_generate_draws_from(
    seed: int, wanted: Sampling, spread: float
) -> None:
    row = scores(seed, spread=spread)[0]
    seen = [seed % VOCABULARY, 5, 7, 7]
    ours = distribution(row, wanted, seen, pytest.MonkeyPatch())
    theirs = left_by_transformers(row, wanted, seen)
    # At its very border top-p depends on rounding: there one token more or less is right.
    differ = ((ours > 0) != (theirs > 0)) & (ours.maximum(theirs) > 1e-30)
    if differ.any():
        assert 0 < wanted.top_p < 1
        assert int(differ.sum()) == 1
        assert float((ours - theirs).abs().max()) < 2e-2
    else:
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=2e-3)


def test_tokens_come_as_often_as_they_should() -> None:
    row = scores(3, spread=1)[0][:50].repeat(1)
    full = torch.full((VOCABULARY,), -torch.inf)
    full[:50] = row
    wanted = Sampling(temperature=0.8, top_p=0.9)
    count = 4000
    rows = [Drawn(Sampling(temperature=0.8, top_p=0.9, seed=at), [1]) for at in range(count)]
    chosen = Sampler(rows, VOCABULARY, CPU).choose(full.expand(count, -1))
    found = torch.bincount(chosen, minlength=VOCABULARY) / count
    expected = left_by_transformers(full, wanted, [1])
    assert float((found - expected).abs().max()) < 0.03
    assert not (found[expected == 0] > 0).any()


def test_a_seed_gives_the_same_whatever_is_beside_it() -> None:
    mine = Sampling(temperature=1.0, top_p=0.95, seed=-7)
    logits = scores(1, rows=6)

    def answer(at: int, others: int) -> list[int]:
        drawn = Drawn(mine, [1])
        chosen = []
        for step in range(5):
            other = [
                Drawn(Sampling(temperature=1.0, seed=step if at else None), [1])
                for _ in range(others)
            ]
            other.insert(at, drawn)
            rows = torch.stack([logits[step]] * len(other))
            chosen.append(int(Sampler(other, VOCABULARY, CPU).choose(rows)[at]))
        return chosen

    alone = answer(0, 0)
    assert answer(0, 3) == alone
    assert answer(2, 3) == alone
    assert len(set(alone)) > 1


def test_greedy_and_drawn_rows_of_a_batch_do_not_touch_each_other() -> None:
    logits = scores(9, rows=4)
    rows = [
        Drawn(Sampling(temperature=0), [1]),
        Drawn(Sampling(temperature=1, seed=1), [1]),
        Drawn(Sampling(temperature=0, repetition_penalty=5), [int(logits[2].argmax())]),
        Drawn(Sampling(temperature=2, top_k=1), [1]),
    ]
    chosen = Sampler(rows, VOCABULARY, CPU).choose(logits).tolist()
    assert chosen[0] == int(logits[0].argmax())
    assert chosen[2] != int(logits[2].argmax())
    assert chosen[3] == int(logits[3].argmax())


def test_a_penalty_counts_what_was_drawn_since() -> None:
    row = torch.zeros((1, VOCABULARY))
    row[0, 4] = 2.0
    row[0, 5] = 1.9
    sampler = Sampler([Drawn(Sampling(temperature=0, repetition_penalty=2), [1])], VOCABULARY, CPU)
    assert [int(sampler.choose(row)) for _ in range(2)] == [4, 5]


def test_a_draw_at_the_very_end_stays_among_what_is_left() -> None:
    class Last:
        def random(self) -> float:
            return float(np.nextafter(1, 0))

    drawn = Drawn(Sampling(temperature=1, top_k=3), [1])
    drawn.generator = Last()  # type: ignore[assignment]
    logits = scores(2)
    chosen = int(Sampler([drawn], VOCABULARY, CPU).choose(logits))
    assert chosen in logits[0].topk(3).indices.tolist()

"""Every row of a batch that others join and leave gets what it gets alone from `generate`."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig

from qtui.stages.inference.batch import Forward, Rows
from tests.stages.training.micro import SIZE

pytestmark = pytest.mark.train

WINDOW = 16


def make(config: Any) -> Any:
    """A random model that repeats itself little: its weights are larger than usual."""
    torch.manual_seed(5)
    config.initializer_range = 0.2
    model = AutoModelForCausalLM.from_config(config).float().eval()
    model.generation_config.eos_token_id = None
    return model


@pytest.fixture(scope="module")
def llama() -> Any:
    return make(LlamaConfig(**SIZE))


@pytest.fixture(scope="module")
def sliding() -> Any:
    return make(MistralConfig(**SIZE, sliding_window=WINDOW))


def alone(model: Any, prompt: list[int], count: int) -> list[int]:
    """What transformers' own `generate` says to one prompt."""
    ids = torch.tensor([prompt])
    with torch.no_grad():
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            do_sample=False,
        )
    return out[0, len(prompt) :].tolist()


def together(model: Any, seed: int, rows: int = 9, piece: int = 7) -> None:
    """A random schedule of rows that come and go; every one of their tokens is compared."""
    chance = random.Random(seed)
    forward = Forward(model)
    waiting = [
        (
            [chance.randrange(5, 288) for _ in range(chance.randrange(1, 40))],
            chance.randrange(1, 30),
        )
        for _ in range(rows)
    ]
    wanted = {at: alone(model, prompt, count) for at, (prompt, count) in enumerate(waiting)}
    got: dict[int, list[int]] = {at: [] for at in wanted}
    queue = list(wanted)
    batch, running = Rows(forward), []
    tokens = torch.empty(0, dtype=torch.long)
    with torch.inference_mode():
        while queue or running:
            if queue and chance.random() < 0.4:
                new = [queue.pop(0) for _ in range(min(chance.randrange(1, 4), len(queue)))]
                part = Rows(forward)
                logits = part.read([waiting[at][0] for at in new], piece)
                batch.join(part)
                running += new
                first = logits.argmax(-1)
                for at, token in zip(new, first.tolist(), strict=True):
                    got[at].append(token)
                tokens = torch.cat([tokens, first])
            kept = [row for row, at in enumerate(running) if len(got[at]) < waiting[at][1]]
            if len(kept) < len(running):
                batch.keep(kept)
                tokens = tokens[kept]
                running = [running[row] for row in kept]
            if running:
                tokens = batch.step(tokens).argmax(-1)
                for at, token in zip(running, tokens.tolist(), strict=True):
                    got[at].append(token)
    assert got == wanted


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_come_and_go_answer_as_alone(llama: Any, seed: int) -> None:
    together(llama, seed)


@pytest.mark.parametrize("seed", range(4))
def test_a_sliding_window_looks_back_from_each_rows_own_place(sliding: Any, seed: int) -> None:
    together(sliding, seed)


def test_a_row_alone_needs_no_mask(llama: Any) -> None:
    rows = Rows(Forward(llama))
    rows.read([[5, 6, 7]], 64)
    assert rows._mask is None
    rows.step(torch.tensor([8]))
    assert rows._mask is None


def test_a_step_that_fails_leaves_the_rows_as_they_were(llama: Any) -> None:
    forward = Forward(llama)
    prompts = [[5, 6, 7, 8, 9, 10], [11, 12, 13]]
    rows, same = Rows(forward), Rows(forward)
    with torch.inference_mode():
        tokens = rows.read(prompts, 64).argmax(-1)
        same.read(prompts, 64)

        def fail(*_: Any) -> None:
            raise torch.OutOfMemoryError("none left")

        hook = llama.model.layers[1].register_forward_pre_hook(fail)
        with pytest.raises(torch.OutOfMemoryError):
            rows.step(tokens)  # the first layer has its column by now
        hook.remove()
        for _ in range(3):
            here, there = rows.step(tokens), same.step(tokens)
            torch.testing.assert_close(here, there)
            tokens = here.argmax(-1)


def test_a_join_that_fails_leaves_the_rows_as_they_were(
    llama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtui.stages.inference import kv_cache

    forward = Forward(llama)
    rows, same, part = Rows(forward), Rows(forward), Rows(forward)
    with torch.inference_mode():
        tokens = rows.read([[5, 6, 7], [8, 9]], 64).argmax(-1)
        same.read([[5, 6, 7], [8, 9]], 64)
        part.read([[20] * 30], 64)
        own, calls = kv_cache.Layer.join, []

        def second_fails(layer: Any, *arguments: Any) -> None:
            calls.append(layer)
            if len(calls) == 2:
                raise torch.OutOfMemoryError("none left")
            own(layer, *arguments)

        monkeypatch.setattr(kv_cache.Layer, "join", second_fails)
        with pytest.raises(torch.OutOfMemoryError):
            rows.join(part)
        monkeypatch.undo()
        assert rows.lengths == [3, 2]
        torch.testing.assert_close(rows.step(tokens), same.step(tokens))


def test_the_reference_is_not_always_the_same_token(llama: Any) -> None:
    """Else the tests above could not fail."""
    assert len(set(alone(llama, [5, 6, 7], 30))) > 5

"""What the model answers while it learns: the same as when asked alone, and never in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qtui.config.models import ModelConfig

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def loaded(micro_model: Path) -> tuple[Any, Any]:
    from qtui.stages.training import models
    from qtui.stages.training.arguments import Machine

    config = ModelConfig(model_name=str(micro_model), use_qlora=False, dtype="float32")
    model = models.load_model(micro_model, config, Machine("cpu", bfloat16=True))
    # A random model repeats itself at once; make what it says depend on what it was asked.
    import torch

    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model, models.load_tokenizer(micro_model, config)


def ask(loaded: tuple[Any, Any], questions: list[str], **more: Any) -> list[str]:
    from qtui.stages.training.samples import Prompt, answer

    model, tokenizer = loaded
    prompts = [Prompt(({"role": "user", "content": text},), "reference") for text in questions]
    arguments = {
        "max_new_tokens": 12,
        "max_prompt_tokens": 100,
        "chat_template": None,
        "stopped": lambda: False,
    } | more
    return [text for _, text in answer(model, tokenizer, prompts, **arguments)]


def test_a_batch_answers_as_one_by_one(loaded: tuple[Any, Any]) -> None:
    questions = ["a", "a much longer question than the first", "b c d"]
    together = ask(loaded, questions)
    alone = [ask(loaded, [question])[0] for question in questions]
    assert together == alone
    assert len(set(together)) > 1


def test_greedy_answers_repeat_and_leave_no_trace(loaded: tuple[Any, Any]) -> None:
    import torch

    model, _ = loaded
    model.train()
    state = torch.get_rng_state()
    assert ask(loaded, ["again"]) == ask(loaded, ["again"])
    assert torch.equal(state, torch.get_rng_state())
    assert model.training


def test_a_stop_ends_it_between_two_tokens(loaded: tuple[Any, Any]) -> None:
    asked: list[int] = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) > 4

    assert ask(loaded, ["a long answer"], max_new_tokens=400, stopped=stopped) == []
    assert len(asked) < 20


def test_prompts_that_are_too_long_are_left_out(loaded: tuple[Any, Any]) -> None:
    assert len(ask(loaded, ["short", "x" * 200])) == 1


def test_short_memory_is_met_one_by_one(
    loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    model, _ = loaded
    alone = [ask(loaded, [question])[0] for question in ("a", "b")]
    generate = model.generate

    def starved(*, input_ids: Any, **more: Any) -> Any:
        if len(input_ids) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(input_ids=input_ids, **more)

    monkeypatch.setattr(model, "generate", starved)
    assert ask(loaded, ["a", "b"]) == alone

    def hopeless(**_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model, "generate", hopeless)
    assert ask(loaded, ["a", "b"]) == []


def test_no_prompts_no_answers(loaded: tuple[Any, Any]) -> None:
    assert ask(loaded, []) == []

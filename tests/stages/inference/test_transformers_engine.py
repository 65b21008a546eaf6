"""The whole engine on small models: jobs in, reports out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from qtui.stages.inference import transformers_engine
from qtui.stages.inference.engine import Began, Ended, Job, Piece, RefusedError, Sampling
from tests.stages.inference.engines import Heard, ask, config

pytestmark = pytest.mark.train

QUESTION = [{"role": "user", "content": "Create a session for 10.0.0.1 and tell me about it."}]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The built-in model in float32."""
    made = transformers_engine.load(
        tmp_path_factory.mktemp("workspace"),
        config("builtin:tiny", max_concurrent=4),
        say=lambda sentence: None,
    )
    yield made
    made.close()


def generated(engine: Any, prompt: str, count: int) -> str:
    """The same by `generate`, on the very model."""
    tokenizer = engine._loaded.tokenizer
    ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        out = engine._loaded.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False
        )
    text: str = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
    return text


def test_an_answer_is_what_generate_gives(engine: Any) -> None:
    heard = ask(engine, QUESTION, max_tokens=40).wait()
    assert heard.began.prompt.endswith("about it.<|end|><|assistant|>")
    assert heard.text == generated(engine, heard.began.prompt, 40)
    assert [type(report) for report in heard.reports[:2]] == [Began, Piece]
    assert heard.tokens == heard.ended.completion_tokens <= 40
    assert heard.ended.prompt_tokens == heard.began.prompt_tokens


def test_many_at_once_answer_as_one_by_one(engine: Any) -> None:
    prompts = [f"{'word ' * (number % 5)}Number {number} is" for number in range(9)]
    heard = [ask(engine, prompt, max_tokens=5 + 3 * at) for at, prompt in enumerate(prompts)]
    for at, (each, prompt) in enumerate(zip(heard, prompts, strict=True)):
        assert each.wait().text == generated(engine, each.began.prompt, 5 + 3 * at), prompt


def test_length_and_stop_are_told_apart(engine: Any) -> None:
    assert ask(engine, "The", max_tokens=3).wait().ended == Ended(
        "length", len(engine._loaded.tokenizer("The")["input_ids"]), 3
    )
    assert ask(engine, QUESTION).wait().ended.reason == "stop"


def test_a_stop_string_ends_the_answer_before_itself(engine: Any) -> None:
    whole = ask(engine, QUESTION, max_tokens=30).wait().text
    stop = whole[8:13]
    heard = ask(engine, QUESTION, max_tokens=30, stop=(stop,)).wait()
    assert heard.text == whole[: whole.index(stop)]
    assert heard.ended.reason == "stop"


def test_a_cancelled_answer_ends_and_its_place_is_free(engine: Any) -> None:
    heard = Heard()
    job = Job("builtin:tiny", "Once", Sampling(temperature=0, ignore_eos=True))
    ticket = engine.submit(job, heard)
    heard.wait_for(lambda: len(heard.reports) > 3)
    ticket.cancel()
    assert heard.wait().ended.reason == "cancelled"
    others = [ask(engine, "The", max_tokens=2) for _ in range(4)]
    assert all(other.wait().ended.reason == "length" for other in others)


def test_a_prompt_longer_than_the_context_is_refused(engine: Any) -> None:
    with pytest.raises(RefusedError, match="context is 1,024 tokens") as refused:
        ask(engine, "word " * 3000)
    assert refused.value.code == "context_length_exceeded"


def test_a_model_that_nobody_serves_is_refused(engine: Any) -> None:
    with pytest.raises(RefusedError) as refused:
        ask(engine, "The", model="gpt-4")
    assert refused.value.status == 404


def test_closing_ends_what_is_under_way(tmp_path: Path) -> None:
    made = transformers_engine.load(tmp_path, config("builtin:tiny"), say=lambda sentence: None)
    heard = ask(made, "The", ignore_eos=True)
    heard.wait_for(lambda: len(heard.reports) > 2)
    made.close()
    assert heard.ended.reason == "cancelled"

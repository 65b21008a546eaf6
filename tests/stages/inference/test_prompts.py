"""Prompts by the model's own template; a template that misbehaves hurts one request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from qtui import builtin
from qtui.errors import NotFoundError
from qtui.stages.inference import prompts
from qtui.stages.inference.engine import Job, RefusedError
from qtui.stages.inference.prompts import Prompts, TurnEnd, template_in
from qtui.stages.inference.template_process import (
    Conversation,
    TemplateError,
    TemplateProcess,
)
from tests.stages.training.micro import make_model

pytestmark = pytest.mark.train

HELLO = ({"role": "user", "content": "hello"},)
LOOPS = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"
GROWS = "{% set x = 'abcdefgh' * 2000000000 %}{{ x }}"


@pytest.fixture(scope="module")
def process() -> Iterator[TemplateProcess]:
    made = TemplateProcess(seconds=2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def tiny() -> Any:
    return AutoTokenizer.from_pretrained(builtin.model_path("tiny"))


@pytest.fixture
def made(process: TemplateProcess, tiny: Any) -> Prompts:
    return Prompts(tiny, process)


def test_messages_are_rendered_as_transformers_does(made: Prompts, tiny: Any) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello 日本"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "again"},
    ]
    prompt = made.make(Job("m", messages), made.template())
    wanted = tiny.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    assert prompt.ids == list(wanted["input_ids"])
    assert prompt.text == tiny.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=False
    )


def test_an_answer_can_be_begun(made: Prompts) -> None:
    messages = [*HELLO, {"role": "assistant", "content": "Well, I"}]
    job = Job("m", messages, continue_final_message=True)
    assert made.make(job, made.template()).text.endswith("<|assistant|>Well, I")
    with pytest.raises(RefusedError, match="last message is not the assistant's"):
        made.make(Job("m", HELLO, continue_final_message=True), made.template())


def test_parts_and_calls_reach_the_template_plain(made: Prompts) -> None:
    template = "{% for m in messages %}{{ m['content'] }}|{% for c in m['tool_calls'] or [] %}{{ c['function']['arguments']['x'] }}{% endfor %}{% endfor %}{{ tools[0]['function']['name'] }}"  # noqa: E501
    call = {"function": {"name": "f", "arguments": json.dumps({"x": 42})}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    assert made.make(Job("m", messages, tools=[tool]), template).text == "ab||42f"
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]
    with pytest.raises(RefusedError, match="only parts of the type text"):
        made.make(Job("m", picture), template)


def test_no_template_is_no_guess(process: TemplateProcess, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(make_model(tmp_path / "m"))
    tokenizer.chat_template = None
    made = Prompts(tokenizer, process)
    assert made.template() is None
    with pytest.raises(RefusedError) as refused:
        made.make(Job("m", HELLO), made.template())
    assert refused.value.code == "chat_template_missing"
    for way in ("--chat-template FILE", "--chat-template chatml", "plain prompt"):
        assert way in refused.value.remedy
    assert made.make(Job("m", "hello"), None).text == "hello"


def test_the_named_template_comes_before_the_adapters_and_the_models(
    process: TemplateProcess, tiny: Any, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    made = Prompts(tiny, process)
    assert made.template(template_in(adapter)) == tiny.get_chat_template()
    (adapter / "tokenizer_config.json").write_text('{"chat_template": "in the settings"}')
    assert made.template(template_in(adapter)) == "in the settings"
    (adapter / "chat_template.jinja").write_text("in a file")
    assert made.template(template_in(adapter)) == "in a file"
    named = tmp_path / "mine.jinja"
    named.write_text("named")
    made = Prompts(tiny, process, prompts.named(str(named), tiny))
    assert made.template(template_in(adapter)) == "named"
    with pytest.raises(NotFoundError):
        prompts.named(str(tmp_path / "none.jinja"), tiny)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('roles must alternate') }}", "says: roles must alternate"),
        ("{% for %}", "says: "),
        ("{{ messages[7]['content']['x'] }}", "says: "),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        (LOOPS, "does not come to an end within 2 s"),
        (GROWS, "MemoryError|too much memory|makes 16,000,000,000 characters"),
        ("{{ ''.__class__.__mro__ }}", "says: "),
    ],
)
def test_a_template_that_refuses_fails_or_attacks_is_said_and_the_next_request_works(
    made: Prompts, template: str, message: str
) -> None:
    with pytest.raises(RefusedError, match=message) as refused:
        made.make(Job("m", HELLO), template)
    assert refused.value.code == "chat_template_refused"
    assert "hello" in made.make(Job("m", HELLO), made.template()).text


def test_the_end_of_a_turn_is_found(
    made: Prompts, tiny: Any, process: TemplateProcess, tmp_path: Path
) -> None:
    assert made.turn_end(made.template()) == TurnEnd(
        tokens=(tiny.convert_tokens_to_ids("<|end|>"),)
    )
    # A tokenizer without the token writes it as text, which is then what ends an answer.
    assert made.turn_end(prompts.named("chatml", tiny)) == TurnEnd(texts=("<|im_end|>",))
    assert made.turn_end("{% for m in messages %}{{ m['content'] }}\n{% endfor %}") == TurnEnd()
    assert made.turn_end(None) == TurnEnd()


def test_a_closed_process_renders_nothing(tiny: Any) -> None:
    process = TemplateProcess()
    process.close()
    with pytest.raises(TemplateError, match="closed"):
        process.render(Conversation("x", []))


def test_a_text_far_too_long_is_not_read_to_its_end(
    made: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    own = Prompts._tokens

    def tokens(self: Prompts, text: str, *, special: bool) -> list[int]:
        read.append(len(text))
        return own(self, text, special=special)

    monkeypatch.setattr(Prompts, "_tokens", tokens)
    text = "many words " * 100_000
    for prompt in (text, [{"role": "user", "content": text}]):
        with pytest.raises(RefusedError, match="100 tokens") as refused:
            made.make(Job("m", prompt), made.template(), 100)
        assert refused.value.code == "context_length_exceeded"
    assert max(read) < 2_000
    short = "many words " * 100  # too long too, but its tokens are counted and said
    assert len(made.make(Job("m", short), None, 100).ids) > 100


def test_a_process_that_somebody_killed_costs_no_request(made: Prompts) -> None:
    job = Job("m", HELLO)
    wanted = made.make(job, made.template()).text
    child = made.process._child
    assert child is not None
    child.process.kill()
    child.process.wait()
    assert made.make(job, made.template()).text == wanted

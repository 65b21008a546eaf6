"""For every real chat template: exactly the answers are trained, with the token that ends them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtui.errors import InputError, NotFoundError
from qtui.stages.data.encoding.render import (
    ChatTemplate,
    Rendered,
    RenderError,
    fold_system,
    render,
    shared_messages,
)
from qtui.stages.data.encoding.template import choose, tried
from qtui.stages.data.encoding.tokenise import IGNORED, Tokens, tokenise
from qtui.stages.data.rows import Message, Row
from tests.stages.data import tiny

pytestmark = pytest.mark.train
NAMES = sorted(path.stem for path in tiny.TEMPLATES.glob("*.jinja"))

# How each family of the real templates ends an answer.
ENDS = {
    "axolotl_alpaca": "</s>",
    "axolotl_chatml": "<|im_end|>",
    "axolotl_mistral_v1": "</s>",
    "axolotl_mistral_v2v3": "</s>",
    "axolotl_mistral_v3_tekken": "</s>",
    "axolotl_mistral_v7_tekken": "</s>",
    "axolotl_phi_4": "<|im_end|>",
    "deepseekv3": "<｜end▁of▁sentence｜>",
    "gemma": "<end_of_turn>",
    "gemma3": "<end_of_turn>",
    "gemma_training": "<end_of_turn>",
    "gptoss": "<|return|>",
    "llama3": "<|eot_id|>",
    "llama3_1": "<|eot_id|>",
    "llama3_2": "<|eot_id|>",
    "llama3_training": "<|eot_id|>",
    "phi3": "<|end|>",
    "phi3_5": "<|end|>",
    "phi3_training": "<|end|>",
    "qwen2_5": "<|im_end|>",
    "qwen2_5_training": "<|im_end|>",
    "qwen3": "<|im_end|>",
    "qwen3_instruct_2507": "<|im_end|>",
    "qwen3_training": "<|im_end|>",
}


def in_process(template: ChatTemplate) -> ChatTemplate:
    """The chosen template after its trial, rendered here and not in a process of its own."""

    def renderer(rows: list[Row]) -> list[Rendered | RenderError]:
        results: list[Rendered | RenderError] = []
        for row in rows:
            try:
                results.append(render(template, row))
            except RenderError as error:
                results.append(error)
        return results

    return tried(template, renderer)


def real(name: str, *, turns: bool = False) -> tuple[Any, ChatTemplate]:
    """A tokenizer with the named template, and the template as chosen (or found by comparing)."""
    text = (tiny.TEMPLATES / f"{name}.jinja").read_text()
    eos = ENDS[name] if not name.startswith(("gemma", "phi3")) else "<eos>"
    tokenizer = tiny.tokenizer(text, eos=eos, bos="<bos>" if name.startswith("gemma") else "<s>")
    template = choose(tokenizer, None, assistant_only_loss=True)
    if turns:
        template = replace(template, training_text=text, mask="turns")
    return tokenizer, in_process(template)


def chat(*texts: str, system: str | None = None) -> Row:
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    for index, text in enumerate(texts):
        messages.append({"role": "assistant" if index % 2 else "user", "content": text})
    return Row(tuple(messages), "test", 1)


def trained_texts(rendered: Rendered) -> list[str]:
    return [rendered.text[start:end] for start, end in rendered.spans]


def one(tokenizer: Any, rendered: Rendered, *, length: int = 4096, mask: bool = True) -> Tokens:
    return tokenise(tokenizer, [rendered], max_seq_length=length, mask=mask)[0]


@pytest.mark.skipif(not NAMES, reason="the folder of real chat templates is absent")
def test_every_real_template_has_an_expectation() -> None:
    assert set(NAMES) == set(ENDS)


@pytest.mark.parametrize("name", NAMES)
def test_answers_and_only_answers_are_trained(name: str) -> None:
    tokenizer, template = real(name)
    row = chat(
        "first question", "first answer", "second question", "second answer", system="Sys tem"
    )
    rendered = render(template, row)
    trained = trained_texts(rendered)
    everything = "".join(trained)
    if name.startswith("phi3"):  # TRL's twin also trains the end of the text behind the last turn
        assert trained.pop() == "<eos>"
    assert len(trained) == 2
    assert "first answer" in trained[0]
    assert "second answer" in trained[1]
    assert "question" not in everything
    assert "Sys tem" not in everything
    assert "Sys tem" in rendered.text
    assert trained[-1].endswith(ENDS[name])
    tokens = one(tokenizer, rendered)
    assert len(tokens.input_ids) == len(tokens.labels) == tokens.length
    learnt = tokenizer.decode([label for label in tokens.labels if label != IGNORED])
    assert learnt.split() == everything.split()
    bos = tokenizer.bos_token_id
    assert tokens.input_ids.count(bos) == (1 if tokenizer.bos_token in rendered.text else 0)
    assert tokens.input_ids.count(bos) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_what_is_trained_is_what_a_generation_prompt_asks_for(name: str) -> None:
    """The text before an answer is what the model is given when it is asked, or its beginning."""
    tokenizer, template = real(name)
    rendered = render(template, chat("a question", "an answer"))
    prompt = tokenizer.apply_chat_template(
        list(chat("a question").messages), tokenize=False, add_generation_prompt=True
    )
    start = rendered.spans[0][0]
    assert rendered.text[:start].rstrip() == prompt[:start].rstrip()


@pytest.mark.parametrize(
    "name",
    [n for n in NAMES if n in ("gemma", "gemma3", "llama3", "phi3", "phi3_5", "qwen2_5", "qwen3")],
)
@pytest.mark.parametrize("turns", [1, 2])
def test_comparing_finds_what_marks_say(name: str, turns: int) -> None:
    """Our own way and TRL's marked twin agree where both can be used."""
    row = chat(*["a question", "an answer", "another one", "the other answer"][: 2 * turns])
    tokenizer, marked = real(name)
    assert marked.mask == "generation"
    _, compared = real(name, turns=True)
    if name == "qwen3" and turns == 2:
        with pytest.raises(RenderError) as hidden:  # it drops the thoughts of earlier turns
            render(compared, row)
        assert hidden.value.mask
        return
    by_marks = one(tokenizer, render(marked, row))
    by_comparing = one(tokenizer, render(compared, row))
    learnt = [
        tokenizer.decode([label for label in tokens.labels if label != IGNORED])
        for tokens in (by_marks, by_comparing)
    ]
    # TRL's marks may hold the line break behind the header and the end of the text as well.
    assert learnt[0].replace("\n", "").removesuffix("<eos>") == learnt[1].replace("\n", "")


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).filter(
    lambda text: text.strip() and "<" not in text
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(st.lists(words, min_size=1, max_size=3), st.lists(words, min_size=3, max_size=3))
@pytest.mark.parametrize("template", [tiny.CHATML, tiny.MARKED], ids=["compared", "marked"])
def test_nothing_is_invented_and_nothing_is_lost(
    template: str, answers: list[str], questions: list[str]
) -> None:
    tokenizer = tiny.tokenizer(template)
    chosen = in_process(choose(tokenizer, None, assistant_only_loss=True))
    texts = [text for pair in zip(questions, answers, strict=False) for text in pair]
    tokens = one(tokenizer, render(chosen, chat(*texts)), length=100_000)
    learnt = tokenizer.decode([label for label in tokens.labels if label != IGNORED])
    assert learnt == "".join(answer + "<|im_end|>" for answer in answers)
    assert all(
        label in (IGNORED, i) for i, label in zip(tokens.input_ids, tokens.labels, strict=True)
    )


def test_the_models_own_marks_are_used_as_they_are_and_the_end_token_is_added_to_them() -> None:
    text = tiny.MARKED.replace(
        "{{ message['content'] + '<|im_end|>' }}{% endgeneration %}",
        "{{ message['content'] }}{% endgeneration %}{{ '<|im_end|>' }}",
    )
    tokenizer = tiny.tokenizer(text)
    rendered = render(in_process(choose(tokenizer, None, assistant_only_loss=True)), chat("q", "a"))
    assert trained_texts(rendered) == ["a<|im_end|>"]


def test_an_answer_that_nothing_ends_gets_the_tokenizers_end() -> None:
    text = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    tokenizer = tiny.tokenizer(text, eos="</s>")
    rendered = render(in_process(choose(tokenizer, None, assistant_only_loss=True)), chat("q", "a"))
    assert rendered.text == "user: q\nassistant: a\n</s>"
    assert trained_texts(rendered) == ["a\n</s>"]


def test_a_template_that_rewrites_earlier_turns_is_refused_row_by_row() -> None:
    text = (
        "{% for m in messages %}"
        "{% if m['role'] == 'user' %}{{ '[INST]' + m['content'] + '[/INST]' }}"
        "{% elif loop.last %}{{ m['content'] + '<|im_end|>' }}"
        "{% else %}{{ (m['content'] | upper) + '<|im_end|>' }}{% endif %}{% endfor %}"
    )
    template = in_process(choose(tiny.tokenizer(text), None, assistant_only_loss=True))
    assert trained_texts(render(template, chat("q", "an answer"))) == ["an answer<|im_end|>"]
    with pytest.raises(RenderError) as hidden:
        render(template, chat("q", "an answer", "q2", "a2"))
    assert hidden.value.mask


def test_a_system_text_is_folded_where_the_template_has_no_such_role() -> None:
    text = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        + tiny.CHATML
    )
    template = in_process(choose(tiny.tokenizer(text), None, assistant_only_loss=True))
    assert template.folds_system
    rendered = render(template, chat("q", "a", system="be kind"))
    assert rendered.text.startswith("<|im_start|>user\nbe kind\n\nq<|im_end|>")
    assert fold_system(chat("q", "a").messages) == chat("q", "a").messages


def test_a_template_without_tools_loses_no_call_silently() -> None:
    call = {"type": "function", "function": {"name": "add_numbers", "arguments": {"a": 1}}}
    row = Row(
        (
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
        ),
        "t",
        1,
    )
    template = in_process(choose(tiny.tokenizer(tiny.CHATML), None, assistant_only_loss=True))
    with pytest.raises(RenderError, match="leaves out tool calls"):
        render(template, row)
    _, qwen = real("qwen2_5")
    learnt = trained_texts(render(qwen, replace(row, tools=(call,))))
    assert "add_numbers" in learnt[0]
    assert learnt[0].endswith("<|im_end|>")


def test_no_template_and_broken_templates_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no chat template") as none:
        choose(tiny.tokenizer(None), None, assistant_only_loss=True)
    assert "data.chat_template" in none.value.remedy
    for text, says in {
        "{% for m in messages %}": "cannot be used",
        "{{ messages[7]['content'] }}": "cannot be used",
        "hello": "leaves out or changes the words of answer 1",
        "{% generation %}hello{% endgeneration %}": "leaves out the question or the answer",
        "{% generation %}{% for m in messages %}{{ m['content'] }}{% endfor %}"
        "{% endgeneration %}": "not around the answers",
    }.items():
        with pytest.raises(InputError, match=says) as refused:
            in_process(choose(tiny.tokenizer(text), None, assistant_only_loss=True))
        assert refused.value.remedy
    with pytest.raises(NotFoundError):
        choose(tiny.tokenizer(None), str(tmp_path / "no.jinja"), assistant_only_loss=True)


def test_a_template_from_a_file_replaces_the_models_own(tmp_path: Path) -> None:
    (tmp_path / "x.jinja").write_text(tiny.MARKED)
    chosen = choose(
        tiny.tokenizer(tiny.CHATML), str(tmp_path / "x.jinja"), assistant_only_loss=True
    )
    assert (chosen.text, chosen.mask) == (tiny.MARKED, "generation")


def test_learning_from_everything() -> None:
    tokenizer = tiny.tokenizer(tiny.CHATML)
    template = in_process(choose(tokenizer, None, assistant_only_loss=False))
    tokens = one(tokenizer, render(template, chat("q", "a")), mask=False)
    assert tokens.labels == tokens.input_ids
    assert tokens.trained == len(tokens.labels) - 1


def test_a_beginning_that_is_written_twice_is_kept_once() -> None:
    text = "{{ bos_token }}" + tiny.MARKED
    tokenizer = tiny.tokenizer(text)
    tokens = one(
        tokenizer,
        render(in_process(choose(tokenizer, None, assistant_only_loss=True)), chat("q", "a")),
    )
    assert tokens.input_ids.count(tokenizer.bos_token_id) == 1
    learnt = tokenizer.decode([label for label in tokens.labels if label != IGNORED])
    assert learnt == "a<|im_end|>"


def test_rows_are_cut_and_what_is_left_to_learn_is_counted() -> None:
    tokenizer = tiny.tokenizer(tiny.MARKED)
    rendered = render(
        in_process(choose(tokenizer, None, assistant_only_loss=True)), chat("q " * 50, "a " * 50)
    )
    whole = one(tokenizer, rendered)
    half = one(tokenizer, rendered, length=whole.length - 20)
    none = one(tokenizer, rendered, length=20)
    assert (len(half.input_ids), half.length) == (whole.length - 20, whole.length)
    assert 0 < half.trained < whole.trained
    assert none.trained == 0


def test_tokens_over_the_edge_of_an_answer() -> None:
    """A token that also holds foreign words is not trained; one that holds white space is."""
    tokenizer = tiny.tokenizer(tiny.CHATML)
    text = "the answer is"
    start = text.index("swer")
    tokens = one(tokenizer, Rendered(text, ((start, len(text)),)))
    learnt = tokenizer.decode([label for label in tokens.labels if label != IGNORED])
    assert learnt.strip() in ("is", "swer is")


# ---- the named templates ------------------------------------------------------------------------


def base_model(*, eos: str = "</s>", bos: bool = False) -> Any:
    """A tokenizer without a chat template; `bos`: one that begins its texts, as Llama's does."""
    from tokenizers import processors

    tokenizer = tiny.tokenizer(None, eos=eos)
    if bos:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
        )
    return tokenizer


CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": "ü"}}}
WITH_TOOLS = Row(
    (
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "q1"},
        {"role": "assistant", "content": "let me see", "tool_calls": [CALL, CALL]},
        {"role": "tool", "content": "2"},
        {"role": "assistant", "content": "it is 2", "reasoning_content": "so"},
    ),
    "t",
    1,
    tools=(CALL,),
)


def test_alpaca_is_written_as_it_is_known() -> None:
    template = in_process(choose(base_model(), "alpaca", assistant_only_loss=True))
    rendered = render(template, chat("q1\n\nan input", "a1", "q2", "a2"))
    assert rendered.text == (
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\nq1\n\nan input\n\n### Response:\na1</s>\n\n"
        "### Instruction:\nq2\n\n### Response:\na2</s>"
    )
    assert trained_texts(rendered) == ["a1</s>", "a2</s>"]
    own = render(template, chat("q1", "a1", system="be kind"))
    assert own.text == "be kind\n\n### Instruction:\nq1\n\n### Response:\na1</s>"
    assert not template.folds_system
    with pytest.raises(RenderError, match="alpaca has no place for tools; chatml has"):
        render(template, WITH_TOOLS)


@pytest.mark.parametrize("eos", ["</s>", "<|im_end|>"])
@pytest.mark.parametrize("bos", [False, True])
def test_chatml_ends_the_last_answer_where_the_model_stops(eos: str, bos: bool) -> None:
    tokenizer = base_model(eos=eos, bos=bos)
    template = in_process(choose(tokenizer, "chatml", assistant_only_loss=True))
    rendered = render(template, chat("q1", "a1", "q2", "a2", system="be kind"))
    stop = "" if eos == "<|im_end|>" else eos
    assert rendered.text == ("<s>" if bos else "") + (
        "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nq1<|im_end|>\n"
        "<|im_start|>assistant\na1<|im_end|>\n<|im_start|>user\nq2<|im_end|>\n"
        f"<|im_start|>assistant\na2<|im_end|>{stop}"
    )
    assert "".join(trained_texts(rendered)) == f"a1<|im_end|>a2<|im_end|>{stop}"
    tokens = one(tokenizer, rendered)
    learnt = [label for label in tokens.labels if label != IGNORED]
    assert tokenizer.decode(learnt) == f"a1<|im_end|>a2<|im_end|>{stop}"
    assert learnt[-1] == tokenizer.eos_token_id
    assert tokens.input_ids.count(tokenizer.bos_token_id) == bos


def test_chatml_has_a_place_for_tools() -> None:
    template = in_process(choose(base_model(), "chatml", assistant_only_loss=True))
    rendered = render(template, WITH_TOOLS)
    call = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": "ü"}}\n</tool_call>'
    first, *last = trained_texts(rendered)
    assert first == f"let me see\n{call}\n{call}<|im_end|>"
    assert "".join(last) == "<think>\nso\n</think>\n\nit is 2<|im_end|></s>"
    assert rendered.text.startswith("<|im_start|>system\nbe kind\n\n# Tools")
    assert rendered.text.count("be kind") == 1
    assert "<|im_start|>tool\n<tool_response>\n2\n</tool_response><|im_end|>\n" in rendered.text
    assert "be kind" not in "".join(trained_texts(rendered))


@pytest.mark.parametrize("name", ["alpaca", "chatml"])
@pytest.mark.parametrize("bos", [False, True])
def test_what_is_saved_has_no_marks_and_asks_as_was_trained(name: str, bos: bool) -> None:
    tokenizer = base_model(bos=bos)
    template = in_process(choose(tokenizer, name, assistant_only_loss=True))
    assert (template.mask, "generation" in template.text.replace("add_generation_prompt", "")) == (
        "generation",
        False,
    )
    row = chat("q1", "a1", "q2", "a2", system="be kind")
    trained = render(template, row)
    tokenizer.chat_template = template.text
    used = tokenizer.apply_chat_template(list(row.messages), tokenize=False)
    assert used == trained.text
    asked = tokenizer.apply_chat_template(
        list(row.messages[:-1]), tokenize=False, add_generation_prompt=True
    )
    start = next(start for start, _ in trained.spans if trained.text[start:].startswith("a2"))
    assert asked == trained.text[:start]
    # Somebody who learns from everything gets the same text.
    everything = in_process(choose(tokenizer, name, assistant_only_loss=False))
    assert render(everything, row).text == trained.text


# ---- plain texts --------------------------------------------------------------------------------


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("mask", [False, True])
def test_a_plain_text_is_learnt_whole_between_the_tokens_of_pre_training(
    bos: bool, mask: bool
) -> None:
    tokenizer = base_model(bos=bos)
    template = choose(tokenizer, None, assistant_only_loss=mask, needed=False)
    row = Row((), "t", 1, text="the answer\n")
    rendered = render(template, row)
    assert rendered.text == ("<s>" if bos else "") + "the answer\n</s>"
    tokens = one(tokenizer, rendered, mask=mask)
    assert tokens.labels == tokens.input_ids
    assert list(tokens.input_ids) == [*tokenizer(row.text)["input_ids"], tokenizer.eos_token_id]
    again = render(template, replace(row, text=rendered.text))
    assert again.text == rendered.text


def test_without_a_template_plain_texts_can_be_learnt_and_conversations_cannot() -> None:
    template = choose(base_model(), None, assistant_only_loss=True, needed=False)
    assert template.text == ""

    def renderer(rows: list[Row]) -> list[Rendered | RenderError]:
        raise AssertionError("nothing is tried")

    assert tried(template, renderer, conversations=False) == template
    with pytest.raises(InputError, match="no chat template") as none:
        tried(template, renderer)
    assert "chatml, alpaca or a Jinja file" in none.value.remedy


# ---- preference rows ----------------------------------------------------------------------------


def turn(role: str, text: str = "x") -> Message:
    return {"role": role, "content": text}


@pytest.mark.parametrize(
    ("better", "worse", "shared"),
    [
        ("ua", "a", 1),
        ("sua", "a", 2),
        ("uaua", "a", 3),
        ("uaua", "aua", 1),
        ("uata", "a", 3),
        ("uata", "ata", 1),
        ("ua", "ata", 1),
        ("uaata", "aata", 1),
    ],
)
def test_the_two_sides_of_a_preference_part_where_the_assistant_speaks(
    better: str, worse: str, shared: int
) -> None:
    roles = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    row = Row(
        tuple(turn(roles[letter], f"better {at}") for at, letter in enumerate(better)),
        "t",
        1,
        rejected=tuple(turn(roles[letter], f"worse {at}") for at, letter in enumerate(worse)),
    )
    assert shared_messages(row) == shared

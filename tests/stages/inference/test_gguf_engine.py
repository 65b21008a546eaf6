"""llama.cpp on a real .gguf file, made from the built-in model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest

from qtui.builtin import model_path
from qtui.config.serve import ServeConfig, ServedAdapter, ServedModel
from qtui.errors import ImpossibleError, InputError, NotFoundError
from qtui.stages.inference import gguf_engine
from qtui.stages.inference.engine import Began, Ended, GoneError, Piece, RefusedError
from qtui.stages.inference.gguf_engine import GgufEngine
from tests.gguf_model import need_llama_cpp, write
from tests.stages.inference.collect import ask, said

ORDER = "Create a session for 10.0.0.1 to 10.0.0.7 with QOS_E for 30 minutes."
Start = Callable[..., GgufEngine]


def config(path: Path, **settings: object) -> ServeConfig:
    return ServeConfig.model_validate(
        {"model": ServedModel(model_name=str(path)), "device": "cpu"} | settings
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_llama_cpp()
    return write(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def engine(file: Path) -> Iterator[GgufEngine]:
    made = gguf_engine.start(config(file), lambda said: None)
    yield made
    made.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    need_llama_cpp()
    made = []

    def begin(*, kind: str = "F32", template: str | None = "own", **settings: object) -> GgufEngine:
        path = write(tmp_path / "own.gguf", kind=kind, template=template)
        made.append(gguf_engine.start(config(path, **settings), lambda said: None))
        return made[-1]

    yield begin
    for one in made:
        one.close()


def test_an_answer_comes_token_by_token_and_ends_by_itself(engine: GgufEngine) -> None:
    asked = ask(engine, said(ORDER), temperature=0).wait()
    assert asked.began.prompt == f"<|begin|><|user|>{ORDER}<|end|><|assistant|>"
    assert json.loads(asked.text)["seconds"] == 1800
    assert asked.ended.reason == "stop"
    assert asked.ended.prompt_tokens == asked.began.prompt_tokens
    pieces = [report for report in asked.seen if isinstance(report, Piece)]
    assert sum(piece.tokens for piece in pieces) == asked.ended.completion_tokens == len(pieces)


@pytest.mark.train
def test_greedy_answers_are_those_of_transformers(engine: GgufEngine) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_path())
    model = AutoModelForCausalLM.from_pretrained(model_path(), dtype=torch.float32)
    for prompt in (said(ORDER), said("Hello, who are you?"), "The 2 quick brown", "naïve Ünï 🦊 "):
        asked = ask(engine, prompt, temperature=0, max_tokens=48, skip_special_tokens=False).wait()
        if isinstance(prompt, str):
            ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        else:
            ids = tokenizer.apply_chat_template(
                prompt, add_generation_prompt=True, return_tensors="pt"
            )["input_ids"]
        assert asked.began.prompt_tokens == ids.shape[1]
        whole = model.generate(ids, max_new_tokens=48, do_sample=False)[0]
        assert asked.text == tokenizer.decode(whole[ids.shape[1] :])


def test_a_plain_text_goes_on_where_it_ends(engine: GgufEngine) -> None:
    asked = ask(engine, "<|begin|>The 2 quick", temperature=0, max_tokens=3).wait()
    assert asked.began.prompt == "<|begin|>The 2 quick"
    assert asked.ended.reason == "length"
    assert asked.ended.completion_tokens == 3


def test_the_last_message_can_be_the_beginning_of_the_answer(engine: GgufEngine) -> None:
    messages = [*said(ORDER), {"role": "assistant", "content": '{"from":"Q'}]
    asked = ask(engine, messages, job={"continue_final_message": True}, temperature=0).wait()
    assert asked.began.prompt.endswith('<|assistant|>{"from":"Q')
    assert asked.text.startswith("OS_E")


def test_nothing_behind_a_stop_string_is_given(engine: GgufEngine) -> None:
    plain = ask(engine, said(ORDER), temperature=0).wait().text
    asked = ask(engine, said(ORDER), temperature=0, stop=('"mode"', '"seconds"')).wait()
    assert asked.text == plain[: plain.index('"mode"')]
    assert asked.ended.reason == "stop"


def test_special_tokens_are_shown_when_asked_for(engine: GgufEngine) -> None:
    hidden = ask(engine, said(ORDER), temperature=0).wait()
    shown = ask(engine, said(ORDER), temperature=0, skip_special_tokens=False).wait()
    assert shown.text == hidden.text + "<|end|>"


def test_the_end_of_text_can_be_ignored(engine: GgufEngine) -> None:
    asked = ask(engine, said(ORDER), temperature=0, ignore_eos=True, max_tokens=70).wait()
    assert asked.ended == Ended("length", asked.began.prompt_tokens, 70)


def test_characters_of_several_tokens_come_whole(engine: GgufEngine) -> None:
    text = "Ünïcode 🦊🦊 end"
    schema = {"type": "object", "properties": {"t": {"const": text}}, "required": ["t"]}
    asked = ask(engine, said("x"), json_schema=schema | {"additionalProperties": False}).wait()
    assert json.loads(asked.text) == {"t": text}
    pieces = [report.text for report in asked.seen if isinstance(report, Piece)]
    assert "" in pieces
    assert not any("\ufffd" in piece for piece in pieces)


def test_the_same_seed_draws_the_same_answer_whatever_else_is_answered(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by luck: what is computed for it, and beside it, is the same each time."""
    engine = start(kind="F16")
    compute, steps = engine._model.compute, []

    def note(entries: list[tuple[int, int, int, bool]]) -> None:
        places = [one for one in engine._sequences if one.answer is not None]
        seeded = {one.number for one in places if one.answer.sampling.seed == 7}
        if seeded & {sequence for _, _, sequence, _ in entries}:
            steps.append([(token, at, sequence in seeded) for token, at, sequence, _ in entries])
        compute(entries)

    monkeypatch.setattr(engine._model, "compute", note)
    settings = {"temperature": 1.2, "max_tokens": 60, "ignore_eos": True}
    alone = ask(engine, said(ORDER), seed=7, **settings).wait().text
    first = list(steps)
    for same in [ask(engine, said(ORDER), **settings) for _ in range(4)]:  # all places know it
        same.wait()
    steps.clear()
    others = [ask(engine, said(f"{ORDER} {n}"), **settings) for n in range(3)]
    others[0].next(Piece)
    beside = ask(engine, said(ORDER), seed=7, **settings).wait().text
    unlike = ask(engine, said(ORDER), seed=8, **settings).wait().text
    assert beside == alone
    assert unlike != alone
    assert steps == first
    assert all(own for step in steps for _, _, own in step)
    assert len({other.wait().text for other in others}) == 3


@pytest.mark.parametrize(
    "settings",
    [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}, {"temperature": 1e-6}],
    ids=str,
)
def test_each_setting_narrows_the_draw_down_to_the_best_token(
    engine: GgufEngine, settings: dict[str, float]
) -> None:
    greedy = ask(engine, said(ORDER), temperature=0, max_tokens=40).wait().text
    wild = ask(engine, said(ORDER), seed=1, temperature=5.0, max_tokens=40).wait().text
    narrow = ask(
        engine, said(ORDER), seed=1, max_tokens=40, **({"temperature": 5.0} | settings)
    ).wait()
    assert wild != greedy
    assert narrow.text == greedy


def test_a_repetition_penalty_counts_what_the_prompt_says(engine: GgufEngine) -> None:
    # «QOS_E» stands only in the prompt: a penalty on what was answered so far would let it through.
    plain = ask(engine, said(ORDER), temperature=0, max_tokens=12).wait()
    other = ask(engine, said(ORDER), temperature=0, max_tokens=12, repetition_penalty=1e6).wait()
    assert plain.text.count("QOS") == 1
    assert "QOS" not in other.text


def test_json_is_of_the_schema(engine: GgufEngine) -> None:
    schema = {
        "type": "object",
        "properties": {
            "port": {"type": "integer", "minimum": 1, "maximum": 9},
            "kind": {"enum": ["udp", "tcp"]},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 4}, "maxItems": 2},
        },
        "required": ["port", "kind", "tags"],
        "additionalProperties": False,
    }
    asked = ask(engine, said(ORDER), temperature=0, json_schema=schema).wait()
    jsonschema.validate(json.loads(asked.text), schema)
    anything = ask(engine, said(ORDER), temperature=0, json_schema={}).wait()
    assert isinstance(json.loads(anything.text), dict)


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "#/nowhere"}, {"$ref": "#"}])
def test_a_schema_that_means_nothing_is_refused(engine: GgufEngine, schema: dict[str, str]) -> None:
    with pytest.raises(RefusedError) as caught:
        ask(engine, said("x"), json_schema=schema)
    assert caught.value.code == "invalid_json_schema"


def test_what_two_prompts_begin_with_is_read_once(
    engine: GgufEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(engine, "word " * 200 + "one", max_tokens=1).wait()
    computed: list[int] = []
    compute = engine._model.compute

    def count(entries: list[tuple[int, int, int, bool]]) -> None:
        computed.append(len(entries))
        compute(entries)

    monkeypatch.setattr(engine._model, "compute", count)
    asked = ask(engine, "word " * 200 + "two three", temperature=0, max_tokens=20).wait()
    assert sum(computed[:-19]) < 10
    # and the answer is the one that reading all of it gives
    assert (
        asked.text
        == ask(engine, "word " * 200 + "two three", seed=1, top_k=1, max_tokens=20).wait().text
    )


def test_more_answers_than_places_are_all_given(engine: GgufEngine) -> None:
    orders = [f"Create a session for 10.0.0.{n} with QOS_E for {n} minutes." for n in range(1, 12)]
    together = [ask(engine, said(order), temperature=0) for order in orders]
    texts = [asked.wait().text for asked in together]
    assert texts == [ask(engine, said(order), temperature=0).wait().text for order in orders]


def test_a_long_prompt_does_not_hold_up_who_is_writing(engine: GgufEngine) -> None:
    writing = ask(engine, said(ORDER), temperature=0, ignore_eos=True, max_tokens=200)
    writing.next(Piece)
    long = ask(engine, "word " * 700, temperature=0, max_tokens=1).wait()
    assert long.began.prompt_tokens > 5 * engine._model.step
    before = sum(isinstance(report, Piece) for report in [*writing.reports.queue])
    assert before >= 5
    writing.wait()


def test_cancelled_answers_end_and_free_their_place(engine: GgufEngine) -> None:
    running = [ask(engine, said(ORDER), ignore_eos=True) for _ in range(4)]
    waiting = ask(engine, said(ORDER), ignore_eos=True)
    for asked in running:
        asked.next(Piece)
    waiting.ticket.cancel()
    assert waiting.wait().ended.reason == "cancelled"
    assert not any(isinstance(report, Began) for report in waiting.seen)
    for asked in running:
        asked.ticket.cancel()
        assert asked.wait().ended.reason == "cancelled"
        assert asked.ended.completion_tokens < 900
    assert waiting.ended.completion_tokens == 0
    assert ask(engine, said(ORDER), temperature=0).wait().ended.reason == "stop"


def test_prompts_that_leave_no_room_are_refused(engine: GgufEngine) -> None:
    with pytest.raises(RefusedError, match=r"context is 1,024 tokens") as caught:
        ask(engine, said(ORDER), max_tokens=1000)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(RefusedError, match=r"context is 1,024 tokens"):
        ask(engine, "word " * 2000)


def test_a_limit_on_prompts_is_kept_and_no_answer_may_be_asked_for(start: Start) -> None:
    engine = start(max_prompt_tokens=5)
    with pytest.raises(RefusedError, match="this server takes 5"):
        ask(engine, said(ORDER))
    asked = ask(engine, "The 2 quick", max_tokens=0).wait()
    assert asked.ended == Ended("length", asked.began.prompt_tokens, 0)


def test_another_model_is_not_served(engine: GgufEngine) -> None:
    with pytest.raises(RefusedError, match="takes no adapters") as caught:
        ask(engine, said("x"), model="quiet-otter")
    assert (caught.value.code, caught.value.status) == ("model_not_found", 404)


def test_adapters_are_refused_with_the_way_out(file: Path) -> None:
    adapters = [ServedAdapter(name="quiet-otter", path="runs/x/adapter")]
    with pytest.raises(InputError, match="quiet-otter cannot be attached") as caught:
        gguf_engine.start(config(file, adapters=adapters), lambda said: None)
    assert "merge" in caught.value.remedy


def test_a_model_without_chat_template_says_which_there_are(start: Start) -> None:
    engine = start(template=None)
    with pytest.raises(RefusedError, match="no chat template") as caught:
        ask(engine, said("x"))
    assert caught.value.code == "chat_template_missing"
    assert "chatml" in caught.value.remedy
    assert ask(engine, "The 2 quick", max_tokens=2).wait().ended.completion_tokens == 2


def test_the_template_is_chatml_or_a_file_where_the_config_says_so(
    start: Start, tmp_path: Path
) -> None:
    engine = start(chat_template="chatml")
    asked = ask(engine, said("hi"), max_tokens=1).wait()
    assert asked.began.prompt == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    own = tmp_path / "own.jinja"
    own.write_text("{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}")
    asked = ask(start(chat_template=str(own)), said("hi"), max_tokens=1).wait()
    assert asked.began.prompt == "<|begin|>[hi]"
    with pytest.raises(NotFoundError, match="is no file"):
        start(chat_template=str(tmp_path / "none.jinja"))


def test_the_end_of_a_turn_that_is_no_token_ends_the_answer(start: Start) -> None:
    template = "{% for m in messages %}<u>{{ m.content }}<f>{% endfor %}"
    engine = start(template=template)
    schema = {"type": "object", "properties": {"t": {"const": "a<f>b"}}, "required": ["t"]}
    asked = ask(engine, said("x"), json_schema=schema | {"additionalProperties": False}).wait()
    assert asked.text == '{"t":"a'
    assert asked.ended.reason == "stop"


def test_a_template_runs_in_a_sandbox_and_may_refuse(start: Start) -> None:
    engine = start(template="{{ raise_exception('roles must alternate') }}")
    with pytest.raises(RefusedError, match="roles must alternate"):
        ask(engine, said("x"))
    engine.close()
    engine = start(template="{{ messages.__class__.__mro__ }}")
    with pytest.raises(RefusedError, match="unsafe"):
        ask(engine, said("x"))


def test_a_context_that_is_asked_for_is_the_limit(start: Start) -> None:
    engine = start(max_context=64)
    assert engine.models()[0].max_context == 64
    asked = ask(engine, "word", ignore_eos=True).wait()
    assert asked.ended.reason == "length"
    assert asked.ended.completion_tokens + asked.ended.prompt_tokens == 64


def test_closing_ends_all_answers(start: Start) -> None:
    engine = start()
    asked = [ask(engine, said(ORDER), ignore_eos=True) for _ in range(6)]
    asked[0].next(Piece)
    engine.close()
    assert [one.wait().ended.reason for one in asked] == ["cancelled"] * 6
    with pytest.raises(GoneError):
        ask(engine, said("x"))


def test_an_engine_that_fails_says_so_to_all(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()

    def fail(entries: object) -> None:
        raise GoneError("llama.cpp could not compute a step (code -3)")

    monkeypatch.setattr(engine._model, "compute", fail)
    asked = [ask(engine, said("x")) for _ in range(1)]
    assert "code -3" in str(asked[0].wait().failed.error)
    assert "code -3" in engine.trouble()
    with pytest.raises(GoneError, match="code -3"):
        ask(engine, said("x"))


def test_llama_cpp_prints_nothing(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    ask(start(), said("x"), max_tokens=2).wait()
    assert capfd.readouterr() == ("", "")


def test_a_gpu_that_llama_cpp_cannot_use_is_refused(file: Path) -> None:
    import llama_cpp

    if llama_cpp.llama_supports_gpu_offload():
        pytest.skip("this llama-cpp-python has GPU support")
    with pytest.raises(ImpossibleError, match="built without GPU support"):
        gguf_engine.start(config(file, device="cuda"), lambda said: None)

"""Jobs passed on to vLLM: a stand-in for it, a real process and real HTTP over a real socket."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qtui.builtin import model_path
from qtui.config.serve import ServeConfig
from qtui.errors import ImpossibleError, InputError
from qtui.runs import folder
from qtui.stages.inference.engine import Ended, GoneError, Piece, RefusedError
from tests.stages.inference import fake_vllm
from tests.stages.inference.collect import ask, said

pytestmark = pytest.mark.train

Start = Callable[..., Any]
BASE = "builtin:tiny"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_path())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace with two runs, and the stand-in on the PATH."""
    path = tmp_path_factory.mktemp("vllm")
    for name, rank in (("otter", 8), ("heron", 128)):
        config = {"model": {"model_name": BASE, "use_qlora": False}}
        run = folder.create(path, kind="train", config=config, command=[], name=name)
        adapter(run.adapter, rank=rank)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{fake_vllm.install(path / 'bin')}:{os.environ['PATH']}")
        patch.setenv(fake_vllm.LOG, str(path / "log.jsonl"))
        patch.setenv("QTUI_API_KEY", "secret")
        yield path


def adapter(path: Path, *, rank: int = 8, base: str = BASE, **settings: Any) -> Path:
    """An adapter of the built-in model that changes nothing."""
    import numpy as np
    from safetensors.numpy import save_file

    path.mkdir(parents=True, exist_ok=True)
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    save_file(
        {
            f"{module}.lora_A.weight": np.zeros((rank, 256), np.float32),
            f"{module}.lora_B.weight": np.zeros((256, rank), np.float32),
        },
        path / "adapter_model.safetensors",
    )
    config = {"peft_type": "LORA", "base_model_name_or_path": base, "r": rank, "lora_alpha": 8}
    (path / "adapter_config.json").write_text(json.dumps(config | settings))
    return path


@pytest.fixture(scope="module")
def start(place: Path) -> Iterator[Start]:
    from qtui.stages.inference import vllm_engine

    made = []

    def begin(**settings: Any) -> Any:
        model = {"model_name": BASE, "quantization": "none"} | settings.pop("model", {})
        config = ServeConfig.model_validate({"model": model, "engine": "vllm"} | settings)
        made.append(vllm_engine.start(place, config, lambda said: None))
        return made[-1]

    yield begin
    for engine in made:
        engine.close()


@pytest.fixture(scope="module")
def engine(start: Start) -> Any:
    return start()


def noted(place: Path, key: str) -> list[Any]:
    lines = (place / "log.jsonl").read_text().splitlines()
    return [found[key] for line in lines if key in (found := json.loads(line))]


def until(reached: Callable[[], bool], seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_it_is_closed_to_others_and_told_no_foreign_key(place: Path, engine: Any) -> None:
    first = json.loads((place / "log.jsonl").read_text().splitlines()[0])
    assert first["folder_mode"] == 0o700
    assert first["key_in_environment"]
    assert first["foreign_key"] is None
    assert first["runtime_lora"] == "True"
    assert engine.models()[0].max_context == 1024


def test_the_prompt_is_made_here_and_goes_as_tokens(
    place: Path, engine: Any, tokenizer: Any
) -> None:
    asked = ask(engine, said("hello")).wait()
    ids = tokenizer.apply_chat_template(said("hello"), add_generation_prompt=True)["input_ids"]
    body = noted(place, "body")[-1]
    assert body["prompt"] == list(ids)
    assert asked.began.prompt == "<|begin|><|user|>hello<|end|><|assistant|>"
    # a line separator of Unicode is no end of a line of the stream
    assert asked.text == f"{BASE} read\u2028hello"
    assert asked.ended.reason == "stop"
    pieces = [report for report in asked.seen if isinstance(report, Piece)]
    assert sum(piece.tokens for piece in pieces) == asked.ended.completion_tokens


def test_every_setting_has_vllms_name(place: Path, engine: Any) -> None:
    settings = {
        "max_tokens": 5, "temperature": 0.3, "top_p": 0.8, "top_k": 7, "min_p": 0.05,
        "repetition_penalty": 1.1, "seed": 42, "ignore_eos": True, "skip_special_tokens": False,
    }  # fmt: skip
    asked = ask(engine, "slow", stop=("END",), json_schema={"type": "integer"}, **settings).wait()
    assert asked.ended == Ended("length", asked.began.prompt_tokens, 5)
    body = noted(place, "body")[-1]
    assert {name: body[name] for name in settings} == settings
    assert body["stop"] == ["END"]
    schema = {"name": "answer", "schema": {"type": "integer"}}
    assert body["response_format"] == {"type": "json_schema", "json_schema": schema}
    ask(engine, "x", json_schema={}, max_tokens=1).wait()
    body = noted(place, "body")[-1]
    assert body["response_format"] == {"type": "json_object"}
    assert "seed" not in body


def test_the_end_of_a_turn_ends_the_answer(place: Path, start: Start) -> None:
    ask(start(chat_template="chatml"), said("x")).wait()
    body = noted(place, "body")[-1]
    assert body["stop"] == ["<|im_end|>"]
    assert body["max_tokens"] == 1024 - len(body["prompt"])


def test_a_cancelled_answer_ends_in_vllm_too(place: Path, engine: Any) -> None:
    asked = ask(engine, said("slow"))
    asked.next(Piece)
    before = len(noted(place, "aborted"))
    asked.ticket.cancel()
    assert asked.wait().ended.reason == "cancelled"
    assert asked.ended.completion_tokens < 900
    until(lambda: len(noted(place, "aborted")) == before + 1)


def test_many_are_answered_at_once(engine: Any) -> None:
    slow = [ask(engine, said("slow"), max_tokens=60) for _ in range(20)]
    for asked in slow:
        asked.next(Piece)
    quick = ask(engine, said("quick")).wait()
    assert quick.ended.reason == "stop"
    assert {asked.wait().ended.completion_tokens for asked in slow} == {60}


def test_a_run_is_loaded_when_it_is_first_asked_for(place: Path, engine: Any) -> None:
    for _ in range(2):
        assert ask(engine, said("hi"), model="otter").wait().text.startswith("otter read")
    loads = [body for body in noted(place, "load") if body["lora_name"] == "otter"]
    assert [Path(body["lora_path"]).name for body in loads] == ["adapter"]
    assert [(one.id, one.base) for one in engine.models()] == [(BASE, None), ("otter", BASE)]


def test_an_adapter_that_was_written_anew_is_loaded_anew(place: Path, start: Start) -> None:
    path = adapter(place / "mine")
    engine = start(adapters=[{"name": "mine", "path": "mine"}])
    ask(engine, said("hi"), model="mine").wait()
    assert not [body for body in noted(place, "load") if body["lora_name"] == "mine"]
    adapter(path, rank=16)
    ask(engine, said("hi"), model="mine").wait()
    assert [b["load_inplace"] for b in noted(place, "load") if b["lora_name"] == "mine"] == [True]


@pytest.mark.parametrize("name", ["nobody", "../otter", "/etc", "otter@7", "org/other"])
def test_what_is_no_run_is_not_served(place: Path, engine: Any, name: str) -> None:
    before = len(noted(place, "load"))
    with pytest.raises(RefusedError) as caught:
        ask(engine, said("x"), model=name)
    unknown = ("model_not_found", 404)
    assert (caught.value.code, caught.value.status) in (unknown, ("model_refused", 400))
    assert name != "nobody" or caught.value.code == "model_not_found"
    assert len(noted(place, "load")) == before


def test_a_rank_that_vllm_was_not_started_for_is_refused(engine: Any) -> None:
    with pytest.raises(
        RefusedError, match="heron has the rank 128; vllm was started for 64"
    ) as one:
        ask(engine, said("x"), model="heron")
    assert one.value.code == "model_refused"


def test_adapters_are_checked_before_vllm_opens_them(place: Path, start: Start) -> None:
    def named(path: Path) -> dict[str, Any]:
        return {"adapters": [{"name": "it", "path": str(path)}]}

    with pytest.raises(InputError, match="use_dora, which vllm cannot serve"):
        start(**named(adapter(place / "dora", use_dora=True)))
    with pytest.raises(InputError, match="is an adapter of org/other"):
        start(**named(adapter(place / "other", base="org/other")))
    pickled = adapter(place / "pickled")
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    with pytest.raises(InputError, match="pickle"):
        start(**named(pickled))
    with pytest.raises(ImpossibleError, match="8 bits"):
        start(model={"quantization": "int8"})


def test_prompts_that_leave_no_room_are_refused(engine: Any) -> None:
    with pytest.raises(RefusedError, match=r"context is 1,024 tokens"):
        ask(engine, said("x"), max_tokens=1020)
    assert ask(engine, "x", max_tokens=0).wait().ended.reason == "length"


def test_what_vllm_refuses_is_passed_on(engine: Any) -> None:
    with pytest.raises(RefusedError, match="vllm refuses: top_p must be in") as caught:
        ask(engine, said("x"), top_p=7.0)
    assert caught.value.param == "top_p"
    failed = ask(engine, said("refuse")).wait().failed
    assert "the grammar is too large" in str(failed.error)
    with pytest.raises(RefusedError) as caught:
        ask(engine, said("x"), json_schema={"type": "nonsense"})
    assert caught.value.code == "invalid_json_schema"


def test_when_vllm_dies_all_who_wait_are_told_why(start: Start) -> None:
    engine = start()
    other = ask(engine, said("slow"))
    other.next(Piece)
    failed = ask(engine, said("die")).wait().failed
    assert isinstance(failed.error, GoneError)
    assert "device lost" in failed.error.message
    assert isinstance(other.wait().failed.error, GoneError)
    assert "device lost" in engine.trouble()
    with pytest.raises(GoneError, match="device lost"):
        ask(engine, said("x"))


def test_closing_ends_all_answers(start: Start) -> None:
    engine = start()
    asked = [ask(engine, said("slow")) for _ in range(3)]
    asked[0].next(Piece)
    engine.close()
    assert [one.wait().ended.reason for one in asked] == ["cancelled"] * 3
    with pytest.raises(GoneError):
        ask(engine, said("x"))

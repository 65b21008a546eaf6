"""Adapters on one base: alone and mixed, coming and going, right ones and wrong ones."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from qtui.errors import InputError
from qtui.stages.inference import transformers_engine
from qtui.stages.inference.engine import Ended, Job, RefusedError, Sampling
from qtui.stages.training import weights
from tests.stages.inference.engines import Heard, ask, config
from tests.stages.training.micro import SIZE, make_model

pytestmark = pytest.mark.train

PROMPTS = ("tell me", "a longer text to go on from, of many words", "x", "numbers 1 2 3")
TOKENS = 12


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import LlamaConfig

    llama = LlamaConfig(**SIZE, tie_word_embeddings=True, initializer_range=0.2)
    return make_model(tmp_path_factory.mktemp("base") / "micro", config=llama)


def make_adapter(base: Path, folder: Path, *, seed: int, **settings: Any) -> Path:
    """A random adapter that changes every answer."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    lora = {"r": 4, "lora_alpha": 16, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    peft = get_peft_model(model, LoraConfig(**lora | {"init_lora_weights": False} | settings))
    peft.save_pretrained(folder)
    provenance = {"base_model": "micro", "base": weights.identity(base)}
    (folder / "qtui.json").write_text(json.dumps(provenance))
    return folder


@pytest.fixture(scope="module")
def workspace(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four adapters: two plain, one on some layers with another rank, one DoRA."""
    folder = tmp_path_factory.mktemp("workspace")
    make_adapter(base, folder / "one", seed=1)
    make_adapter(base, folder / "two", seed=2, use_rslora=True)
    some = {"target_modules": ["q_proj", "down_proj"], "rank_pattern": {"q_proj": 2}}
    make_adapter(
        base, folder / "some", seed=3, alpha_pattern={"layers.0.self_attn.q_proj": 40}, **some
    )
    make_adapter(base, folder / "dora", seed=4, use_dora=True)
    return folder


NAMES = ("one", "two", "some", "dora")


def serve(base: Path, workspace: Path, *names: str, **settings: Any) -> Any:
    adapters = [{"name": name, "path": name} for name in names]
    return transformers_engine.load(
        workspace, config(base, adapters=adapters, **settings), say=lambda sentence: None
    )


@pytest.fixture(scope="module")
def engine(base: Path, workspace: Path) -> Iterator[Any]:
    made = serve(base, workspace, *NAMES, max_concurrent=5)
    yield made
    made.close()


@pytest.fixture(scope="module")
def wanted(base: Path, workspace: Path) -> dict[tuple[str | None, str], str]:
    """What plain PEFT and `generate` answer, for the base (None) and each adapter."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    found = {}
    for name in (None, *NAMES):
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        if name is not None:
            model = PeftModel.from_pretrained(model, workspace / name)
        model.eval()
        for prompt in PROMPTS:
            ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=TOKENS,
                do_sample=False,
            )
            found[name, prompt] = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
    return found


def test_every_adapter_changes_the_answer(wanted: dict[Any, str]) -> None:
    """Else the tests below could not fail."""
    assert len({wanted[name, PROMPTS[0]] for name in (None, *NAMES)}) == 5


def test_each_adapter_answers_as_with_plain_peft(engine: Any, wanted: dict[Any, str]) -> None:
    for (name, prompt), text in wanted.items():
        assert ask(engine, prompt, model=name, max_tokens=TOKENS).wait().text == text, name


@pytest.mark.parametrize("seed", range(3))
def test_a_mixed_batch_gives_each_row_its_own_adapter(
    engine: Any, wanted: dict[Any, str], seed: int
) -> None:
    asked = list(wanted) * 2
    random.Random(seed).shuffle(asked)
    heard = [(key, ask(engine, key[1], model=key[0], max_tokens=TOKENS)) for key in asked]
    for key, each in heard:
        assert each.wait().text == wanted[key], key


def test_plain_adapters_are_really_mixed(engine: Any) -> None:
    """They are in one batch, and what cannot be mixed waits."""
    attached = engine._decoder._composition
    inside = {name: held.inside for held in engine._adapters._held.values() for name in held.names}
    assert attached.go_together([None, inside["one"], inside["two"], inside["some"]])
    assert not attached.go_together([None, inside["dora"]])
    assert attached.go_together([inside["dora"], inside["dora"]])
    held = [Heard(), Heard()]
    for name, heard in zip(("one", "two"), held, strict=True):
        engine.submit(Job(name, "go", Sampling(temperature=0, ignore_eos=True)), heard)
    for heard in held:
        heard.wait_for(lambda heard=heard: len(heard.reports) > 20)
        assert not isinstance(heard.reports[-1], Ended)
    assert len(engine._decoder._running) == 2
    for answer in list(engine._decoder._running):
        answer.cancel()
    for heard in held:
        heard.wait()


def test_models_are_listed_with_their_base(engine: Any, base: Path) -> None:
    listed = engine.models()
    assert [model.id for model in listed] == [str(base), *NAMES]
    assert [model.base for model in listed] == [None] + [str(base)] * 4


def test_the_one_unused_for_longest_makes_room(
    base: Path, workspace: Path, wanted: dict[Any, str]
) -> None:
    engine = serve(base, workspace, "one", "two", max_adapters=2)
    try:
        engine._config = None  # nothing below may depend on what was named
        adapters = engine._adapters
        some = adapters.take("some", workspace / "some")
        assert set(adapters.names()) == {"two", "some"}
        adapters.give_back(some)
        two = adapters.take("two", workspace / "two")
        again = adapters.take("one", workspace / "one")
        assert set(adapters.names()) == {"two", "one"}
        with pytest.raises(RefusedError, match="2 adapters are in use"):
            adapters.take("some", workspace / "some")
        adapters.give_back(two)
        adapters.give_back(again)
    finally:
        engine.close()


def test_an_adapter_whose_files_were_replaced_is_loaded_anew(
    base: Path, workspace: Path, wanted: dict[Any, str], tmp_path: Path
) -> None:
    shutil.copytree(workspace / "one", tmp_path / "mine")
    engine = serve(base, tmp_path, "mine")
    try:
        prompt = PROMPTS[0]
        assert (
            ask(engine, prompt, model="mine", max_tokens=TOKENS).wait().text
            == (wanted["one", prompt])
        )
        shutil.rmtree(tmp_path / "mine")
        # Gone from the disk, it still answers.
        assert (
            ask(engine, prompt, model="mine", max_tokens=TOKENS).wait().text
            == (wanted["one", prompt])
        )
        shutil.copytree(workspace / "two", tmp_path / "mine")
        assert (
            ask(engine, prompt, model="mine", max_tokens=TOKENS).wait().text
            == (wanted["two", prompt])
        )
    finally:
        engine.close()


def test_a_wrong_adapter_is_refused_and_the_rest_answers(
    base: Path, workspace: Path, wanted: dict[Any, str], tmp_path: Path
) -> None:
    engine = serve(base, tmp_path)
    try:
        for number, (spoil, message) in enumerate(SPOILT):
            folder = tmp_path / f"bad{number}"
            shutil.copytree(workspace / "one", folder)
            spoil(folder)
            with pytest.raises((InputError, RefusedError), match=message):
                engine._adapters.take("bad", folder)
        assert engine._adapters.names() == {}
        good = engine._adapters.take("one", workspace / "one")
        assert ask(engine, PROMPTS[0], max_tokens=TOKENS).wait().text == wanted[None, PROMPTS[0]]
        engine._adapters.give_back(good)
    finally:
        engine.close()


def change_config(**changes: Any) -> Any:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def change_weights(change: Any) -> Any:
    def changed(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        state = load_file(path)
        change(state)
        save_file(state, path)

    return changed


def without_provenance(folder: Path) -> None:
    (folder / "qtui.json").unlink()
    change_config(base_model_name_or_path="meta-llama/Llama-3.1-8B")(folder)


def of_another_base(folder: Path) -> None:
    path = folder / "qtui.json"
    said = json.loads(path.read_text())
    said["base_model"] = "some/other"
    said["base"]["weights_sha256"] = "0123456789abcdef" * 4
    path.write_text(json.dumps(said))


def pickled(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def torn(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def torn_checkpoint(folder: Path) -> None:
    manifest = {"step": 4, "files": [{"name": "x", "size": 1, "sha256": "0"}]}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def wider(state: dict[str, torch.Tensor]) -> None:
    key = next(key for key in state if key.endswith("q_proj.lora_A.weight"))
    state[key] = torch.zeros(4, 65)


def elsewhere(state: dict[str, torch.Tensor]) -> None:
    module = "base_model.model.model.layers.7.mlp.up_proj"
    state[f"{module}.lora_A.weight"] = torch.zeros(4, 64)
    state[f"{module}.lora_B.weight"] = torch.zeros(128, 4)


def half(state: dict[str, torch.Tensor]) -> None:
    state.pop(next(key for key in state if key.endswith("v_proj.lora_B.weight")))


def more(state: dict[str, torch.Tensor]) -> None:
    state["base_model.model.lm_head.weight"] = torch.zeros(288, 64)


SPOILT = [
    (pickled, r"only as a pickle \(adapter_model.bin\)"),
    (torn, "is torn"),
    (torn_checkpoint, "checkpoint that is damaged"),
    (lambda folder: (folder / "adapter_config.json").unlink(), "no adapter_config.json"),
    (lambda folder: (folder / "adapter_model.safetensors").unlink(), "no adapter_model.safet"),
    (of_another_base, r"adapter of some/other \(weights 0123456789a.*\), but .*micro"),
    (without_provenance, "adapter of meta-llama/Llama-3.1-8B, but"),
    (change_config(peft_type="IA3"), "peft_type IA3"),
    (change_config(bias="all"), "bias all"),
    (change_config(layer_replication=[[0, 2], [1, 2]]), "layer_replication"),
    (change_config(megatron_config={"x": 1}), "megatron_config"),
    (change_config(arrow_config={"x": 1}), "arrow_config"),
    (change_config(alpha_pattern={"(a+)+b": 3}), "alpha_pattern"),
    (change_weights(wider), r"shape \(4, 65\); the base model wants \(4, 64\)"),
    (change_weights(elsewhere), "layers.7.mlp.up_proj, which the base model does not have"),
    (change_weights(half), "lora_A or lora_B of model.layers.0.self_attn.v_proj is missing"),
    (change_weights(more), "no part of an adapter: base_model.model.lm_head.weight"),
]

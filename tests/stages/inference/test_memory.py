"""Memory is looked at first, and the answer is a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qtui import builtin
from qtui.errors import ImpossibleError
from qtui.runs import folder
from qtui.runs.lock import RunLock
from qtui.stages.inference import memory, transformers_engine
from qtui.stages.training.arguments import Machine
from qtui.system.shapes import shape_of
from tests.stages.inference.engines import config

pytestmark = pytest.mark.train

CPU = Machine("cpu", bfloat16=True)
GPU = Machine("cuda:0", bfloat16=True)
GB = 10**9


def model(quantization: str, dtype: str = "auto") -> dict[str, Any]:
    return {"quantization": quantization, "dtype": dtype}


def test_weights_are_counted_as_they_will_be_held() -> None:
    shape = shape_of("meta-llama/Llama-3.1-8B")
    held = {
        quantization: memory.need(config("x", model=model(quantization)), shape, GPU).weights
        for quantization in ("nf4", "int8", "none")
    }
    assert held["none"] == 2 * shape.parameters()
    assert held["nf4"] == pytest.approx(5.7 * GB, rel=0.05)  # 7.0 B in 4.127 bits, 1.05 B in 16
    assert held["int8"] == pytest.approx(9.1 * GB, rel=0.05)
    wide = memory.need(config("x", model=model("none", "float32")), shape, GPU)
    assert wide.weights == 4 * shape.parameters()


def test_an_answer_takes_keys_and_values_of_each_layer() -> None:
    shape = shape_of("meta-llama/Llama-3.1-8B")
    found = memory.need(config("x", model=model("nf4")), shape, GPU)
    # 32 layers, 8 heads of 128, keys and values, 2 bytes.
    assert found.answer == 2048 * 32 * 8 * 128 * 2 * 2
    short = memory.need(config("x", model=model("nf4"), max_context=512), shape, GPU)
    assert short.tokens == 512
    assert found.places(found.weights + found.working + 5 * found.answer + 1) == 5


def test_the_weights_that_are_counted_are_those_of_the_model(tmp_path: Path) -> None:
    engine = transformers_engine.load(tmp_path, config("builtin:tiny"), say=lambda sentence: None)
    held = {id(p): p.numel() * p.element_size() for p in engine._loaded.model.parameters()}
    counted = memory.need(config("builtin:tiny"), shape_of("builtin:tiny"), CPU).weights
    engine.close()
    assert counted == pytest.approx(sum(held.values()), rel=0.01)


def test_too_little_is_a_sentence_with_the_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "free", lambda machine: int(0.21 * GB))
    path = builtin.model_path("tiny")
    with pytest.raises(ImpossibleError) as refused:
        memory.require(config("builtin:tiny"), path, CPU, tmp_path, print)
    assert "builtin:tiny needs 0." in refused.value.message
    assert "0.2 GB free in memory" in refused.value.message
    run = folder.create(
        tmp_path, kind="train", config={"training": {"device": "auto"}}, command=[], name="otter"
    )
    folder.create(
        tmp_path, kind="train", config={"training": {"device": "cpu"}}, command=[], name="idle"
    )
    with RunLock(run.lock) as lock:
        lock.acquire()
        with pytest.raises(ImpossibleError) as refused:
            memory.require(config("builtin:tiny"), path, GPU, tmp_path, print)
    assert "0.2 GB free on the GPU" in refused.value.message
    assert refused.value.remedy.startswith("use the CPU (--device cpu), or stop the run otter")
    assert "idle" not in refused.value.remedy


def test_adapters_that_are_named_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "free", lambda machine: int(0.3 * GB))
    (tmp_path / "big").mkdir()
    with (tmp_path / "big" / "adapter_model.safetensors").open("wb") as file:
        file.truncate(GB // 2)  # sparse: it takes no disk
    path = builtin.model_path("tiny")
    memory.require(config("builtin:tiny"), path, CPU, tmp_path, lambda sentence: None)
    named = config("builtin:tiny", adapters=[{"name": "big", "path": "big"}])
    with pytest.raises(ImpossibleError, match=r"0\.5 GB of weights"):
        memory.require(named, path, CPU, tmp_path, print)


def test_loading_asks_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from qtui.stages.inference import loading

    monkeypatch.setattr(memory, "free", lambda machine: 1000)
    monkeypatch.setattr(loading, "load", lambda *a: pytest.fail("it was loaded all the same"))
    with pytest.raises(ImpossibleError):
        transformers_engine.load(tmp_path, config("builtin:tiny"), say=lambda sentence: None)


def test_room_for_fewer_answers_than_places_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    wanted = memory.need(config("builtin:tiny"), shape_of("builtin:tiny"), CPU)
    monkeypatch.setattr(memory, "free", lambda machine: wanted.least + 3 * wanted.answer)
    path = builtin.model_path("tiny")
    memory.require(config("builtin:tiny"), path, CPU, tmp_path, said.append)
    assert "so 4 of 16 fit at once" in said[0]
    monkeypatch.setattr(memory, "free", lambda machine: 10 * GB)
    memory.require(config("builtin:tiny"), path, CPU, tmp_path, said.append)
    assert "at once" not in said[1]

"""Runs of the workspace are answered for by name, also while they are being trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig

from qtui.runs import folder
from qtui.stages.inference import transformers_engine
from qtui.stages.inference.engine import RefusedError
from qtui.stages.training import checkpoints
from tests.stages.inference.engines import ask, config
from tests.stages.inference.test_adapters import make_adapter
from tests.stages.training.micro import SIZE, make_model

pytestmark = pytest.mark.train

PROMPT = "go on from here"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    llama = LlamaConfig(**SIZE, tie_word_embeddings=True, initializer_range=0.2)
    return make_model(tmp_path_factory.mktemp("base") / "micro", config=llama)


@pytest.fixture(scope="module")
def workspace(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`done` has a result and two checkpoints, `going` checkpoints alone, `new` nothing."""
    place = tmp_path_factory.mktemp("workspace")
    made = {
        name: folder.create(
            place, kind="train", config={"model": {"model_name": str(base)}}, command=[], name=name
        )
        for name in ("done", "going", "new", "whole")
    }
    folder.create(place, kind="serve", config={}, command=[], name="behind")
    make_adapter(base, made["done"].adapter, seed=1)
    for name, step in (("done", 4), ("done", 8), ("going", 4), ("going", 12)):
        add_checkpoint(base, made[name], step, seed=100 * len(name) + step)
    return place


def add_checkpoint(
    base: Path, run: folder.Run, step: int, seed: int, template: str | None = None
) -> None:
    staging = run.path / "staged"
    make_adapter(base, staging, seed=seed)
    if template is not None:
        (staging / "chat_template.jinja").write_text(template)
    (staging / "qtui.json").unlink()
    run.checkpoints.mkdir(exist_ok=True)
    checkpoints.complete(
        staging, run.checkpoints, step=step, epoch=None, trained_tokens=0, num_tokens=0
    )


@pytest.fixture
def engine(base: Path, workspace: Path) -> Iterator[Any]:
    made = transformers_engine.load(workspace, config(base), say=lambda sentence: None)
    yield made
    made.close()


def text(engine: Any, name: str | None = None) -> str:
    answer: str = ask(engine, PROMPT, model=name, max_tokens=12).wait().text
    return answer


def test_a_run_and_its_checkpoints_are_loaded_when_asked_for(engine: Any, base: Path) -> None:
    answers = [text(engine, name) for name in (None, "done", "done@4", "done@8", "going@4")]
    assert len(set(answers)) == 5
    assert text(engine, "done@last") == answers[3]
    assert text(engine, "don") == answers[1]  # a beginning that fits one run
    listed = [model.id for model in engine.models()]
    assert listed[0] == str(base)
    assert set(listed[1:]) == {"done", "done@4", "done@8", "going@4"}


def test_a_run_in_training_answers_with_its_newest_checkpoint(
    engine: Any, base: Path, workspace: Path
) -> None:
    run = folder.find(workspace, "going")
    before = text(engine, "going")
    assert before == text(engine, "going@12")
    add_checkpoint(base, run, 20, seed=77)
    after = text(engine, "going")
    assert after != before
    assert after == text(engine, "going@20")
    # One that was cleared away meanwhile is still held.
    shutil.rmtree(run.checkpoints / "step-000020")
    assert text(engine, "going@20") == after


def test_a_checkpoint_that_was_cleared_away_keeps_its_chat_template(
    engine: Any, base: Path, workspace: Path
) -> None:
    run = folder.find(workspace, "going")
    template = "{% for m in messages %}mine: {{ m.content }}{% endfor %}"
    add_checkpoint(base, run, 24, seed=78, template=template)
    hello = [{"role": "user", "content": "hello"}]
    before = ask(engine, hello, model="going@24", max_tokens=3).wait()
    assert before.began.prompt == "mine: hello"
    shutil.rmtree(run.checkpoints / "step-000024")
    after = ask(engine, hello, model="going@24", max_tokens=3).wait()
    assert (after.began.prompt, after.text) == ("mine: hello", before.text)


def test_a_checkpoint_of_another_run_of_the_same_name_is_another(
    engine: Any, base: Path, workspace: Path
) -> None:
    config = {"model": {"model_name": str(base)}}
    runs = []
    for seed in (31, 32):
        run = folder.create(workspace, kind="train", config=config, command=[], name="again")
        add_checkpoint(base, run, 4, seed=seed)
        runs.append(text(engine, "again@4"))
        folder.delete(run)
    assert runs[0] != runs[1]


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("nobody", 404, "no run"),
        ("done@5", 404, "no checkpoint of step 5"),
        ("new", 400, "no adapter and no checkpoint yet"),
        ("../secret", 404, "no run's name"),
        ("Qwen/Qwen2.5-0.5B-Instruct", 404, "no run's name"),
        ("@last", 404, "no run's name"),
        ("behind", 404, "is a server"),
    ],
)
def test_what_is_not_there_is_refused(engine: Any, name: str, status: int, message: str) -> None:
    with pytest.raises(RefusedError, match=message) as refused:
        text(engine, name)
    assert refused.value.status == status


def test_a_torn_checkpoint_is_refused(engine: Any, base: Path, workspace: Path) -> None:
    run = folder.find(workspace, "done")
    add_checkpoint(base, run, 16, seed=5)
    weights = run.checkpoints / "step-000016" / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(RefusedError, match="damaged"):
        text(engine, "done@16")
    shutil.rmtree(weights.parent)


def test_a_run_that_trained_the_whole_model_is_a_base(
    base: Path, workspace: Path, engine: Any
) -> None:
    run = folder.find(workspace, "whole")
    shutil.copytree(base, run.path / "model")
    spec = json.loads((run.path / "run.json").read_text())
    spec["config"]["model"] |= {"full_finetuning": True, "use_qlora": False}
    (run.path / "run.json").write_text(json.dumps(spec))
    with pytest.raises(RefusedError, match="trained the whole model"):
        text(engine, "whole")
    own = transformers_engine.load(workspace, config(run.path / "model"), say=lambda s: None)
    try:
        assert text(own, "whole") == text(own)
    finally:
        own.close()


def test_a_stranger_does_not_hear_where_the_workspace_lies(engine: Any, workspace: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        ask(engine, PROMPT, model="nobody")
    assert caught.value.status == 404
    assert str(workspace) not in f"{caught.value.message} {caught.value.remedy}"

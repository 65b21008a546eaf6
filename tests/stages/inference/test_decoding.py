"""What goes wrong for one request fails that one; what kills the engine is said to all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from qtui.stages.inference import answer, batch, decoding, transformers_engine
from qtui.stages.inference.engine import (
    Began,
    Failed,
    GoneError,
    Job,
    Piece,
    RefusedError,
    Report,
    Sampling,
)
from tests.stages.inference.engines import Heard, ask, config

pytestmark = pytest.mark.train

QUESTION = "Number one is a number of many words, and number two"


def serve(workspace: Path) -> Any:
    return transformers_engine.load(
        workspace, config("builtin:tiny", max_concurrent=8), say=lambda sentence: None
    )


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    made = serve(tmp_path_factory.mktemp("workspace"))
    yield made
    made.close()


@contextmanager
def before_each_call(engine: Any, look: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """`look` gets the keywords of every call of the model, and may raise."""
    model = engine._loaded.model
    hook = model.model.layers[3].register_forward_pre_hook(
        lambda _, arguments, keywords: look({"hidden": arguments[0], **keywords}), with_kwargs=True
    )
    try:
        yield
    finally:
        hook.remove()


def out_of_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@contextmanager
def all_at_once(engine: Any) -> Iterator[None]:
    """What is asked for inside is waiting, all of it, when the engine looks again."""
    gate = threading.Event()
    entered = threading.Event()

    def errand() -> None:
        entered.set()
        gate.wait(30)

    thread = threading.Thread(target=lambda: engine._decoder.between_steps(errand))
    thread.start()
    entered.wait(30)
    try:
        yield
    finally:
        gate.set()
        thread.join()


def test_prompts_too_many_for_the_memory_are_read_one_by_one(engine: Any) -> None:
    prompts = [f"{QUESTION} {number}" for number in range(5)]
    wanted = [ask(engine, prompt, max_tokens=6).wait().text for prompt in prompts]

    def look(call: dict[str, Any]) -> None:
        rows, columns = call["hidden"].shape[:2]
        if rows > 1 and columns > 1:
            out_of_memory()

    with before_each_call(engine, look):
        with all_at_once(engine):
            heard = [ask(engine, prompt, max_tokens=6) for prompt in prompts]
        assert [each.wait().text for each in heard] == wanted


def test_a_prompt_too_long_for_the_memory_fails_and_others_answer(engine: Any) -> None:
    wanted = ask(engine, QUESTION, max_tokens=20).wait().text

    def look(call: dict[str, Any]) -> None:
        if call["hidden"].shape[1] > 100:
            out_of_memory()

    with before_each_call(engine, look):
        first = ask(engine, QUESTION, max_tokens=20)
        long = ask(engine, "word " * 200, max_tokens=20)
        assert first.wait().text == wanted
        error = long.wait().failed.error
    assert isinstance(error, RefusedError)
    assert (error.code, error.status) == ("out_of_memory", 503)
    assert ask(engine, QUESTION, max_tokens=20).wait().text == wanted
    assert engine.trouble() == ""


def test_when_a_step_finds_no_memory_the_longest_answer_fails(engine: Any) -> None:
    short = [f"{QUESTION} {number}" for number in range(3)]
    wanted = [ask(engine, prompt, max_tokens=15).wait().text for prompt in short]
    armed = threading.Event()

    def look(call: dict[str, Any]) -> None:
        if armed.is_set() and call["hidden"].shape[:2] == (4, 1):
            out_of_memory()

    with before_each_call(engine, look):
        with all_at_once(engine):
            long = ask(engine, QUESTION * 4, max_tokens=300, ignore_eos=True)
            heard = [ask(engine, prompt, max_tokens=15) for prompt in short]
            armed.set()
        assert [each.wait().text for each in heard] == wanted
        assert long.wait().failed.error.code == "out_of_memory"  # type: ignore[attr-defined]


def test_when_there_is_no_memory_to_move_rows_together_they_fail_and_the_next_is_answered(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ask(engine, QUESTION, max_tokens=5).wait().text
    with monkeypatch.context() as patch:
        patch.setattr(batch.Rows, "keep", lambda *_: out_of_memory())
        with all_at_once(engine):
            short = ask(engine, QUESTION, max_tokens=5)
            long = ask(engine, QUESTION, max_tokens=50, ignore_eos=True)
        assert short.wait().text == wanted
        error = long.wait().failed.error
        assert isinstance(error, RefusedError)
        assert error.code == "out_of_memory"
    assert ask(engine, QUESTION, max_tokens=5).wait().text == wanted
    assert engine.trouble() == ""


def test_an_exception_of_nobody_in_particular_ends_all(tmp_path: Path) -> None:
    engine = serve(tmp_path)
    calls = []

    def look(call: dict[str, Any]) -> None:
        calls.append(call)
        if len(calls) > 5:
            raise RuntimeError("CUDA error: device-side assert triggered")

    with before_each_call(engine, look):
        heard = [ask(engine, QUESTION, max_tokens=50, ignore_eos=True) for _ in range(3)]
        for each in heard:
            assert isinstance(each.wait().failed.error, GoneError)
    assert "device-side assert" in engine.trouble()
    with pytest.raises(GoneError):
        ask(engine, QUESTION)
    with pytest.raises(GoneError):
        engine._decoder.between_steps(lambda: None)
    engine.close()


def test_those_whose_first_token_cannot_be_drawn_hear_that_all_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = serve(tmp_path)

    def choose(*_: Any) -> Any:
        raise RuntimeError("no token")

    monkeypatch.setattr(decoding.Sampler, "choose", choose)
    heard = ask(engine, QUESTION).wait()
    assert isinstance(heard.failed.error, GoneError)
    engine.close()


def test_a_text_that_cannot_be_made_fails_one_answer(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ask(engine, QUESTION, max_tokens=10).wait().text
    own = answer.TextStream.add

    def add(stream: Any, token: int) -> str:
        if stream._stop == ("break me",):
            raise ValueError("no such token")
        return own(stream, token)

    monkeypatch.setattr(answer.TextStream, "add", add)
    broken = ask(engine, QUESTION, max_tokens=10, stop=("break me",))
    good = ask(engine, QUESTION, max_tokens=10)
    assert good.wait().text == wanted
    assert "no such token" in broken.wait().failed.error.message


def test_numbers_that_are_none_are_said(engine: Any) -> None:
    model = engine._loaded.model
    hook = model.lm_head.register_forward_hook(lambda *a: a[-1] * float("nan"))
    heard = ask(engine, QUESTION)
    assert "NaN" in heard.wait().failed.error.message
    hook.remove()
    assert ask(engine, QUESTION, max_tokens=2).wait().ended.completion_tokens == 2


def test_jobs_begin_in_the_order_in_which_they_came(engine: Any) -> None:
    order: list[int] = []
    done = threading.Semaphore(0)

    def sink(number: int) -> Callable[[Report], None]:
        def hear(report: Report) -> None:
            if isinstance(report, Began):
                order.append(number)
            elif not isinstance(report, Piece):
                done.release()

        return hear

    for number in range(20):
        sampling = Sampling(max_tokens=1 + number % 7, temperature=0)
        engine.submit(Job("builtin:tiny", QUESTION, sampling), sink(number))
    for _ in range(20):
        assert done.acquire(timeout=60)
    assert order == list(range(20))


def test_never_more_at_once_than_there_are_places(engine: Any) -> None:
    widest = []
    with before_each_call(engine, lambda call: widest.append(call["hidden"].shape[0])):
        heard = [ask(engine, QUESTION, max_tokens=5 + at % 4) for at in range(25)]
        for each in heard:
            each.wait()
    assert max(widest) == 8


def test_a_job_that_waits_can_be_cancelled(engine: Any) -> None:
    waiting = Heard()
    with all_at_once(engine):
        ticket = engine.submit(Job("builtin:tiny", QUESTION), waiting)
        ticket.cancel()
    assert waiting.wait().ended.reason == "cancelled"
    assert [type(report) for report in waiting.reports][:-1] == []


def test_a_long_prompt_is_read_in_pieces_between_the_steps_of_others(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "PIECE", 50)
    wanted = ask(engine, "word " * 130, max_tokens=3).wait().text
    shapes: list[tuple[int, int]] = []
    with before_each_call(
        engine, lambda call: shapes.append((call["hidden"].shape[0], call["hidden"].shape[1]))
    ):
        other = Heard()
        ticket = engine.submit(
            Job("builtin:tiny", QUESTION, Sampling(temperature=0, ignore_eos=True)), other
        )
        other.wait_for(lambda: len(other.reports) > 3)
        heard = ask(engine, "word " * 130, max_tokens=3).wait()
        ticket.cancel()
        other.wait()
    assert heard.text == wanted
    long = [at for at, (_, columns) in enumerate(shapes) if columns == 50]
    assert len(long) >= 2
    assert shapes[long[0] + 1] == (1, 1)  # the other one's step comes between
    assert max(columns for _, columns in shapes) <= 50


def test_nothing_is_answered_where_nothing_is_wanted(engine: Any) -> None:
    heard = ask(engine, QUESTION, max_tokens=0).wait()
    assert heard.ended.completion_tokens == 0
    assert heard.text == ""
    assert not any(isinstance(report, Failed) for report in heard.reports)

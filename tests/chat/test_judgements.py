"""Judgements become rows, and the `data` section takes the rows as they are."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qtui.chat import conversation as talk
from qtui.chat import judgement as one
from qtui.chat import judgements
from qtui.chat.asks import Settings
from qtui.chat.conversation import Answer, Conversation
from qtui.chat.judgements import Counts, Judged, Judgement
from qtui.errors import InputError

MESSAGES = ({"role": "system", "content": "be brief"}, {"role": "user", "content": "2+2?"})


def judged(text: str, name: str = "a", model: str = "otter@400") -> Judged:
    return Judged(name, text, model, Settings(json_schema={"type": "object"}), "stop")


def said(verdict: Any, answer: str, name: str = "a", **more: Any) -> Judgement:
    return Judgement(verdict, judged(answer, name), MESSAGES, run="20200101-000000-otter", **more)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def sft(folder: Path) -> list[str]:
    return [row["messages"][-1]["content"] for row in rows(judgements.sft_path(folder))]


def pairs(folder: Path) -> list[tuple[str, str]]:
    return [
        (row["chosen"][0]["content"], row["rejected"][0]["content"])
        for row in rows(judgements.preferences_path(folder))
    ]


def test_a_good_answer_is_a_row_with_its_provenance(tmp_path: Path) -> None:
    judgements.judge(tmp_path / "chat", said("good", "4"))
    (row,) = rows(judgements.sft_path(tmp_path / "chat"))
    assert row["messages"] == [*MESSAGES, {"role": "assistant", "content": "4"}]
    told = row["provenance"]
    assert (told["run"], told["step"], told["model"]) == ("20200101-000000-otter", 400, "otter@400")
    assert json.loads(told["settings"])["temperature"] == 0.7
    assert told["verdict"] == "good"
    assert told["judged"] > 0
    assert pairs(tmp_path / "chat") == []


def test_an_edited_answer_is_learnt_and_preferred_to_what_it_was(tmp_path: Path) -> None:
    judgements.judge(tmp_path, said("edited", "5", text="4"))
    assert sft(tmp_path) == ["4"]
    assert pairs(tmp_path) == [("4", "5")]


def test_a_better_answer_is_a_pair_and_nothing_else(tmp_path: Path) -> None:
    judgements.judge(tmp_path, said("better", "4", over=judged("5", "b")))
    assert sft(tmp_path) == []
    assert pairs(tmp_path) == [("4", "5")]


def test_a_bad_answer_is_nothing_by_itself_and_a_pair_with_a_good_one(tmp_path: Path) -> None:
    judgements.judge(tmp_path, said("bad", "5"))
    assert (sft(tmp_path), pairs(tmp_path)) == ([], [])
    elsewhere = replace(said("good", "x", "z"), messages=MESSAGES[1:])
    judgements.judge(tmp_path, elsewhere)
    assert pairs(tmp_path) == []
    judgements.judge(tmp_path, said("good", "4", "b"))
    assert pairs(tmp_path) == [("4", "5")]
    assert judgements.counts(tmp_path) == Counts(good=2, bad=1, edited=0, pairs=1, sft_rows=2)


def test_the_last_word_wins(tmp_path: Path) -> None:
    for verdict in ("good", "bad", "good"):
        judgements.judge(tmp_path, said(verdict, "4"))
    assert sft(tmp_path) == ["4"]
    judgements.judge(tmp_path, said("bad", "4"))
    assert sft(tmp_path) == []
    judgements.judge(tmp_path, said("better", "4", over=judged("5", "b")))
    judgements.judge(tmp_path, Judgement("better", judged("5", "b"), MESSAGES, over=judged("4")))
    assert pairs(tmp_path) == [("5", "4")]
    assert len(rows(tmp_path / judgements.LOG)) == 6


def test_what_is_withdrawn_is_gone_and_nothing_else(tmp_path: Path) -> None:
    judgements.judge(tmp_path, said("good", "4"))
    judgements.judge(tmp_path, said("better", "4", over=judged("5", "b")))
    judgements.withdraw(tmp_path, "a")
    assert (sft(tmp_path), pairs(tmp_path)) == ([], [("4", "5")])
    assert {key: each.verdict for key, each in judgements.verdicts(tmp_path).items()} == {
        "a": "better"
    }
    judgements.withdraw(tmp_path, "b", "a")
    assert pairs(tmp_path) == []
    assert judgements.counts(tmp_path) == Counts()


def test_the_same_row_is_written_once(tmp_path: Path) -> None:
    judgements.judge(tmp_path, said("good", "4", "a"))
    judgements.judge(tmp_path, said("good", "4", "b"))
    judgements.judge(tmp_path, said("bad", "4 ", "c"))
    assert sft(tmp_path) == ["4"]
    assert pairs(tmp_path) == []
    assert judgements.counts(tmp_path) == Counts(good=2, bad=1, sft_rows=1)


@pytest.mark.parametrize(
    "judgement",
    [
        said("good", " \n"),
        said("edited", "4", text=""),
        said("better", "4"),
        said("better", "4", over=judged("x", "a")),
        Judgement("good", judged("4")),
        Judgement("good", judged("4"), ({"role": "user", "content": " "},)),
    ],
)
def test_what_teaches_nothing_is_refused(judgement: Judgement, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        judgements.judge(tmp_path, judgement)
    assert not (tmp_path / judgements.LOG).exists()


def test_a_torn_line_costs_nothing_else(tmp_path: Path) -> None:
    judgements.judge(tmp_path, said("good", "4", "a"))
    with open(tmp_path / judgements.LOG, "ab") as file:
        file.write(b'{"verdict": "good", "ans')
    judgements.judge(tmp_path, said("good", "four", "b"))
    assert sft(tmp_path) == ["4", "four"]


def test_half_of_a_surrogate_pair_is_kept_in_the_log_and_harmless_in_the_rows(
    tmp_path: Path,
) -> None:
    judgements.judge(tmp_path, said("good", "x\ud83d"))
    assert sft(tmp_path) == ["x?"]
    assert judgements.verdicts(tmp_path)["a"].answer.text == "x\ud83d"


def _judge_many(folder: Path, worker: int) -> None:
    for number in range(10):
        name = f"{worker}-{number}"
        judgements.judge(folder, said("good", f"answer {name}", name))


def test_dashboards_that_judge_at_once_lose_nothing(tmp_path: Path) -> None:
    start = multiprocessing.get_context("spawn")
    workers = [start.Process(target=_judge_many, args=(tmp_path, each)) for each in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(set(sft(tmp_path))) == 30
    assert judgements.counts(tmp_path).sft_rows == 30


# -- out of a conversation ------------------------------------------------------------------------


@pytest.fixture
def compared() -> Conversation:
    """Two models that were asked the same, one of them twice."""
    now = talk.ask(talk.new(("base", "otter"), system="be brief"), "2+2?")
    for side, text in ((0, "five"), (1, "three"), (1, "four")):
        answer = Answer(f"{side}{text}", now.sides[side], text)
        now = talk.with_answer(now, now.leaf or "", side, answer)
    return now


def test_the_newest_answer_is_judged_unless_another_is_named(compared: Conversation) -> None:
    leaf = compared.leaf or ""
    good = one.of(compared, leaf, 1, "good", run="r")
    assert (good.answer.id, good.answer.model, good.run) == ("1four", "otter", "r")
    assert good.messages == MESSAGES
    assert one.of(compared, leaf, 1, "bad", answer_id="1three").answer.text == "three"
    better = one.of(compared, leaf, 1, "better")
    assert better.over is not None
    assert better.over.id == "0five"
    retry = one.of(compared, leaf, 1, "better", over_id="1three")
    assert retry.over is not None
    assert retry.over.text == "three"


def test_what_was_edited_is_what_is_good(compared: Conversation) -> None:
    leaf = compared.leaf or ""
    edited = talk.edit_answer(compared, leaf, 1, "1four", "4")
    found = one.of(edited, leaf, 1, "good")
    assert (found.verdict, found.answer.text, found.text) == ("edited", "four", "4")
    assert one.of(edited, leaf, 1, "edited").text == "4"
    with pytest.raises(InputError):
        one.of(compared, leaf, 1, "edited")


def test_special_tokens_are_not_learnt(compared: Conversation) -> None:
    leaf = compared.leaf or ""
    raw = Answer("raw", "otter", "four<|end|>", raw_prompt="<|user|>2+2?")
    now = talk.with_answer(compared, leaf, 1, raw)
    with pytest.raises(InputError, match="special tokens"):
        one.of(now, leaf, 1, "good")


# -- as data --------------------------------------------------------------------------------------


def test_the_data_section_makes_rows_of_them_without_a_word(tmp_path: Path) -> None:
    from qtui.config.models import DataConfig
    from qtui.stages.data.rows import Record
    from qtui.stages.data.shapes.shapes import row_of

    judgements.judge(tmp_path, said("edited", "5", text="4"))
    config = DataConfig(input_path="sft.jsonl")
    (row,) = rows(judgements.sft_path(tmp_path))
    assert row_of(Record(row, 1), "sft.jsonl", config).messages == tuple(row["messages"])
    (pair,) = rows(judgements.preferences_path(tmp_path))
    chosen = replace_rows(config, "chosen")
    assert row_of(Record(pair, 1), "p", chosen).messages == tuple(pair["prompt"] + pair["chosen"])
    kept = row_of(Record(pair, 1), "p", replace_rows(config, "keep"))
    assert kept.rejected == tuple(pair["rejected"])


def replace_rows(config: Any, rule: str) -> Any:
    return config.model_copy(update={"preference_rows": rule})


@pytest.mark.train
def test_a_run_file_prepares_them_without_a_finding(tmp_path: Path) -> None:
    from qtui.config.models import FineTuneConfig
    from qtui.stages.data.prepare import prepare
    from tests.stages.data import tiny

    for number in range(12):
        text = f"the answer to question {number} is {number * 3}"
        about = ({"role": "user", "content": f"What is three times {number}, please?"},)
        wrong = Judged(f"b{number}", f"I do not know {number} at all", "base")
        good = Judgement("good", judged(text, f"a{number}"), about, run="r")
        judgements.judge(tmp_path, good)
        judgements.judge(tmp_path, replace(good, verdict="better", over=wrong))
    for path, rule in (
        (judgements.sft_path(tmp_path), "refuse"),
        (judgements.preferences_path(tmp_path), "chosen"),
    ):
        config = FineTuneConfig.model_validate(
            {
                "data": {"input_path": str(path), "preference_rows": rule, "validation_split": 0},
                "training": {"max_seq_length": 256},
            }
        )
        prepared = prepare(config, tiny.tokenizer(tiny.MARKED), tmp_path / rule)
        report = prepared.report
        assert (report.rows_read, report.rows_bad, report.train_rows) == (12, 0, 12)
        assert report.finding_counts == {}

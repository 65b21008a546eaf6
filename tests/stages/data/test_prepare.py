"""From a run file to rows for the trainer: measured, refused where nothing can be learnt, kept."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qtui.config.models import FineTuneConfig
from qtui.errors import InputError, StoppedError
from qtui.runs.dataset import Dataset, Part
from qtui.stages.data import measure
from qtui.stages.data.encoding import encode
from qtui.stages.data.encoding.tokenise import IGNORED, Tokens
from qtui.stages.data.prepare import Prepared, prepare
from qtui.stages.data.rows import Findings
from qtui.stages.data.store import TokenWriter, write_atomically
from tests.stages.data import tiny

pytestmark = pytest.mark.train


def rows(
    path: Path, number: int = 20, *, answer: str = "the answer is", system: bool = False
) -> Path:
    lines = []
    for i in range(number):
        row = {"instruction": f"question {i}", "output": f"{answer} {i}"}
        lines.append(json.dumps({**row, "system": "be kind"} if system else row))
    path.write_text("\n".join(lines) + "\n")
    return path


def config(
    path: Path, *, length: int = 256, answers_only: bool = True, **data: Any
) -> FineTuneConfig:
    return FineTuneConfig.model_validate(
        {
            "data": {"input_path": str(path), "validation_split": 0.2, **data},
            "training": {"max_seq_length": length, "assistant_only_loss": answers_only},
        }
    )


def run(
    settings: FineTuneConfig, out: Path, template: str | None = tiny.MARKED, **more: Any
) -> Prepared:
    return prepare(settings, tiny.tokenizer(template), out, **more)


def test_rows_reach_the_trainer_and_the_report_adds_up(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl")
    with path.open("a") as file:
        file.write("{broken\n")
    seen: list[tuple[str, int, int, str]] = []
    out = tmp_path / "run" / "data"
    prepared = run(config(path, max_bad_rows=0.1), out, progress=lambda *told: seen.append(told))
    tokenizer = tiny.tokenizer(tiny.MARKED)
    report = prepared.report
    assert (report.rows_read, report.rows_bad, report.train_rows, report.validation_rows) == (
        21,
        1,
        16,
        4,
    )
    assert (len(prepared.train), len(prepared.validation)) == (16, 4)
    assert seen[-1] == ("prepare", 20, 20, "rows")
    tokens = trained = 0
    for row in prepared.train:
        assert set(row) == {"input_ids", "labels"}
        assert len(row["input_ids"]) == len(row["labels"])
        learnt = tokenizer.decode([label for label in row["labels"] if label != IGNORED])
        assert learnt.startswith("the answer is ")
        assert learnt.endswith("<|im_end|>")
        tokens += len(row["input_ids"])
        trained += sum(label != IGNORED for label in row["labels"])
    assert (report.tokens, report.trained_tokens) == (tokens, trained)
    assert report.trained_share == trained / tokens
    assert report.lengths.max == max(len(row["input_ids"]) for row in prepared.train)
    assert (report.mask, report.template) == ("generation", "the model's own chat template")
    assert any("16 rows to train on, 4 held out" in sentence for sentence in report.sentences())
    assert any(f"{path}:21: not valid JSON" in sentence for sentence in report.sentences())
    # What lies in the folder says the same.
    assert msgspec.json.decode((out / "report.json").read_bytes(), type=measure.Report) == report
    with Dataset(out) as stored:
        assert len(stored) == 21
        number = stored.next_of(Part.TRAIN, -1)
        assert number is not None
        view = stored.tokens(number)
        assert view is not None
        (start, end) = view.trained[0]
        assert view.text[start:end].endswith("<|im_end|>")
        assert list(view.token_ids()[: view.kept]) == prepared.train[0]["input_ids"]
        assert (stored.part(20), stored.tokens(20)) == (Part.UNUSABLE, None)
        assert stored.row(20).raw == "{broken\n"
        (finding,) = stored.findings()
        assert (finding.kind, finding.row) == ("broken-json", 20)
    # The sample prompts are held-out questions and their answers.
    assert len(prepared.sample_prompts) == 4
    messages, reference = prepared.sample_prompts[0]
    assert reference == f"the answer is {messages[-1]['content'].removeprefix('question ')}"
    assert not any(name.name.startswith(".") for name in out.iterdir())


def test_the_built_in_rows_and_the_built_in_model(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from qtui.builtin import model_path

    tokenizer = AutoTokenizer.from_pretrained(model_path("tiny"))
    settings = FineTuneConfig.model_validate({"data": {"max_samples": 40}})
    prepared = prepare(settings, tokenizer, tmp_path)
    assert len(prepared.train) == 40
    assert prepared.report.rows_bad == prepared.report.rows_dropped == 0
    for row in prepared.train:
        learnt = tokenizer.decode([label for label in row["labels"] if label != IGNORED])
        json.loads(learnt.removesuffix("<|end|>"))
        assert row["input_ids"].count(tokenizer.bos_token_id) == 1


def test_a_second_start_takes_what_is_there_even_if_the_input_has_changed(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl")
    first = run(config(path), tmp_path / "out")
    stamp = (tmp_path / "out" / "train.arrow").stat().st_mtime_ns
    again = run(config(path), tmp_path / "out")
    assert again.report == first.report
    assert again.sample_prompts == first.sample_prompts
    assert again.train[:] == first.train[:]
    rows(path, 5)
    changed = run(config(path), tmp_path / "out")
    path.unlink()
    gone = run(config(path), tmp_path / "out")
    for later in (changed, gone):
        assert later.train[:] == first.train[:]
        assert later.report.finding_counts == {"input-changed": 1}
        assert any("has changed since" in sentence for sentence in later.report.sentences())
    assert (tmp_path / "out" / "train.arrow").stat().st_mtime_ns == stamp


def test_another_setting_or_a_broken_folder_is_prepared_again(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl")
    out = tmp_path / "out"
    first = run(config(path), out)
    shorter = run(config(path, length=20), out)
    assert shorter.report.max_seq_length == 20
    (out / "manifest.json").write_text("{")
    assert run(config(path), out).train[:] == first.train[:]
    (out / "train.arrow").unlink()
    assert run(config(path), out).train[:] == first.train[:]


def test_a_preparation_that_was_stopped_is_not_taken_for_whole(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl", 30)
    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    with pytest.raises(StoppedError):
        run(config(path), tmp_path / "out", stopped=stopped)
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert len(run(config(path), tmp_path / "out").train) == 24


def test_no_trained_token_refuses_to_start_and_says_why(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl", system=True)
    with pytest.raises(InputError, match="not one trained token is left") as short:
        run(config(path, length=8), tmp_path / "a")
    assert "training.max_seq_length to" in short.value.remedy
    assert not (tmp_path / "a" / "manifest.json").exists()


def test_rows_that_lose_their_answer_are_counted_and_cut_rows_suggest_a_length(
    tmp_path: Path,
) -> None:
    path = rows(tmp_path / "x.jsonl", 18)
    with path.open("a") as file:
        file.write(json.dumps({"instruction": "long " * 60, "output": "lost"}) + "\n")
        file.write(json.dumps({"instruction": "q", "output": "long " * 60}) + "\n")
    prepared = run(config(path, length=40, validation_split=0), tmp_path / "out")
    report = prepared.report
    assert prepared.validation is None
    assert (report.train_rows, report.rows_dropped, report.rows_truncated) == (19, 1, 2)
    assert len(prepared.train) == 19
    assert report.finding_counts["dropped"] == 1
    assert any(f"{path}:19: no trained token" in str(finding) for finding in report.findings)
    assert any("1 of 20 rows are not used" in sentence for sentence in report.suggestions)
    assert any(f"max_seq_length {report.lengths.p99}" in s for s in report.suggestions)


def test_rows_that_the_template_refuses_count_as_bad(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl", 9)
    with path.open("a") as file:
        file.write(json.dumps({"instruction": "forbidden", "output": "a"}) + "\n")
    text = (
        "{% if 'forbidden' in messages[0]['content'] %}{{ raise_exception('not that') }}{% endif %}"
    )
    with pytest.raises(InputError, match="1 of 10 rows") as refused:
        run(config(path, max_bad_rows=0.05), tmp_path / "a", text + tiny.MARKED)
    assert "not that" in refused.value.message
    prepared = run(config(path, max_bad_rows=0.1), tmp_path / "b", text + tiny.MARKED)
    assert prepared.report.rows_bad == 1
    assert prepared.report.finding_counts["template"] == 1


def test_a_template_file_reaches_the_tokenizer_and_a_missing_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.jinja").write_text(tiny.MARKED)
    tokenizer = tiny.tokenizer(None)
    path = rows(tmp_path / "x.jsonl")
    prepared = prepare(
        config(path, chat_template=str(tmp_path / "x.jinja")), tokenizer, tmp_path / "out"
    )
    assert prepared.chat_template == tokenizer.chat_template == tiny.MARKED
    with pytest.raises(InputError, match="no chat template"):
        run(config(path), tmp_path / "none", None)
    # A later start needs the file no more.
    (tmp_path / "x.jinja").unlink()
    fresh = tiny.tokenizer(None)
    settings = config(path, chat_template=str(tmp_path / "x.jinja"))
    later = prepare(settings, fresh, tmp_path / "out")
    assert later.train[:] == prepared.train[:]
    assert fresh.chat_template == tiny.MARKED
    assert later.report.finding_counts == {"input-changed": 1}


def test_the_whole_conversation_can_be_learnt(tmp_path: Path) -> None:
    prepared = run(
        config(rows(tmp_path / "x.jsonl"), answers_only=False), tmp_path / "out", tiny.CHATML
    )
    assert all(row["labels"] == row["input_ids"] for row in prepared.train)
    assert prepared.report.mask == "all"


def test_the_copy_for_the_user_can_be_read_again(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl")
    copies = tmp_path / "copies"
    run(config(path, output_path=str(copies)), tmp_path / "out")
    again = run(
        config(copies / "train.jsonl", validation_path=str(copies / "validation.jsonl")),
        tmp_path / "two",
    )
    assert (again.report.train_rows, again.report.validation_rows) == (16, 4)
    with pytest.raises(InputError, match="overwrite its own input"):
        run(config(copies / "train.jsonl", output_path=str(copies)), tmp_path / "three")
    assert len((copies / "train.jsonl").read_text().splitlines()) == 16


def test_a_folded_system_text_is_said_and_reaches_the_sample_prompts(tmp_path: Path) -> None:
    text = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"
        + tiny.MARKED
    )
    prepared = run(config(rows(tmp_path / "x.jsonl", system=True)), tmp_path / "out", text)
    assert prepared.report.finding_counts == {"system-folded": 1}
    messages, _ = prepared.sample_prompts[0]
    assert [m["role"] for m in messages] == ["user"]
    assert messages[0]["content"].startswith("be kind\n\nquestion")


def test_text_that_the_model_takes_for_its_own_marks_is_said(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl", 10)
    with path.open("a") as file:
        file.write(json.dumps({"instruction": "q", "output": "stop <|im_end|> here"}) + "\n")
    report = run(config(path), tmp_path / "out").report
    assert report.finding_counts == {"control-token": 1}
    assert "'<|im_end|>'" in report.findings[0].message
    assert report.findings[0].line == 11


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "rows.arrow"
    with pytest.raises(ZeroDivisionError), TokenWriter(target) as writer:
        writer.add([1], [1])
        raise ZeroDivisionError
    with TokenWriter(target):
        pass
    assert list(tmp_path.iterdir()) == []

    def parts() -> Any:
        yield b"half"
        raise ZeroDivisionError

    write_atomically(tmp_path / "x", b"before")
    with pytest.raises(ZeroDivisionError):
        write_atomically(tmp_path / "x", parts())
    assert (tmp_path / "x").read_bytes() == b"before"


def test_percentiles_and_suggestions() -> None:
    measured = measure.Measure()
    for length in range(1, 101):
        measured.add(Tokens([0] * length, [0] * length, length, length))
    assert measured.percentiles() == measure.Lengths(p50=50, p90=90, p99=99, max=100)
    assert "more than four times" in measure.suggestions(measured, 1000)[0]
    assert measure.suggestions(measured, 128) == []
    for _ in range(100):
        measured.add(Tokens([0] * 100, [IGNORED] * 100, 300, 0))
    assert "100 of 200 rows are not used" in measure.suggestions(measured, 100)[0]
    assert measure.suggestions(measure.Measure(), 100) == []


def test_findings_are_counted_in_full_and_kept_in_part() -> None:
    findings = Findings()
    for line in range(1000):
        findings.add("error", "broken-json", "x", "f", line)
    findings.add("error", "invalid-utf8", "y", "f", 5)
    assert findings.counts == {"broken-json": 1000, "invalid-utf8": 1}
    assert len(findings.kept) == 21


@pytest.mark.parametrize("mode", ["offline", "missing", "gated"])
def test_hub_errors_name_the_cause_and_the_way_out(tmp_path: Path, mode: str) -> None:
    """In a process of its own: the libraries read where the hub is when they are loaded."""
    import subprocess
    import sys
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(403 if mode == "gated" else 404)
            self.send_header("X-Error-Code", "GatedRepo" if mode == "gated" else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        result = subprocess.run(
            [
                sys.executable,
                "-c",
                "from qtui.config.models import DataConfig\n"
                "from qtui.errors import QtuiError\n"
                "from tests.stages.data.collecting import load\n"
                "try: load(DataConfig(input_path='someone/something'), seed=1)\n"
                "except QtuiError as error: print(type(error).__name__, error, error.remedy)\n",
            ],
            env={
                "PATH": os.environ["PATH"],
                "HF_HOME": str(tmp_path),
                "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                "HF_HUB_OFFLINE": "1" if mode == "offline" else "0",
            },
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[3],
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    expected = {
        "offline": ("QtuiError", "no connection to the hub", "HF_HUB_OFFLINE"),
        "missing": ("NotFoundError", "there is no data set someone/something", "hf auth login"),
        "gated": ("InputError", "is gated", "Accept its terms"),
    }
    for part in expected[mode]:
        assert part in result.stdout


# ---- what was prepared before -------------------------------------------------------------------


def prepared_twice(
    tmp_path: Path, first: FineTuneConfig, second: FineTuneConfig
) -> tuple[Prepared, Prepared]:
    one = run(first, tmp_path / "one")
    return one, run(second, tmp_path / "two", others=[tmp_path / "none", tmp_path / "one"])


def test_the_same_data_are_taken_over_without_a_copy(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl")
    one, two = prepared_twice(tmp_path, config(path), config(path, dataset_num_proc=1))
    assert (two.taken, two.taken_from) == ("all", tmp_path / "one")
    assert two.train[:] == one.train[:]
    assert two.report == one.report
    assert two.sample_prompts == one.sample_prompts
    first, second = (tmp_path / name / "rows.jsonl" for name in ("one", "two"))
    assert first.stat().st_ino == second.stat().st_ino
    with Dataset(tmp_path / "two") as stored:
        assert len(stored) == 20


def test_another_length_takes_the_rows_and_another_file_nothing(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl")
    one, two = prepared_twice(tmp_path, config(path), config(path, length=30))
    assert two.taken == "rows"
    assert two.report.content_hash == one.report.content_hash
    assert two.report.max_seq_length == 30
    path.write_text(path.read_text().replace("answer is 3", "answer is 4"))
    three = run(config(path), tmp_path / "three", others=[tmp_path / "one", tmp_path / "two"])
    assert three.taken == ""
    assert three.report.content_hash != one.report.content_hash


@pytest.mark.parametrize(
    "setting",
    [
        {"validation_split": 0.4},
        {"system_prompt": "be kind"},
        {"on_duplicate": "keep"},
        {"test_split": 0.1},
        {"max_samples": 7},
    ],
)
def test_a_setting_that_decides_is_never_taken_over(
    tmp_path: Path, setting: dict[str, Any]
) -> None:
    path = rows(tmp_path / "x.jsonl")
    _, two = prepared_twice(tmp_path, config(path), config(path, **setting))
    assert two.taken == ""


def test_rows_that_were_collected_survive_a_stop_while_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode, "BATCH", 5)
    path = rows(tmp_path / "x.jsonl", 30)
    told: list[str] = []

    def progress(what: str, done: int, total: int, unit: str) -> None:
        told.append(what)

    with pytest.raises(StoppedError):
        run(config(path), tmp_path / "out", progress=progress, stopped=lambda: "prepare" in told)
    told.clear()
    assert len(run(config(path), tmp_path / "out", progress=progress).train) == 24
    assert set(told) == {"prepare"}


# ---- parts --------------------------------------------------------------------------------------


def test_rows_for_the_test_are_kept_apart(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl", 40)
    prepared = run(config(path, test_split=0.25), tmp_path / "out")
    assert prepared.report.parts == {
        **dict.fromkeys(prepared.report.parts, 0),
        **{"train": 22, "validation": 8, "test": 10},
    }
    held = rows(tmp_path / "t.jsonl", 3, answer="another answer is")
    own = run(config(path, test_path=str(held)), tmp_path / "own")
    assert own.report.parts["test"] == 3


def test_plain_text_is_learnt_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(
        "".join(json.dumps({"text": f"a text of its own, number {i}"}) + "\n" for i in range(10))
    )
    prepared = run(config(tmp_path / "x.jsonl"), tmp_path / "out")
    tokenizer = tiny.tokenizer(tiny.MARKED)
    assert (len(prepared.train), len(prepared.validation)) == (8, 2)
    for row in prepared.train:
        text = tokenizer.decode(row["input_ids"])
        assert text.removeprefix("<s>").startswith("a text of its own")
        assert text.endswith("<|im_end|>")
        learnt = [label for label in row["labels"] if label != IGNORED]
        assert len(learnt) >= len(row["input_ids"]) - 1  # all but the mark of the beginning
    assert prepared.sample_prompts == []


def test_preference_pairs_are_prepared_but_are_no_rows_to_learn(tmp_path: Path) -> None:
    pairs = [
        {"prompt": f"question {i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(6)
    ]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    with pytest.raises(InputError, match="preference pair"):
        run(config(path), tmp_path / "refused")
    chosen = run(config(path, preference_rows="chosen"), tmp_path / "chosen")
    assert len(chosen.train) + len(chosen.validation) == 6
    kept = run(
        config(path, preference_rows="keep", output_path=str(tmp_path / "copies")),
        tmp_path / "kept",
    )
    assert kept.train is None
    assert kept.report.train_rows == 5
    first = json.loads((tmp_path / "copies" / "train.jsonl").read_text().splitlines()[0])
    assert [m["role"] for m in first["prompt"]] == ["user"]
    assert first["chosen"][0]["content"].startswith("good")
    assert first["rejected"][0]["content"].startswith("bad")


@pytest.mark.parametrize("setting", ["drop", "fail"])
def test_rows_that_are_too_long(tmp_path: Path, setting: str) -> None:
    path = rows(tmp_path / "x.jsonl", 9)
    with path.open("a") as file:
        words = " ".join(f"word{i}" for i in range(60))
        file.write(json.dumps({"instruction": "q", "output": words}) + "\n")
    settings = config(path, length=60, on_overlong=setting, validation_split=0)
    if setting == "fail":
        with pytest.raises(InputError, match=r"x\.jsonl:10 has \d+ tokens; max_seq_length is 60"):
            run(settings, tmp_path / "out")
        return
    report = run(settings, tmp_path / "out").report
    assert (report.train_rows, report.parts["dropped"]) == (9, 1)
    assert report.finding_counts["overlong"] == 1


def test_rows_in_processes_are_the_same_rows(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl", 2600, answer="the number that is wanted here is")
    alone = run(config(path, dataset_num_proc=1), tmp_path / "alone")
    spread = run(config(path, dataset_num_proc=2), tmp_path / "spread")
    for name in ("rows.jsonl", "rows.parts", "tokens.msgpack", "train.arrow", "findings.jsonl"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "spread" / name).read_bytes()
    assert alone.report.content_hash == spread.report.content_hash


def test_parquet_copies_are_read_again_as_they_were(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    turns = [
        {"role": "user", "content": "what is one and one?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "2", "name": "add"},
        {"role": "assistant", "content": "It is two."},
    ]
    path = rows(tmp_path / "x.jsonl", 5)
    with path.open("a") as file:
        file.write(json.dumps({"messages": turns, "tools": [{"name": "add"}]}) + "\n")
    text = "{{ tools }}" + tiny.MARKED.replace(
        "message['content'] + '<|im_end|>' }}{% endgeneration",
        "message['content'] ~ (message['tool_calls'] or '') + '<|im_end|>' }}{% endgeneration",
    )
    settings = config(
        path, validation_split=0, output_path=str(tmp_path / "out"), output_format="parquet"
    )
    first = run(settings, tmp_path / "one", text)
    again = run(
        config(tmp_path / "out" / "train.parquet", validation_split=0), tmp_path / "two", text
    )
    assert again.train[:] == first.train[:]
    assert again.report.content_hash == first.report.content_hash


# ---- what a review found ------------------------------------------------------------------------


def test_another_number_of_samples_leaves_the_rows_of_a_resumed_run_alone(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl")
    first = run(config(path), tmp_path / "one")
    run(config(path), tmp_path / "two", others=[tmp_path / "one"])
    rows(path, 4)
    settings = config(path).model_dump()
    settings["evaluation"]["num_samples"] = 3
    later = run(FineTuneConfig.model_validate(settings), tmp_path / "two")
    assert later.train[:] == first.train[:]
    assert len(later.sample_prompts) >= 3


def test_preparing_anew_leaves_the_run_alone_that_shares_its_files(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl")
    run(config(path), tmp_path / "one")
    run(config(path), tmp_path / "two", others=[tmp_path / "one"])
    before = {file.name: file.read_bytes() for file in (tmp_path / "one").glob("*.*")}
    run(config(path, length=30), tmp_path / "two")
    assert {file.name: file.read_bytes() for file in (tmp_path / "one").glob("*.*")} == before
    with Dataset(tmp_path / "one") as stored:
        assert len(stored) == 20


def test_copies_of_rows_that_were_taken_over_are_those_that_are_used(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl", 9)
    words = " ".join(f"word{i}" for i in range(60))
    with path.open("a") as file:
        file.write(json.dumps({"instruction": "q", "output": words}) + "\n")
    copies = tmp_path / "copies"
    settings = config(
        path, length=60, on_overlong="drop", validation_split=0, output_path=str(copies)
    )
    run(settings, tmp_path / "one")
    assert len((copies / "train.jsonl").read_text().splitlines()) == 9
    again = run(settings, tmp_path / "two", others=[tmp_path / "one"])
    assert again.taken == "all"
    assert len((copies / "train.jsonl").read_text().splitlines()) == 9


def test_a_row_that_is_to_be_kept_is_cut_where_others_are_dropped(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl", 9)
    words = " ".join(f"word{i}" for i in range(60))
    with path.open("a") as file:
        file.write(json.dumps({"instruction": "q", "output": words}) + "\n")
    settings = {"length": 60, "on_overlong": "drop", "validation_split": 0}
    run(config(path, **settings), tmp_path / "one")
    with Dataset(tmp_path / "one") as stored:
        assert stored.part(9) is Part.DROPPED
        key = stored.row(9).key
    kept = run(config(path, **settings, keep_rows=[key]), tmp_path / "two")
    assert kept.report.train_rows == 10


def test_where_no_row_is_short_enough_the_length_is_named(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl", 9, answer=" ".join(f"word{i}" for i in range(40)))
    with pytest.raises(InputError, match=r"9 have more than max_seq_length \(20\)") as refused:
        run(config(path, length=20, on_overlong="drop", validation_split=0), tmp_path / "out")
    assert "on_overlong: cut" in refused.value.remedy


def test_a_tokenizer_that_does_something_else_to_a_text_is_another(tmp_path: Path) -> None:
    from tokenizers import normalizers

    path = rows(tmp_path / "x.jsonl", answer="The Answer Is")
    run(config(path), tmp_path / "one")
    other = tiny.tokenizer(tiny.MARKED)
    other.backend_tokenizer.normalizer = normalizers.Lowercase()
    later = prepare(config(path), other, tmp_path / "two", others=[tmp_path / "one"])
    assert later.taken == "rows"
    assert "the answer is" in other.decode(later.train[0]["input_ids"])


def test_another_template_takes_the_rows(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl")
    template = tmp_path / "x.jinja"
    template.write_text(tiny.MARKED)
    run(config(path, chat_template=str(template)), tmp_path / "one")
    template.write_text("{# another #}" + tiny.MARKED)
    later = run(config(path, chat_template=str(template)), tmp_path / "two",
                others=[tmp_path / "one"])  # fmt: skip
    assert later.taken == "rows"


def test_what_is_not_read_is_said_of_this_start(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows(tmp_path / "data" / "x.jsonl")
    run(config(tmp_path / "data"), tmp_path / "one")
    (tmp_path / "data" / "new.xlsx").write_bytes(b"PK")
    later = run(config(tmp_path / "data"), tmp_path / "two", others=[tmp_path / "one"])
    assert later.report.finding_counts == {"skipped": 1}


def test_a_password_that_is_there_now_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Path(__file__).parents[3].parent / "shared" / "data" / "docs" / "pdf"
    if not shared.is_dir():
        pytest.skip("the folder of real documents is absent")
    (tmp_path / "data").mkdir()
    rows(tmp_path / "data" / "x.jsonl")
    name = "encrypted_aes256_user_foo_owner_bar.pdf"
    (tmp_path / "data" / name).write_bytes((shared / name).read_bytes())
    settings = config(tmp_path / "data", validation_split=0)
    first = run(settings, tmp_path / "one")
    assert first.report.finding_counts == {"encrypted": 1}
    assert run(settings, tmp_path / "two", others=[tmp_path / "one"]).taken == "all"
    monkeypatch.setenv("QTUI_PDF_PASSWORD", "foo")
    later = run(settings, tmp_path / "three", others=[tmp_path / "two", tmp_path / "one"])
    assert later.report.train_rows > first.report.train_rows


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is locked for root")
def test_a_file_that_may_not_be_read_costs_itself(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows(tmp_path / "data" / "x.jsonl")
    locked = rows(tmp_path / "data" / "y.jsonl", 5)
    locked.chmod(0)
    report = run(config(tmp_path / "data"), tmp_path / "out").report
    assert report.train_rows + report.validation_rows == 20
    assert report.finding_counts == {"unreadable-file": 1}


def test_a_parquet_copy_has_the_columns_that_its_rows_have(tmp_path: Path) -> None:
    import pyarrow.parquet

    texts = [{"text": f"some plain words {i}"} for i in range(3)]
    pairs = [{"prompt": f"why {i}", "chosen": "so it is", "rejected": "no"} for i in range(2)]
    thumb = {"prompt": "really", "completion": "indeed it is", "label": True}
    chat = {"instruction": "ask", "output": "an answer"}
    for name, values, columns in (
        ("texts", texts, ["text"]),
        ("chats", [chat], ["messages"]),
        ("mixed", [*texts, *pairs, thumb, chat],
         ["messages", "prompt", "chosen", "rejected", "completion", "text", "label"]),
    ):  # fmt: skip
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(value) + "\n" for value in values))
        more: dict[str, Any] = {"validation_split": 0, "preference_rows": "keep"}
        settings = config(path, output_path=str(tmp_path / name), output_format="parquet", **more)
        first = run(settings, tmp_path / "one" / name)
        copy = tmp_path / name / "train.parquet"
        schema = pyarrow.parquet.read_schema(copy)
        assert schema.names == [*columns, "source", "line"]
        if "messages" in columns:
            turn = schema.field("messages").type.value_type
            assert [field.name for field in turn] == ["role", "content"]
        again = run(config(copy, **more), tmp_path / "two" / name)
        assert again.report.finding_counts == {}
        assert again.report.content_hash == first.report.content_hash

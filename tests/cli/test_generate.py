"""`qtui generate`: every row answered once, whatever interrupts it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from qtui.chat import server
from qtui.runs import folder, serving, state
from qtui.runs.state import Status
from tests.cli.conftest import finished_run
from tests.cli.corpus import IN_FILES, control_characters
from tests.cli.programs import SECONDS, Shown, environment, in_process, on_terminal, wait_for
from tests.stages.inference.fake_engine import FakeEngine, last_text
from tests.stages.inference.fake_server import FakeServer
from tests.stages.inference.fake_server import serving as served

Row = dict[str, Any]


def generate(*arguments: str, cwd: Path, stdin: bytes = b"") -> Shown:
    return in_process("generate", *arguments, cwd=cwd, stdin=stdin)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.chat.qtui_with_fake_engine", "generate", *arguments]


def prompts(folder: Path, number: int, name: str = "in.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps({"prompt": f"p{n}"}) + "\n" for n in range(number)))
    return path


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeEngine, FakeServer]]:
    """One server for all tests of this file: a start and an end take longer than most of them."""
    engine = FakeEngine(max_context=10_000)
    with served(engine) as found:
        yield engine, found


@pytest.fixture
def engine(shared: tuple[FakeEngine, FakeServer]) -> FakeEngine:
    """That server's engine, as if it had never been asked."""
    engine, _ = shared
    engine.answer = lambda job: f"answer to {last_text(job)}"
    engine.jobs.clear()
    return engine


@pytest.fixture
def there(shared: tuple[FakeEngine, FakeServer], engine: FakeEngine) -> FakeServer:
    return shared[1]


def asked_of(engine: FakeEngine) -> Counter[str]:
    return Counter(last_text(job) for job in engine.jobs)


# -- rows in, rows out ----------------------------------------------------------------------------


def test_every_row_is_answered_once_with_its_line(
    tmp_path: Path, there: FakeServer, engine: FakeEngine
) -> None:
    prompts(tmp_path, 30)
    shown = generate("in.jsonl", "--url", there.url, "--output", "out.jsonl", cwd=tmp_path)
    assert shown.code == 0, shown.stderr
    found = {row["line"]: row for row in rows(tmp_path / "out.jsonl")}
    assert sorted(found) == list(range(1, 31))
    for line, row in found.items():
        assert row["answer"] == f"answer to p{line - 1}"
        assert row["input"] == {"prompt": f"p{line - 1}"}
    first = found[1]
    assert first["model"] == "builtin:tiny"
    assert first["settings"] == {"temperature": 0.7, "top_p": 0.9, "max_tokens": 512}
    assert (first["finish_reason"], first["completion_tokens"], first["error"]) == ("stop", 3, None)
    assert set(asked_of(engine).values()) == {1}
    assert b"30 rows answered in" in shown.stderr


def test_the_shapes_of_rows(tmp_path: Path, there: FakeServer, engine: FakeEngine) -> None:
    messages = [{"role": "system", "content": "own"}, {"role": "user", "content": "b"}]
    lines = [{"prompt": "a"}, {"messages": messages}, "c", {"prompt": None, "messages": messages}]
    (tmp_path / "in.jsonl").write_text(
        "\ufeff" + "\n\n".join(json.dumps(line) for line in lines) + "\r\n"
    )
    shown = generate("in.jsonl", "--url", there.url, "--system", "given", cwd=tmp_path)
    assert shown.code == 0, shown.stderr
    answered = {row["line"]: row["answer"] for row in map(json.loads, shown.text.splitlines())}
    assert answered == {1: "answer to a", 3: "answer to b", 5: "answer to c", 7: "answer to b"}
    systems = Counter(str(job.prompt[0]["content"]) for job in engine.jobs)  # type: ignore[index]
    assert systems == {"given": 2, "own": 2}


def test_lines_of_text_and_a_column_of_ones_own(
    tmp_path: Path, there: FakeServer, engine: FakeEngine
) -> None:
    (tmp_path / "in.txt").write_text('one\n{"two"\n')
    shown = generate("in.txt", "--url", there.url, "--plain", cwd=tmp_path)
    assert shown.code == 0
    assert [job.prompt for job in engine.jobs] == ["one", '{"two"']
    (tmp_path / "in.jsonl").write_text('{"question": "q", "prompt": "no"}\n')
    generate("in.jsonl", "--field", "question", "--url", there.url, cwd=tmp_path)
    assert last_text(engine.jobs[-1]) == "q"


def test_standard_input_is_answered_as_it_comes(tmp_path: Path, there: FakeServer) -> None:
    for data in (b'{"prompt": "a"}\n{"prompt": "b"}', b"a\nb\n"):
        shown = generate("-", "--url", there.url, "--json", cwd=tmp_path, stdin=data)
        assert shown.code == 0, shown.stderr
        answers = [json.loads(line)["answer"] for line in shown.text.splitlines()]
        assert sorted(answers) == ["answer to a", "answer to b"]
    empty = generate("-", "--url", there.url, cwd=tmp_path)
    assert (empty.code, empty.text) == (0, "")


def test_an_output_of_standard_input_is_never_gone_on_with(
    tmp_path: Path, there: FakeServer
) -> None:
    words = ("-", "--url", there.url, "--output", "out.jsonl")
    assert generate(*words, cwd=tmp_path, stdin=b"a\n").code == 0
    again = generate(*words, cwd=tmp_path, stdin=b"b\n")
    assert again.code == 2
    assert b"--force" in again.stderr
    assert generate(*words, "--force", cwd=tmp_path, stdin=b"b\n").code == 0
    assert [row["input"] for row in rows(tmp_path / "out.jsonl")] == ["b"]


def test_foreign_text_is_kept_in_the_file_and_cleaned_on_the_terminal(
    tmp_path: Path, engine: FakeEngine, there: FakeServer
) -> None:
    engine.answer = lambda job: IN_FILES
    prompts(tmp_path, 1)
    generate("in.jsonl", "--url", there.url, "--output", "out.jsonl", cwd=tmp_path)
    assert rows(tmp_path / "out.jsonl")[0]["answer"] == IN_FILES
    shown = generate("in.jsonl", "--url", there.url, cwd=tmp_path)
    assert control_characters(shown.stdout) == []


# -- rows that fail -------------------------------------------------------------------------------


def test_rows_that_fail_say_why_and_are_asked_again(
    tmp_path: Path, there: FakeServer, engine: FakeEngine
) -> None:
    path = tmp_path / "in.jsonl"
    long = "word " * 20_000
    lines = [
        '{"prompt": "a"}',
        "{half",
        '{"text": "x"}',
        json.dumps({"prompt": long}),
        '{"prompt": " "}',
    ]
    path.write_bytes("\n".join(lines).encode() + b'\n{"prompt": "\xff"}\n')
    words = ("in.jsonl", "--url", there.url, "--output", "out.jsonl")
    shown = generate(*words, "--json", cwd=tmp_path)
    assert shown.code == 1
    document = json.loads(shown.text)
    assert (document["answered"], document["failed"], document["rows"]) == (1, 5, 6)
    found = {row["line"]: row for row in rows(tmp_path / "out.jsonl")}
    assert "no JSON" in found[2]["error"]["message"]
    assert "no messages and no prompt" in found[3]["error"]["message"]
    assert "keys: text" in found[3]["error"]["message"]
    assert found[4]["error"]["code"] == "context_length_exceeded"
    assert "blank" in found[5]["error"]["message"]
    assert "not UTF-8" in found[6]["error"]["message"]

    lines[1:] = ['{"prompt": "b"}', '{"prompt": "c"}', '{"prompt": "d"}', '{"prompt": "e"}']
    path.write_text("\n".join(lines) + "\n")
    again = generate(*words, cwd=tmp_path)
    assert again.code == 0
    assert b"1 of 5 rows are answered already" in again.stderr
    assert sorted(row["line"] for row in rows(tmp_path / "out.jsonl")) == [1, 2, 3, 4, 5]
    assert asked_of(engine)["a"] == 1


def test_a_busy_server_is_left_alone_for_a_while_and_loses_no_row(tmp_path: Path) -> None:
    engine = FakeEngine(seconds_a_word=0.005, max_concurrent=1)
    prompts(tmp_path, 3)
    with served(engine, max_concurrent=1, max_queue=0) as there:
        words = ("in.jsonl", "--url", there.url, "--output", "out.jsonl", "--concurrency", "3")
        shown = generate(*words, cwd=tmp_path)
    assert shown.code == 0, shown.stderr
    assert sorted(row["line"] for row in rows(tmp_path / "out.jsonl")) == [1, 2, 3]


@pytest.mark.parametrize(("model", "code"), [("none", 2), ("quiet-otter", 0)])
def test_a_model_that_is_not_there_ends_it_at_once(
    model: str, code: int, tmp_path: Path, there: FakeServer
) -> None:
    prompts(tmp_path, 5)
    words = ("in.jsonl", "--url", there.url, "--model", model, "--output", "out.jsonl")
    shown = generate(*words, cwd=tmp_path)
    assert shown.code == code
    assert len(rows(tmp_path / "out.jsonl")) == (0 if code else 5)


# -- going on -------------------------------------------------------------------------------------


def test_what_was_changed_is_said_and_nothing_is_asked(
    tmp_path: Path, there: FakeServer, engine: FakeEngine
) -> None:
    path = prompts(tmp_path, 4)
    words = ("in.jsonl", "--url", there.url, "--output", "out.jsonl")
    assert generate(*words, cwd=tmp_path).code == 0
    before = (tmp_path / "out.jsonl").read_bytes()
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    for more, why in (
        (("--temperature", "0"), b"temperature 0.7 -> 0.0"),
        (("--seed", "1"), b"seed unset -> 1"),
        (("--model", "quiet-otter"), b"it was made with builtin:tiny"),
        (("--system", "be brief"), b"line 1 of the input asks something else"),
        (("--json-schema", "schema.json"), b"json_schema unset -> sha256:"),
        (("--plain",), b"completion unset -> True"),
    ):
        shown = generate(*words, *more, cwd=tmp_path)
        assert shown.code == 2
        assert why in shown.stderr
        assert b"--force" in shown.stderr
    path.write_text('{"prompt": "p0"}\n{"prompt": "other"}\n')
    assert b"line 2 of the input" in generate(*words, cwd=tmp_path).stderr
    path.write_text('{"prompt": "p0"}\n')
    assert b"the input ended at line 4 or later then" in generate(*words, cwd=tmp_path).stderr
    assert (tmp_path / "out.jsonl").read_bytes() == before
    assert len(engine.jobs) == 4
    assert generate(*words, "--force", cwd=tmp_path).code == 0
    assert len(rows(tmp_path / "out.jsonl")) == 1


def test_a_torn_last_line_is_taken_off_and_its_row_asked_again(
    tmp_path: Path, there: FakeServer, engine: FakeEngine
) -> None:
    prompts(tmp_path, 3)
    words = ("in.jsonl", "--url", there.url, "--output", "out.jsonl", "--concurrency", "1")
    generate(*words, cwd=tmp_path)
    path = tmp_path / "out.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    assert generate(*words, cwd=tmp_path).code == 0
    assert [row["line"] for row in rows(path)] == [1, 2, 3]
    assert asked_of(engine) == {"p0": 1, "p1": 1, "p2": 2}


def test_a_damaged_line_in_the_middle_is_said_and_asked_again(
    tmp_path: Path, there: FakeServer, engine: FakeEngine
) -> None:
    prompts(tmp_path, 3)
    words = ("in.jsonl", "--url", there.url, "--output", "out.jsonl", "--concurrency", "1")
    generate(*words, cwd=tmp_path)
    path = tmp_path / "out.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0" * 50 + b"\n" + lines[2])
    shown = generate(*words, cwd=tmp_path)
    assert shown.code == 0
    assert b"1 lines of the output were damaged" in shown.stderr
    assert sorted(row["line"] for row in rows(path)) == [1, 2, 3]


def test_another_file_is_never_touched(tmp_path: Path, there: FakeServer) -> None:
    prompts(tmp_path, 1)
    thesis = tmp_path / "thesis.txt"
    words = ("in.jsonl", "--url", there.url, "--output")
    for text in ("years of work", "years of work\nwithout a last newline", "{}\n", '{"line": 0}\n'):
        thesis.write_text(text)
        shown = generate(*words, "thesis.txt", cwd=tmp_path)
        assert shown.code == 2
        assert b"is no output of qtui generate" in shown.stderr
        assert thesis.read_text() == text
    same = generate(*words, "in.jsonl", "--force", cwd=tmp_path)
    assert same.code == 2
    assert rows(tmp_path / "in.jsonl") == [{"prompt": "p0"}]


def test_a_device_is_written_to_and_never_read(tmp_path: Path, there: FakeServer) -> None:
    prompts(tmp_path, 2)
    words = ("in.jsonl", "--url", there.url, "--output")
    assert generate(*words, "/dev/null", cwd=tmp_path).code == 0
    for name in ("in.jsonl", "-"):
        full = generate(name, *words[1:], "/dev/full", cwd=tmp_path, stdin=b"a\n")
        assert full.code == 1
        assert b"/dev/full cannot be written: the disk is full" in full.stderr


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """A workspace with one run; no server is left in it."""
    finished_run(tmp_path, "quiet-otter").adapter.mkdir()
    yield tmp_path
    for living in serving.living(tmp_path):
        server.stop(living)


def test_what_needs_no_server_starts_none(workspace: Path, there: FakeServer) -> None:
    path = prompts(workspace, 3)
    words = ("in.jsonl", "quiet-otter", "--output", "out.jsonl")
    assert generate(*words, "--url", there.url, cwd=workspace).code == 0
    done = generate(*words, "--json", cwd=workspace)
    assert done.code == 0
    assert b"3 of 3 rows are answered already" in done.stderr
    assert json.loads(done.text)["server"] is None
    path.write_text('{"prompt": "other"}\n')
    assert generate(*words, cwd=workspace).code == 2
    assert generate("in.jsonl", "quiet-otter", "--output", "no/x", cwd=workspace).code == 1
    assert [run.spec.kind for run in folder.all_runs(workspace)] == ["train"]


def started(workspace: Path, *arguments: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command("in.jsonl", "quiet-otter", "--output", "out.jsonl", *arguments),
        cwd=workspace, env=environment(env), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_it_goes_on_where_it_was(workspace: Path, number: signal.Signals) -> None:
    prompts(workspace, 400)
    out = workspace / "out.jsonl"
    process = started(workspace, "--concurrency", "4", env={})
    wait_for(lambda: out.exists() and out.read_bytes().count(b"\n") > 20)
    process.send_signal(number)
    _, told = process.communicate(timeout=SECONDS)
    kept = out.read_bytes().count(b"\n")
    assert kept < 400
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert f"{kept} of 400 answers are kept in out.jsonl".encode() in told
        assert serving.living(workspace) == []
    before = {row["line"]: row for row in rows(out)}
    again = started(workspace, env={})
    _, told = again.communicate(timeout=SECONDS)
    assert again.returncode == 0, told
    found = rows(out)
    assert sorted(row["line"] for row in found) == list(range(1, 401))
    assert all(row == before.get(row["line"], row) for row in found)
    assert f"{kept} of 400 rows are answered already".encode() in told


def test_a_server_that_dies_ends_it_with_its_reason_and_keeps_what_is_there(
    workspace: Path, there: FakeServer
) -> None:
    prompts(workspace, 20)
    process = started(workspace, "--concurrency", "1", env={"FAKE_ENGINE": "dies"})
    _, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert b"the GPU was lost" in told
    assert b"2 of 20 answers are kept" in told
    assert [row["line"] for row in rows(workspace / "out.jsonl")] == [1, 2]
    assert state.status(folder.all_runs(workspace)[0]) is Status.FAILED
    words = ("in.jsonl", "quiet-otter", "--url", there.url, "--output", "out.jsonl")
    assert generate(*words, cwd=workspace).code == 0
    assert len(rows(workspace / "out.jsonl")) == 20


def test_two_at_once_do_not_write_one_file(tmp_path: Path) -> None:
    prompts(tmp_path, 2)
    engine = FakeEngine()
    engine.hold()
    with served(engine) as there:
        words = ("in.jsonl", "--url", there.url, "--output", "out.jsonl")
        first = subprocess.Popen(
            command(*words), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE
        )
        wait_for(lambda: engine.jobs)
        second = generate(*words, cwd=tmp_path)
        assert second.code == 1
        assert b"another qtui generate is writing out.jsonl" in second.stderr
        engine.go()
        first.communicate(timeout=SECONDS)
    assert first.returncode == 0


def test_progress_is_shown_on_a_terminal(tmp_path: Path) -> None:
    prompts(tmp_path, 16)
    with served(FakeEngine(seconds_a_word=0.02)) as there:
        words = ("generate", "in.jsonl", "--url", there.url, "--output", "o", "--concurrency", "2")
        shown = on_terminal(*words, cwd=tmp_path)
    assert shown.code == 0
    assert " of 16 rows · " in shown.text
    assert " rows/s · " in shown.text
    assert " left" in shown.text


@pytest.mark.parametrize(
    "arguments",
    [
        ("none.jsonl",),
        (".",),
        ("in.jsonl", "--concurrency", "0"),
        ("in.jsonl", "--output", "no/such/folder/x"),
        ("in.jsonl", "--model", "quiet-otter"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: tuple[str, ...], tmp_path: Path, there: FakeServer
) -> None:
    prompts(tmp_path, 1)
    shown = generate(*arguments, "--url", there.url, "--model", "a", cwd=tmp_path)
    assert shown.code in (1, 2)
    assert b"internal error" not in shown.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]

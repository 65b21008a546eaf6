"""Run folders: made once, found by a word, never outside the workspace."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.errors import CorruptError, InputError, NotFoundError, QtuiError
from qtui.runs import folder, naming
from qtui.runs.events import FinishedEvent, Phase, PhaseEvent
from qtui.runs.folder import Run, all_runs, create, delete, find
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog
from qtui.runs.state import Status, status
from tests.runs.conftest import make


def test_a_new_run_says_all_about_itself(tmp_path: Path) -> None:
    run = create(
        tmp_path,
        kind="train",
        config={"model": {"model_name": "org/m"}, "training": {"seed": 7}},
        command=["qtui", "train", "run.yaml"],
    )
    assert naming.ID.fullmatch(run.id)
    assert run.id.endswith("-" + run.name)
    assert run.path == tmp_path / "runs" / run.id
    spec = Run(run.path).spec
    assert (spec.schema_version, spec.id, spec.kind) == (1, run.id, "train")
    assert spec.config["training"]["seed"] == 7
    assert spec.versions["qtui"]
    assert spec.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert spec.host["cpu_count"] == os.cpu_count()
    assert spec.command == ["qtui", "train", "run.yaml"]
    assert status(run) is Status.QUEUED
    assert [entry.name for entry in run.path.iterdir()] == ["run.json"]


def test_others_cannot_write_what_is_made_under_an_open_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        run = make(tmp_path)
        with RunLock(run.lock), EventLog(run.events):
            pass
    finally:
        os.umask(before)
    for path in (run.path, *run.path.iterdir()):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o022, path


def test_the_commit_is_noted_and_no_program_of_the_repository_is_run(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=n", "-c", "user.email=e@x", *words],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    assert make(tmp_path).spec.git is None
    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "m")
    git("config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    clean = make(tmp_path).spec.git
    (tmp_path / "a").write_text("2")
    dirty = make(tmp_path).spec.git
    assert clean is not None
    assert dirty is not None
    assert len(str(clean["commit"])) == 40
    assert (clean["dirty"], dirty["dirty"]) == (False, True)
    assert not (tmp_path / "ran").exists()


def test_a_copy_opens_elsewhere(tmp_path: Path) -> None:
    run = make(tmp_path / "here", seed=1)
    with EventLog(run.events) as log:
        log.write(FinishedEvent(status="completed"))
    assert str(tmp_path) not in (run.path / "run.json").read_text()
    (tmp_path / "there" / "runs").mkdir(parents=True)
    shutil.copytree(run.path, tmp_path / "there" / "runs" / run.id)
    copy = find(tmp_path / "there", "latest")
    assert copy.spec == run.spec
    assert status(copy) is Status.COMPLETED


def test_runs_made_at_once_never_share_a_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: make(tmp_path, name="same"), range(24)))
        runs += pool.map(lambda _: make(tmp_path), range(24))
    assert len({run.path for run in runs}) == 48
    assert all(run.spec.id == run.id for run in runs)


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("my run", "my-run"),
        ("../../etc/passwd", "etc-passwd"),
        ("Fünf/Äpfel", "Funf-Apfel"),
        ("\x1b[31mred", "31mred"),
        ("..", None),
        ("", None),
        ("雪", None),
        ("-rf", "rf"),
        ("x" * 500, "x" * 60),
    ],
)
def test_a_given_name_is_made_safe(tmp_path: Path, given_name: str, name: str | None) -> None:
    if name is None:
        with pytest.raises(InputError):
            make(tmp_path, name=given_name)
        assert all_runs(tmp_path) == []
    else:
        assert make(tmp_path, name=given_name).name == name


@given(st.text(max_size=80))
def test_no_name_makes_an_unsafe_folder(name: str) -> None:
    try:
        safe = naming.safe_name(name)
    except InputError:
        return
    assert naming.ID.fullmatch(f"20261120-154210-{safe}")


def rename(run: Run, name: str) -> Run:
    return Run(run.path.rename(run.path.with_name(name)))


def test_newest_first_also_within_one_second_and_foreign_things_are_ignored(tmp_path: Path) -> None:
    assert all_runs(tmp_path) == []
    first, second, third = (make(tmp_path, name=name) for name in ("zz", "mm", "aa"))
    old = rename(make(tmp_path), "20200101-000000-old-owl")
    own = rename(make(tmp_path), "my-copy")
    runs = tmp_path / "runs"
    (runs / "notes.txt").touch()
    (runs / "20261120-000000-empty").mkdir()
    (runs / ".hidden").mkdir()
    (runs / ".hidden" / "run.json").touch()
    assert all_runs(tmp_path) == [own, third, second, first, old]
    assert find(tmp_path, "latest") == own
    assert find(tmp_path, "my-copy") == own


def test_found_by_id_name_and_their_beginnings(tmp_path: Path) -> None:
    otter = rename(make(tmp_path), "20261120-154210-quiet-otter")
    owl = rename(make(tmp_path), "20261120-154211-quiet-owl")
    long = rename(make(tmp_path), "20261121-000000-quiet-otter-2")
    for ref in ("20261120-154210-quiet-otter", "quiet-otter", "20261120-154210"):
        assert find(tmp_path, ref) == otter
    assert find(tmp_path, "quiet-ow") == owl
    assert find(tmp_path, "20261121") == long
    with pytest.raises(InputError, match="fits 3 runs: 20261121-000000-quiet-otter-2, 2026"):
        find(tmp_path, "quiet")
    with pytest.raises(NotFoundError) as error:
        find(tmp_path, "quite-owl")
    assert error.value.remedy == "did you mean 20261120-154211-quiet-owl?"
    with pytest.raises(NotFoundError, match="there is no run 'zebra'"):
        find(tmp_path, "zebra")


def test_where_there_are_no_runs_the_way_to_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as error:
        find(tmp_path, "latest")
    assert "qtui train" in error.value.remedy


@pytest.mark.parametrize(
    "ref", ["", ".", "..", "../x", "/etc", "a/b", "a\\b", "runs/..", "x\0y", "./latest"]
)
def test_a_reference_that_is_a_path_is_refused(tmp_path: Path, ref: str) -> None:
    make(tmp_path)
    with pytest.raises(InputError, match="is not a run's name"):
        find(tmp_path, ref)


def test_a_link_out_of_the_workspace_is_neither_found_nor_listed(tmp_path: Path) -> None:
    outside = make(tmp_path / "elsewhere")
    inside = make(tmp_path)
    (tmp_path / "runs" / "outward").symlink_to(outside.path)
    (tmp_path / "runs" / "inward").symlink_to(inside.path)
    (tmp_path / "runs" / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "runs" / "loop").symlink_to(tmp_path / "runs" / "loop")
    with pytest.raises(InputError, match="a link that leaves the workspace"):
        find(tmp_path, "outward")
    assert {run.id for run in all_runs(tmp_path)} == {inside.id, "inward"}


def test_a_runs_folder_that_is_a_link_to_a_volume_works(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "volume")
    run = make(tmp_path)
    assert find(tmp_path, run.id) == run
    assert all_runs(tmp_path) == [run]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (b"", CorruptError, "is damaged"),
        (b"\0\0\0", CorruptError, "is damaged"),
        (b'{"schema_version": 1}', CorruptError, "missing required field"),
        (b"[" * 100_000, CorruptError, "is damaged"),
        (b'{"schema_version": 2, "shape": "other"}', CorruptError, "newer qtui"),
        (None, NotFoundError, "does not exist"),
    ],
)
def test_a_bad_run_json_is_named_with_its_reason(
    run: Run, text: bytes | None, error: type[QtuiError], words: str
) -> None:
    path = run.path / "run.json"
    path.unlink()
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(error, match=words) as caught:
        _ = Run(run.path).spec
    assert "run.json" in caught.value.message
    assert caught.value.remedy


def test_unknown_fields_of_a_newer_writer_are_passed_over(run: Run) -> None:
    path = run.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mood": "good"}))
    assert Run(run.path).spec.id == run.id


def test_a_workspace_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(QtuiError, match="cannot be written"):
        make(tmp_path)


def test_a_create_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TypeError):
        make(tmp_path, bad=object())
    assert list((tmp_path / "runs").iterdir()) == []


def test_delete_takes_all_of_it_and_what_an_earlier_one_left(run: Run) -> None:
    with EventLog(run.events) as log:
        log.write(PhaseEvent(phase=Phase.TRAINING))
    left = run.path.with_name(folder.TRASH + "older")
    left.mkdir()
    other = make(run.path.parent.parent)
    delete(run)
    assert list(run.path.parent.iterdir()) == [other.path]


def test_delete_refuses_a_living_run(run: Run) -> None:
    code = (
        "import sys; from pathlib import Path; from qtui.runs.lock import RunLock\n"
        "with RunLock(Path(sys.argv[1])): print(flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run.lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(InputError, match="has a living worker"):
            delete(run)
        assert run.spec
        holder.kill()
    delete(run)
    assert not run.path.exists()

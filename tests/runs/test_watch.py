"""What watchers hand over: everything that is new, once, and the truth about a disk that hangs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qtui.errors import QtuiError
from qtui.runs import folder, polling, series, watch
from qtui.runs.events import FinishedEvent, MetricsEvent, Phase, PhaseEvent, ResumedEvent
from qtui.runs.folder import Run
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog
from qtui.runs.series import History
from qtui.runs.state import Status
from qtui.runs.watch import Batch, RunFollower, RunsSeen, RunsWatcher
from tests.runs.conftest import make, until

Start = Callable[..., int]


class Heard(list[Any]):
    """What was delivered; and the history that a receiver has made of it."""

    def __init__(self) -> None:
        super().__init__()
        self.history: History | None = None

    def take(self, seen: Any) -> None:
        if isinstance(seen, Batch):
            if seen.history is not None:
                self.history = seen.history
            elif self.history is not None:
                self.history.feed(seen.events)
        self.append(seen)

    def status(self, name: str = "") -> Status | None:
        if not self:
            return None
        if isinstance(self[-1], Batch):
            return self[-1].status
        return next((s.status for s in self[-1].summaries if s.name == name), None)

    @property
    def names(self) -> list[str] | None:
        return [summary.name for summary in self[-1].summaries] if self else None


@pytest.fixture
def closing() -> Iterator[list[RunsWatcher | RunFollower]]:
    watchers: list[RunsWatcher | RunFollower] = []
    yield watchers
    for watcher in watchers:
        watcher.close()


@pytest.fixture
def watched(tmp_path: Path, closing: list[Any]) -> Callable[..., tuple[Heard, RunsWatcher]]:
    def begin(interval: float = 0.02) -> tuple[Heard, RunsWatcher]:
        heard = Heard()
        closing.append(RunsWatcher(tmp_path, heard.take, interval=interval))
        return heard, closing[-1]

    return begin


@pytest.fixture
def followed(closing: list[Any]) -> Callable[..., tuple[Heard, RunFollower]]:
    def begin(run: Run, interval: float = 0.02) -> tuple[Heard, RunFollower]:
        heard = Heard()
        closing.append(RunFollower(run, heard.take, interval=interval))
        return heard, closing[-1]

    return begin


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """While clear, `folder.all_runs` and the log's reading hang, as on a volume that is away."""
    monkeypatch.setattr(polling, "PATIENCE", 0.2)
    opened = threading.Event()
    opened.set()

    def hanging(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            opened.wait()
            return function(*arguments)

        return wrapped

    monkeypatch.setattr(folder, "all_runs", hanging(folder.all_runs))
    monkeypatch.setattr(watch.lock, "is_held", hanging(watch.lock.is_held))
    yield opened
    opened.set()


def test_an_empty_workspace_is_told_once(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = counted(monkeypatch, folder, "all_runs")
    heard, _ = watched()
    until(lambda: len(looks) > 5)
    assert heard == [RunsSeen(())]


def test_runs_come_change_and_go(tmp_path: Path, watched: Any, start: Start) -> None:
    first = make(tmp_path, "first")
    heard, _ = watched()
    until(lambda: heard.names == ["first"])
    assert heard.status("first") is Status.QUEUED
    start(first)
    until(lambda: heard.status("first") is Status.TRAINING)
    step = heard[-1].summaries[0].step
    until(lambda: heard[-1].summaries[0].step > step)
    make(tmp_path, "second")
    until(lambda: sorted(heard.names) == ["first", "second"])
    folder.delete(folder.find(tmp_path, "second"))
    until(lambda: heard.names == ["first"])


def test_a_killed_worker_is_seen_by_its_lock_and_a_resumed_one_by_its_log(
    run: Run, watched: Any, followed: Any, start: Start
) -> None:
    pid = start(run)
    heard, _ = watched(1.0)
    one, _ = followed(run)
    until(lambda: heard.status(run.name) is one.status() is Status.TRAINING)
    os.kill(pid, signal.SIGKILL)
    until(lambda: heard.status(run.name) is one.status() is Status.INTERRUPTED)
    start(run, again=True)
    until(lambda: heard.status(run.name) is one.status() is Status.TRAINING)
    assert one.history.resumes


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    calls: list[Any] = []
    function = getattr(owner, name)

    def counting(*arguments: Any) -> Any:
        calls.append(arguments)
        return function(*arguments)

    monkeypatch.setattr(owner, name, counting)
    return calls


def test_a_thousand_runs_are_read_once(
    tmp_path: Path, watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1000):
        path = tmp_path / "runs" / f"20260101-{number:06d}-run-{number}"
        path.mkdir(parents=True)
        (path / "run.json").write_text(
            f'{{"schema_version":1,"id":"{path.name}","kind":"train","created":{number},'
            '"config":{"model":{"model_name":"m"}}}'
        )
    for run in folder.all_runs(tmp_path)[::2]:
        with EventLog(run.events) as log:
            log.write(FinishedEvent(status="completed", step=3))
    reads = counted(monkeypatch, watch, "summarize")
    looks = counted(monkeypatch, folder, "all_runs")
    heard, watcher = watched()
    until(lambda: heard and heard[-1].whole)
    assert [len(seen.summaries) for seen in heard] == [watch.FIRST, 1000]
    assert heard.names[:2] == ["run-999", "run-998"]
    before = len(looks)
    until(lambda: len(looks) > before + 3)
    assert len(reads) == 1000
    assert len(heard) == 2
    changed = Run(tmp_path / "runs" / heard[-1].summaries[5].id)
    with EventLog(changed.events) as log:
        log.write(FinishedEvent(status="completed", step=77))
    until(lambda: heard[-1].summaries[5].step == 77)
    watcher.close()
    # A look may fall between the log's opening and its line: then it is read twice.
    assert {arguments[0].path for arguments in reads[1000:]} == {changed.path}


def test_at_rest_nothing_is_looked_at(
    tmp_path: Path, watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, watcher = watched()
    until(lambda: heard)
    watcher.rest()
    looks = counted(monkeypatch, folder, "all_runs")
    make(tmp_path, "unseen")
    until(lambda: not watcher._poller._wake.is_set())
    seen = len(looks)
    assert seen <= 1  # one may have been under way
    watcher.look_now()
    until(lambda: heard.names == ["unseen"])


def test_a_hanging_volume_is_told_since_when_and_again_when_it_is_back(
    tmp_path: Path, watched: Any, gate: threading.Event
) -> None:
    make(tmp_path, "here")
    heard, watcher = watched()
    until(lambda: heard.names == ["here"])
    began = time.time()
    gate.clear()
    until(lambda: heard[-1].unavailable_since)
    assert began - 1 < heard[-1].unavailable_since < time.time()
    assert heard[-1].why
    assert heard.names == ["here"]  # the last that is known
    make(tmp_path, "there")
    gate.set()
    until(lambda: heard[-1].unavailable_since is None)
    assert sorted(heard.names) == ["here", "there"]
    gate.clear()
    watcher.close()  # returns although the look hangs


def test_a_workspace_that_cannot_be_read_or_is_gone_is_no_empty_one(
    tmp_path: Path, watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "here")
    heard, _ = watched()
    until(lambda: heard.names == ["here"])
    (tmp_path / "runs").rename(tmp_path / "away")
    until(lambda: heard[-1].unavailable_since)
    assert "is gone" in heard[-1].why
    assert heard.names == ["here"]
    (tmp_path / "away").rename(tmp_path / "runs")
    until(lambda: heard[-1].unavailable_since is None)

    def refused(workspace: Path) -> list[Run]:
        raise QtuiError("runs cannot be read: Stale file handle")

    monkeypatch.setattr(folder, "all_runs", refused)
    until(lambda: heard[-1].unavailable_since)
    assert "Stale" in heard[-1].why


def train(log: EventLog, first: int, last: int) -> None:
    for step in range(first, last + 1):
        log.write(MetricsEvent(step=step, epoch=step / 9, values={"loss": 1 / step}))


def same(left: History, right: History) -> bool:
    """Whether both say the same; their pace is an object that cannot be compared."""
    return {**vars(left), "pace": None} == {**vars(right), "pace": None}


def test_the_first_batch_is_the_whole_run_and_what_follows_completes_it(
    run: Run, followed: Any
) -> None:
    with RunLock(run.lock), EventLog(run.events) as log:
        log.write(PhaseEvent(phase=Phase.TRAINING))
        train(log, 1, 500)
        loaded = series.load(run)
        heard, _ = followed(run)
        until(lambda: heard)
        assert same(heard[0].history, loaded)
        assert (heard[0].status, heard[0].events) == (Status.TRAINING, [])
        train(log, 501, 600)
        log.write(ResumedEvent(step=550))
        train(log, 551, 560)
        log.write(FinishedEvent(status="completed", step=560))
        until(lambda: heard.status() is Status.COMPLETED)
    assert same(heard.history, series.load(run))
    assert all(batch.history is None for batch in heard[1:])


def test_a_run_without_a_log_yet_has_an_empty_history(run: Run, followed: Any) -> None:
    heard, _ = followed(run)
    until(lambda: heard)
    assert (heard[0].status, heard[0].history.events) == (Status.QUEUED, 0)


def test_the_trend_does_not_flicker_with_every_step(run: Run, watched: Any) -> None:
    with RunLock(run.lock), EventLog(run.events) as log:
        train(log, 1, 1000)
        heard, _ = watched()
        until(lambda: heard and heard[-1].summaries[0].step == 1000)
        before = heard[-1].summaries[0].trend
        train(log, 1001, 1005)
        until(lambda: heard[-1].summaries[0].step == 1005)
        assert heard[-1].summaries[0].trend == before
        train(log, 1006, 1100)
        until(lambda: heard[-1].summaries[0].step == 1100)
        assert heard[-1].summaries[0].trend[-1] < before[-1]


def test_a_torn_line_is_waited_for(run: Run, followed: Any) -> None:
    with EventLog(run.events) as log:
        train(log, 1, 2)
    whole = run.events.read_bytes()
    run.events.write_bytes(whole[:-7])
    heard, _ = followed(run)
    until(lambda: heard)
    assert heard[0].history.step == 1
    with run.events.open("ab") as file:
        file.write(whole[-7:])
    until(lambda: heard.history.step == 2)


def test_nothing_new_is_nothing_told(
    run: Run, followed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = counted(monkeypatch, watch.lock, "is_held")
    heard, _ = followed(run)
    until(lambda: len(looks) > 5)
    assert len(heard) == 1


def test_a_log_that_is_replaced_comes_as_a_new_history(run: Run, followed: Any) -> None:
    with EventLog(run.events) as log:
        train(log, 1, 9)
        log.write(FinishedEvent(status="completed", step=9))
    heard, _ = followed(run)
    until(lambda: heard.status() is Status.COMPLETED)
    other = run.path / "other"
    with EventLog(other) as log:
        log.write(PhaseEvent(phase=Phase.TRAINING))
        train(log, 1, 3)
    other.replace(run.events)
    until(lambda: len([batch for batch in heard if batch.history]) == 2)
    assert heard.status() is Status.INTERRUPTED
    assert same(heard.history, series.load(run))


def test_a_reading_that_fails_half_way_loses_nothing(
    run: Run, followed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EventLog(run.events) as log:
        train(log, 1, 9)
    blocks = watch.EventReader.blocks
    broken = threading.Event()
    broken.set()

    def failing(reader: Any) -> Iterator[Any]:
        for block in blocks(reader):
            yield block
            if broken.is_set():
                raise OSError(5, "Input/output error", str(run.events))

    monkeypatch.setattr(watch.EventReader, "blocks", failing)
    heard, _ = followed(run)
    until(lambda: heard)
    assert "Input/output error" in heard[0].why
    assert heard[0].unavailable_since
    broken.clear()
    until(lambda: heard[-1].unavailable_since is None)
    assert same(heard.history, series.load(run))


def test_a_follower_says_when_its_disk_hangs_and_when_its_run_is_deleted(
    run: Run, followed: Any, gate: threading.Event
) -> None:
    with EventLog(run.events) as log:
        train(log, 1, 2)
    heard, _ = followed(run)
    until(lambda: heard)
    gate.clear()
    until(lambda: heard[-1].unavailable_since)
    assert "does not answer" in heard[-1].why
    gate.set()
    until(lambda: heard[-1].unavailable_since is None)
    folder.delete(run)
    until(lambda: heard[-1].unavailable_since)
    assert "is gone" in heard[-1].why


def test_a_worker_that_executes_itself_anew_is_not_taken_for_dead(
    run: Run, followed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = RunLock(run.lock)
    lock.acquire()
    with EventLog(run.events) as log:
        log.write(PhaseEvent(phase=Phase.TRAINING))
        log.write(ResumedEvent(step=0, reason="out_of_memory"))
    looks = counted(monkeypatch, watch.lock, "is_held")
    heard, _ = followed(run)
    until(lambda: heard)
    lock.release()
    before = len(looks)
    until(lambda: len(looks) > before + 5)
    assert heard.status() is Status.TRAINING
    until(lambda: heard.status() is Status.INTERRUPTED)

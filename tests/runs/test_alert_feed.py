"""Alerts from real run folders: which runs are watched, and what is told of them when."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from qtui.runs import alert_feed
from qtui.runs.alert_feed import AlertFeed, AlertWatch
from qtui.runs.alerts import STALL_SECONDS
from qtui.runs.events import FinishedEvent, MetricsEvent, Phase, PhaseEvent, ProgressEvent
from qtui.runs.folder import Run
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog
from tests.runs.conftest import make, until

NOW = time.time()


def train(run: Run, steps: int, loss: float | None = 1.0) -> EventLog:
    log = EventLog(run.events)
    if log.next_seq == 0:
        log.write(PhaseEvent(phase=Phase.TRAINING))
    for _ in range(steps):
        log.write(ProgressEvent(what="train", done=log.next_seq, total=10_000))
        log.write(MetricsEvent(step=log.next_seq, values={"loss": loss}))
    return log


def kinds(feed: AlertFeed, now: float) -> list[str]:
    return [alert.kind for alert in feed.look(now)]


def test_only_living_runs_are_watched(tmp_path: Path) -> None:
    dead, alive = make(tmp_path, "dead"), make(tmp_path, "alive")
    train(dead, 5, loss=None)
    train(alive, 5, loss=None)
    feed = AlertFeed(tmp_path)
    with RunLock(alive.lock):
        (alert,) = feed.look(NOW)
        assert (alert.kind, alert.run) == ("non_finite", alive.id)
        assert [run.run_id for run in feed.runs] == [alive.id]
        assert feed.active == [alert]
        assert feed.look(NOW + 1) == []


def test_a_run_that_cannot_be_read_does_not_keep_the_others_from_being_watched(
    tmp_path: Path,
) -> None:
    broken, breaking, sound = (make(tmp_path, name) for name in ("broken", "breaking", "sound"))
    broken.events.mkdir()
    train(breaking, 5)
    train(sound, 5, loss=None)
    feed = AlertFeed(tmp_path)
    with RunLock(broken.lock), RunLock(breaking.lock), RunLock(sound.lock):
        assert [alert.run for alert in feed.look(NOW)] == [sound.id]
        breaking.events.unlink()
        breaking.events.mkdir()
        EventLog(sound.events).write(FinishedEvent(status="stopped", step=5))
        assert kinds(feed, NOW + 1) == ["finished"]


def test_what_is_over_when_a_run_is_first_seen_is_not_told(tmp_path: Path, run: Run) -> None:
    train(run, 5, loss=None)
    train(run, 5)
    with RunLock(run.lock):
        assert kinds(AlertFeed(tmp_path), NOW) == []


def test_what_is_new_is_told_and_the_run_is_let_go_when_it_ends(tmp_path: Path, run: Run) -> None:
    log = train(run, 5)
    feed = AlertFeed(tmp_path)
    with RunLock(run.lock):
        assert kinds(feed, NOW) == []
        train(run, 1, loss=None)
        assert kinds(feed, NOW + 1) == ["non_finite"]
        log = EventLog(run.events)
        log.write(FinishedEvent(status="completed", step=6))
        assert kinds(feed, NOW + 2) == ["finished"]
    assert kinds(feed, NOW + 3) == []
    assert feed.runs == ()


def test_a_killed_worker_is_told_once(tmp_path: Path, run: Run) -> None:
    train(run, 5)
    feed = AlertFeed(tmp_path)
    with RunLock(run.lock):
        assert kinds(feed, NOW) == []
    assert kinds(feed, NOW + 1) == ["interrupted"]
    assert kinds(feed, NOW + 60) == []
    with RunLock(run.lock):  # resumed: it is watched again
        train(run, 1)
        assert kinds(feed, NOW + 120) == []
        assert len(feed.runs) == 1


def test_silence_counts_from_when_the_run_was_first_seen(tmp_path: Path, run: Run) -> None:
    train(run, 5)
    feed = AlertFeed(tmp_path)
    with RunLock(run.lock):
        later = NOW + 10_000  # another machine's clock, or a dashboard opened late
        assert kinds(feed, later) == []
        assert kinds(feed, later + STALL_SECONDS - 1) == []
        assert kinds(feed, later + STALL_SECONDS + 1) == ["stall"]


def test_of_a_long_log_only_the_end_is_read(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(run, 500, loss=None)
    train(run, 200)
    monkeypatch.setattr(alert_feed, "LOOK_BACK", 2000)
    taken: list[int] = []
    whole = alert_feed.RunAlerts.take
    monkeypatch.setattr(
        alert_feed.RunAlerts,
        "take",
        lambda self, event, now: taken.append(event.seq) or whole(self, event, now),
    )
    feed = AlertFeed(tmp_path)
    with RunLock(run.lock):
        assert kinds(feed, NOW) == []
        assert 5 < len(taken) < 40
        assert taken == list(range(taken[0], 1401))  # whole lines, none left out
        assert feed.runs[0].training  # the phase event is not among them
        train(run, 1, loss=None)
        assert kinds(feed, NOW + 1) == ["non_finite"]


def test_a_run_deleted_while_watched_is_forgotten(tmp_path: Path, run: Run) -> None:
    import shutil

    train(run, 5)
    feed = AlertFeed(tmp_path)
    with RunLock(run.lock):
        feed.look(NOW)
        shutil.rmtree(run.path)
        assert kinds(feed, NOW + 1) == []
        assert feed.runs == ()


def test_one_run_alone_can_be_watched(tmp_path: Path) -> None:
    one, other = make(tmp_path, "one"), make(tmp_path, "other")
    train(one, 3, loss=None)
    train(other, 3, loss=None)
    with RunLock(one.lock), RunLock(other.lock):
        found = AlertFeed(tmp_path, only=one).look(NOW)
        assert [alert.run for alert in found] == [one.id]


def test_the_watch_hands_over_from_a_thread_of_its_own(tmp_path: Path, run: Run) -> None:
    train(run, 5)
    found: list[tuple[str, str]] = []

    def deliver(alerts: list) -> None:
        found.extend((alert.kind, threading.current_thread().name) for alert in alerts)

    with RunLock(run.lock):
        watch = AlertWatch(tmp_path, deliver, interval=0.01)
        until(lambda: watch.runs)
        train(run, 1, loss=None)
        until(lambda: found)
        assert found == [("non_finite", "alerts")]
        assert [alert.kind for alert in watch.active] == ["non_finite"]
        watch.close()

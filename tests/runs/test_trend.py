"""The trend shows the whole run, honestly after a resume, and reads no more of a long log."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from qtui.runs.events import Event, LogEvent, MetricsEvent, PhaseEvent, ProgressEvent, ResumedEvent
from qtui.runs.trend import POINTS, WINDOW, Trend, trend


def write(path: Path, events: list[Event]) -> Path:
    with path.open("ab") as file:
        for seq, event in enumerate(events):
            file.write(msgspec.json.encode(msgspec.structs.replace(event, seq=seq)) + b"\n")
    return path


def steps(first: int, last: int, *, at: float = 0.0, seconds: float = 2.0) -> list[Event]:
    events: list[Event] = []
    for step in range(first, last + 1):
        time = at + (step - first) * seconds
        values: dict[str, float | None] = {"grad_norm": 1.0, "loss": 1000.0 - step}
        events.append(ProgressEvent(time=time, what="train", done=step, total=last))
        events.append(MetricsEvent(time=time, step=step, values=values))
    return events


def test_no_log_and_no_losses_have_no_trend(tmp_path: Path) -> None:
    assert trend(tmp_path / "none") == Trend([])
    text = '{"type":"metrics","step":1,"time":2.0,"values":{"loss":3.0}}\n'
    events = [
        PhaseEvent(phase="training"),
        LogEvent(level="info", message=text),
        MetricsEvent(step=1, values={"eval_loss": 1.0, "loss": None}),
    ]
    assert trend(write(tmp_path / "log", events)) == Trend([])
    (tmp_path / "log").write_bytes(b'{"type":"metrics"\0\n{"type":"metrics","seq":1')
    assert trend(tmp_path / "log") == Trend([])


def test_few_losses_are_shown_each(tmp_path: Path) -> None:
    found = trend(write(tmp_path / "log", steps(1, 5)))
    assert found == Trend([999.0, 998.0, 997.0, 996.0, 995.0], 2.0)


@pytest.mark.parametrize("count", [30, 100, 20_000])
def test_many_losses_from_the_first_to_the_last(tmp_path: Path, count: int) -> None:
    found = trend(write(tmp_path / "log", steps(1, count)))
    assert len(found.losses) == POINTS
    assert found.losses == sorted(found.losses, reverse=True)
    tolerance = max(count / POINTS, 1)
    assert found.losses[0] == pytest.approx(999, abs=tolerance)
    assert found.losses[-1] == pytest.approx(1000 - count, abs=tolerance)
    assert found.seconds_per_step == pytest.approx(2.0)


@pytest.mark.parametrize("count", [20, 3000])
def test_what_was_trained_again_is_shown_once(tmp_path: Path, count: int) -> None:
    log = write(tmp_path / "log", steps(1, count))
    wrong = [
        msgspec.structs.replace(event, values={"loss": 1e9})
        for event in steps(count + 1, 2 * count)
        if isinstance(event, MetricsEvent)
    ]
    write(log, [*wrong, ResumedEvent(step=count), *steps(count + 1, 2 * count, at=1e6)])
    found = trend(log)
    assert max(found.losses) < 1000
    assert found.seconds_per_step == pytest.approx(2.0)  # without the night in between


def test_a_resume_takes_back_what_nothing_has_replaced_yet(tmp_path: Path) -> None:
    log = write(tmp_path / "log", [*steps(1, 9), ResumedEvent(step=4)])
    assert trend(log).losses == [999.0, 998.0, 997.0, 996.0]


def test_a_long_log_costs_no_more_than_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write(tmp_path / "log", steps(1, 20_000))
    read: list[int] = []
    pread = os.pread

    def counting(fd: int, size: int, offset: int) -> bytes:
        read.append(size)
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", counting)
    trend(log)
    assert sum(read) <= POINTS * WINDOW < log.stat().st_size / 10

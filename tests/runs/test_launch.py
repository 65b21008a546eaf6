"""Workers as real processes: started, followed, stopped, killed, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qtui.errors import InputError, QtuiError
from qtui.runs import commands, launch, lock, series, state
from qtui.runs.events import (
    FinishedEvent,
    LogEvent,
    Phase,
    PhaseEvent,
    ResumedEvent,
    SaveNow,
    SettingValue,
)
from qtui.runs.folder import Run
from qtui.runs.lock import is_held
from qtui.runs.log import EventLog
from qtui.runs.state import Status
from tests.runs.conftest import FAKE, make, until

Start = Callable[..., int]


def training(run: Run) -> bool:
    return len(series.load(run).metric("loss")[0]) > 3


def test_a_worker_is_alone_in_its_session_and_writes_to_files(run: Run, start: Start) -> None:
    pid = start(run)
    assert is_held(run.lock)
    assert os.getsid(pid) == pid != os.getsid(0)
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
    for fd in (1, 2):
        assert Path(f"/proc/{pid}/fd/{fd}").readlink() == run.worker_log
    assert Path(f"/proc/{pid}/cwd").readlink() == run.path.parent.parent
    assert run.worker_log.read_text() == "fake worker, mode train\n"


def test_stop_ends_it_and_says_whether_to_save(run: Run, start: Start) -> None:
    start(run)
    until(lambda: training(run))
    assert launch.wait(run, timeout=0) is Status.TRAINING
    launch.request_stop(run, save=False)
    assert launch.wait(run, timeout=30) is Status.STOPPED
    end = series.load(run).end
    assert isinstance(end, FinishedEvent)
    assert end.message == "False"
    with pytest.raises(InputError, match="is stopped: there is no worker"):
        launch.request_stop(run, save=True)


def test_save_now_is_heard_while_training_goes_on(run: Run, start: Start) -> None:
    start(run)
    commands.send(run, SaveNow())
    until(lambda: series.load(run).checkpoints)
    assert state.status(run) is Status.TRAINING


def test_kill_9_is_seen_within_five_seconds_and_resume_goes_on(run: Run, start: Start) -> None:
    pid = start(run)
    until(lambda: training(run))
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    until(lambda: state.status(run) is Status.INTERRUPTED, seconds=5)
    assert time.monotonic() - killed < 5
    assert launch.wait(run, timeout=0) is Status.INTERRUPTED
    until(lambda: not Path(f"/proc/{pid}").exists())  # reaped, no zombie is left
    seen = series.load(run).events
    start(run, again=True)
    until(lambda: series.load(run).events > seen + 5)
    history = series.load(run)
    steps, _ = history.metric("loss")
    assert steps == sorted(set(steps))
    assert len(history.resumes) == 1
    assert state.status(run) is Status.TRAINING


def test_a_forked_child_that_lives_on_does_not_hide_the_death(run: Run, start: Start) -> None:
    pid = start(run, "child")
    until(lambda: (run.path / "child").exists() and (run.path / "child").read_text())
    child = int((run.path / "child").read_text())
    try:
        os.kill(pid, signal.SIGKILL)
        until(lambda: state.status(run) is Status.INTERRUPTED, seconds=5)
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


_LAUNCHER = """
import os, sys
from pathlib import Path
from qtui.runs import launch
from qtui.runs.folder import Run
worker = [sys.executable, sys.argv[2], "train"]
print(launch.launch(Run(Path(sys.argv[1])), argv=worker), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL, signal.SIGINT])
def test_the_launcher_and_its_whole_session_may_die(
    run: Run, start: Start, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _LAUNCHER, str(run.path), FAKE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as launcher:
        assert launcher.stdout is not None
        pid = int(launcher.stdout.readline())
        until(lambda: training(run))
        os.killpg(launcher.pid, number)
    try:
        seen = series.load(run).events
        until(lambda: series.load(run).events > seen + 5)
        assert is_held(run.lock)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_terminal_that_hangs_up_takes_no_worker_with_it(run: Run) -> None:
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", _LAUNCHER, str(run.path), FAKE])
    worker = int(os.read(terminal, 100))
    try:
        os.close(terminal)  # the kernel sends SIGHUP to the session
        os.waitpid(pid, 0)
        seen = series.load(run).events
        until(lambda: series.load(run).events > seen + 5)
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_worker_that_dies_at_its_start_is_reported_with_its_last_words(
    run: Run, start: Start
) -> None:
    run.worker_log.write_text("of an earlier life\n")
    with pytest.raises(QtuiError, match="died at its start") as error:
        start(run, "crash")
    assert "exit code 1" in error.value.message
    assert "no torch here" in error.value.message
    assert "\x1b" not in error.value.message
    assert "earlier life" not in error.value.message
    assert state.status(run) is Status.QUEUED


def test_a_worker_that_never_takes_the_lock_is_ended(run: Run, start: Start) -> None:
    with pytest.raises(
        QtuiError, match="did not start within 1 s; its last words:\nfake worker, mode hang"
    ) as error:
        start(run, "hang", timeout=1)
    assert error.value.remedy
    out = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(run.path) not in out


@pytest.mark.parametrize(("mode", "end"), [("finish", "completed"), ("fail", "failed")])
def test_a_worker_that_is_quickly_done_is_no_error(
    run: Run, start: Start, mode: str, end: str
) -> None:
    assert start(run, mode) > 0
    assert launch.wait(run, timeout=30).value == end


def test_one_worker_a_run(run: Run, start: Start) -> None:
    start(run)
    with pytest.raises(InputError, match="already has a living worker"):
        start(run)
    until(lambda: state.status(run) is Status.TRAINING)
    with pytest.raises(InputError, match="it needs no resuming"):
        start(run, again=True)


def test_two_that_start_the_same_run_at_once_get_one_worker(run: Run) -> None:
    launchers = [
        subprocess.Popen(
            [sys.executable, "-c", _LAUNCHER, str(run.path), FAKE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    try:
        until(lambda: training(run))
        until(lambda: any(launcher.poll() for launcher in launchers))  # said no to one of them
        assert [launcher.poll() is None for launcher in launchers].count(True) == 1
    finally:
        launch.request_stop(run, save=False)
        assert launch.wait(run, timeout=30) is Status.STOPPED
        for launcher in launchers:
            launcher.communicate(b"\n")
    seqs = [event.seq for event in _all_events(run)]
    assert seqs == list(range(len(seqs)))
    assert not (run.path / ".launch").exists()


def _all_events(run: Run) -> list[object]:
    from qtui.runs.log import EventReader

    return list(EventReader(run.events).poll())


def test_a_completed_run_is_not_resumed(run: Run, start: Start) -> None:
    start(run, "finish")
    launch.wait(run, timeout=30)
    with pytest.raises(InputError, match="is completed: there is nothing to resume"):
        start(run, again=True)


def test_a_stop_of_an_earlier_life_is_not_obeyed_by_the_next(run: Run, start: Start) -> None:
    start(run)
    launch.request_stop(run, save=True)
    assert launch.wait(run, timeout=30) is Status.STOPPED
    start(run, again=True)
    assert state.status(run) not in state.FINAL  # the old end is not taken for the new one
    seen = series.load(run).events
    until(lambda: series.load(run).events > seen + 5)
    launch.request_stop(run, save=True)
    assert launch.wait(run, timeout=30) is Status.STOPPED


def test_a_worker_that_executes_itself_stays_alive_to_all(run: Run, start: Start) -> None:
    pid = start(run, "exec")
    until(lambda: training(run))
    assert is_held(run.lock)
    history = series.load(run)
    assert [resumed.reason for resumed in history.resumes] == ["out_of_memory"]
    os.kill(pid, 0)
    launch.request_stop(run, save=True)
    assert launch.wait(run, timeout=30) is Status.STOPPED


def test_a_run_that_never_began_has_no_worker_to_stop(run: Run, start: Start) -> None:
    with pytest.raises(InputError, match="has not started yet"):
        launch.request_stop(run, save=True)
    start(run, again=True)  # a run whose launch failed can still be started
    until(lambda: training(run))


def test_modules_in_the_workspace_do_not_take_the_place_of_installed_ones(
    tmp_path: Path,
) -> None:
    run = make(tmp_path)
    (tmp_path / "msgspec.py").write_text("raise SystemExit('shadowed')")
    code = (
        "import sys; from pathlib import Path; from qtui.runs.folder import Run; "
        "from qtui.runs.lock import RunLock; import time; run = Run(Path(sys.argv[1]))\n"
        "with RunLock(run.lock): time.sleep(0.5)"
    )
    assert launch.launch(run, argv=[sys.executable, "-c", code]) > 0
    until(lambda: not is_held(run.lock))


def test_a_log_that_cannot_be_written_is_said_before_anything_starts(
    run: Run, start: Start
) -> None:
    run.worker_log.mkdir()
    with pytest.raises(QtuiError, match=r"worker\.log cannot be written"):
        start(run)
    assert not is_held(run.lock)


_TELLS = """
import os, sys, time
from pathlib import Path
from qtui.runs.folder import Run
from qtui.runs.lock import RunLock
run = Run(Path(sys.argv[1]))
(run.path / "told").write_text(os.environ.get("QTUI_OVERRIDES", "nothing"))
with RunLock(run.lock): time.sleep(0.5)
"""


def test_a_resume_hands_its_overrides_to_the_worker_and_a_launch_none(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = [sys.executable, "-c", _TELLS]
    told = run.path / "told"
    monkeypatch.setenv("QTUI_OVERRIDES", '{"training.batch_size": 7}')  # of whoever started us
    for verb in (launch.launch, launch.resume):
        verb(run, argv=argv)
        assert told.read_text() == "nothing"
        until(lambda: not is_held(run.lock))
    changed: dict[str, SettingValue] = {
        "training.learning_rate": 1e-5,
        "training.report_to": ["wandb"],
    }
    launch.resume(run, overrides=changed, argv=argv)
    assert json.loads(told.read_text()) == changed
    until(lambda: not is_held(run.lock))


class _Dropped:
    """The lock of a worker that executes itself anew where `execv` drops it: free, then held."""

    def __init__(self, run: Run, free: int) -> None:
        self.run, self.free, self.asked = run, free, 0

    def __call__(self, path: Path) -> bool:
        self.asked += 1
        if self.asked == self.free + 1:
            with EventLog(self.run.events) as log:
                log.write(PhaseEvent(phase=Phase.INITIALIZING))
        return self.asked > self.free


def restarting(run: Run, reason: str = "out_of_memory") -> None:
    with EventLog(run.events) as log:
        log.write(PhaseEvent(phase=Phase.TRAINING))
        log.write(ResumedEvent(step=3, reason=reason))
        log.write(LogEvent(level="warning", message="out of memory: going on from step 3"))


def test_a_lock_that_a_restart_drops_is_not_taken_for_the_end(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    restarting(run)
    for ask in (state.settled, lambda run: launch.wait(run, timeout=0)):
        monkeypatch.setattr(lock, "is_held", _Dropped(run, free=3))
        assert ask(run) is Status.INITIALIZING
        restarting(run)
    monkeypatch.setattr(lock, "is_held", _Dropped(run, free=3))
    with pytest.raises(InputError, match="it needs no resuming"):
        launch.resume(run)
    restarting(run)
    monkeypatch.setattr(lock, "is_held", _Dropped(run, free=3))
    launch.request_stop(run, save=True)  # is not refused


def test_a_worker_that_dies_in_its_restart_is_seen_after_a_while_and_others_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    restarting(run)
    monkeypatch.setattr(state, "RESTART_SECONDS", 0.1)
    assert state.settled(run) is Status.INTERRUPTED
    restarting(run, reason="checkpoint")
    monkeypatch.setattr(lock, "is_held", _Dropped(run, free=2))  # two looks: no waiting
    assert not state.worker_lives(run)

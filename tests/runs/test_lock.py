"""The lock: the kernel says who lives. Real processes, really killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qtui.errors import QtuiError
from qtui.runs import lock as lock_module
from qtui.runs.lock import LOCK_FD, RunLock, is_held
from tests.runs.conftest import until

_HOLDER = """
import os, signal, sys
from pathlib import Path
from qtui.runs.lock import RunLock
lock = RunLock(Path(sys.argv[1])); lock.acquire()
print("held", flush=True)
if "fork" in sys.argv and os.fork() == 0:
    print(os.getpid(), flush=True)
signal.pause()
"""


def hold(path: Path, *words: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path), *words], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_held_while_its_process_lives_and_free_the_moment_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    with hold(path) as process:
        assert is_held(path)
        with pytest.raises(QtuiError, match="already has a living worker"):
            RunLock(path).acquire(timeout=0.1)
        assert is_held(path)  # neither asking nor failing frees another's lock
        process.kill()
    assert not is_held(path)
    with RunLock(path) as lock:
        assert lock.fileno >= 0


def test_a_forked_child_does_not_keep_a_dead_run_alive(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path, "fork") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            process.kill()
            process.wait()
            os.kill(child, 0)  # it lives
            assert not is_held(path)
        finally:
            os.kill(child, signal.SIGKILL)


def test_asking_inside_the_holder_does_not_free_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    ask = [
        sys.executable,
        "-c",
        f"from pathlib import Path; from qtui.runs.lock import is_held; "
        f"raise SystemExit(is_held(Path({str(path)!r})))",
    ]
    with RunLock(path):
        assert is_held(path)
        with pytest.raises(QtuiError):
            RunLock(path).acquire(timeout=0)
        assert subprocess.run(ask, check=False).returncode == 1
    assert not is_held(path)
    assert subprocess.run(ask, check=False).returncode == 0


def test_acquiring_twice_and_releasing_twice_is_once(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / "lock")
    lock.acquire()
    fd = lock.fileno
    lock.acquire()
    assert lock.fileno == fd
    lock.release()
    lock.release()
    assert not is_held(lock.path)


def test_viewers_that_ask_all_the_time_do_not_keep_a_worker_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    ask = (
        "import sys; from pathlib import Path; from qtui.runs.lock import is_held\n"
        "print('asking', flush=True)\nwhile True: is_held(Path(sys.argv[1]))"
    )
    viewers = [
        subprocess.Popen([sys.executable, "-c", ask, str(path)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        for viewer in viewers:
            assert viewer.stdout is not None
            viewer.stdout.readline()
        for _ in range(20):
            with RunLock(path):
                assert is_held(path)
    finally:
        for viewer in viewers:
            viewer.kill()
            viewer.wait()
            assert viewer.stdout is not None
            viewer.stdout.close()


def test_a_thread_that_asks_meanwhile_does_not_free_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    path.touch()
    opened, locked = threading.Event(), threading.Event()
    probe = lock_module._probe

    def slow_probe(asked: Path) -> bool:
        fd = os.open(asked, os.O_RDONLY)
        opened.set()
        locked.wait(0.5)  # another thread must not get as far as this while we have it open
        os.close(fd)
        return probe(asked)

    monkeypatch.setattr(lock_module, "_probe", slow_probe)
    asker = threading.Thread(target=is_held, args=(path,))
    asker.start()
    assert opened.wait(30)
    with RunLock(path):
        locked.set()
        asker.join()
        code = (
            "import sys; from pathlib import Path; from qtui.runs.lock import is_held; "
            "sys.exit(is_held(Path(sys.argv[1])))"
        )
        asked = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
        assert asked.returncode == 1


_EXEC = """
import os, sys
from pathlib import Path
from qtui.runs.lock import RunLock
path = Path(sys.argv[1])
lock = RunLock.adopt(path)
if lock is None:
    lock = RunLock(path); lock.acquire()
    print("held", flush=True); sys.stdin.readline()
    lock.keep_over_exec()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
assert "QTUI_LOCK_FD" not in os.environ and not os.get_inheritable(lock.fileno)
lock.acquire()
print("adopted", flush=True)
sys.stdin.readline()
"""


def test_the_lock_lives_on_over_an_exec(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", _EXEC, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"held\n"
        free: list[bool] = []
        over = threading.Event()

        def watch() -> None:
            while not over.is_set():
                free.append(not is_held(path))

        watcher = threading.Thread(target=watch)
        watcher.start()
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"adopted\n"
        over.set()
        watcher.join()
        assert free
        assert not any(free)
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.wait()
    assert not is_held(path)


@pytest.mark.parametrize("handed", ["", "x", "-1", "99999", "0"])
def test_nothing_is_adopted_that_was_not_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handed: str
) -> None:
    monkeypatch.setenv(LOCK_FD, handed)
    assert RunLock.adopt(tmp_path / "lock") is None
    assert LOCK_FD not in os.environ


def test_a_lock_file_that_is_replaced_does_not_let_a_second_worker_believe(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path) as process:
        path.unlink()
        with RunLock(path):  # a new file, a new lock: nothing better can be known
            assert is_held(path)
        process.kill()


def test_a_reader_without_the_right_to_write_may_ask(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path) as process:
        path.chmod(0o444)
        assert is_held(path)
        process.kill()
        process.wait()
    until(lambda: not is_held(path))

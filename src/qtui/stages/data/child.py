"""A process of our own for work that may loop, crash or eat all memory, and can be killed for it.

Chat templates are foreign programs, PDFs are files that attack, and rows are prepared on all
cores: each runs in a process like this. Frames go in on stdin and come back on stdout, a length
before each. The process has no secrets in its environment, a limit on its memory when it is asked
for one, and ends by itself when its parent is gone, even from inside an endless loop.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import IO, TypeVar

T = TypeVar("T")

_LENGTH = struct.Struct("<Q")
_KEPT_ENVIRONMENT = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ"),
    *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
)


class Child:
    """`python -m MODULE`, whose main calls `serve`. A context manager; killed when it is left.

    Frames are answered one after another, in order. The future of a frame raises EOFError or
    BrokenPipeError when the process has ended instead.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        kept = {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                   "RAYON_NUM_THREADS")  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**kept, **dict.fromkeys(threads, "1"), **(environment or {})},
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="qtui-child")

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def submit(self, frame: bytes) -> Future[bytes]:
        """Send one frame; the future is its answer."""
        return self._thread.submit(self._exchange, frame)

    def _exchange(self, frame: bytes) -> bytes:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        _write(self.process.stdin, frame)
        return _read(self.process.stdout)

    def kill(self) -> None:
        """End the process at once; frames that wait fail with EOFError or BrokenPipeError."""
        self.process.kill()

    def close(self) -> None:
        """End the process and wait for it."""
        self.process.kill()
        self.process.wait()
        self._thread.shutdown(cancel_futures=True)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def spread(
    items: Iterable[T], submit: Callable[[int, T], Future[bytes]], *, ahead: int
) -> Iterator[tuple[T, Future[bytes]]]:
    """Submit item after item, `ahead` of the caller, and yield each with its future, in order.

    `submit` gets the number of the item from 0, to choose a process by.
    """
    waiting: deque[tuple[T, Future[bytes]]] = deque()
    for number, item in enumerate(items):
        waiting.append((item, submit(number, item)))
        if len(waiting) >= ahead:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()


def serve(answer: Callable[[bytes], bytes], *, memory: int | None = None) -> None:
    """In the process: answer frame after frame until stdin ends. `memory` is a limit in bytes."""
    if memory is not None:
        _limit_memory(memory)
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    stdin, stdout = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get between the frames
    while True:
        try:
            frame = _read(stdin)
        except EOFError:
            return
        _write(stdout, answer(frame))


def _write(pipe: IO[bytes], frame: bytes) -> None:
    pipe.write(_LENGTH.pack(len(frame)))
    pipe.write(frame)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes:
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    frame = pipe.read(length)
    if len(frame) < length:
        raise EOFError
    return frame


def _limit_memory(wanted: int) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _watch(parent: int) -> None:
    """End with the parent."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

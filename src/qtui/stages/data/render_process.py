"""Renders rows in a process of its own, because a chat template is a program from a stranger.

Jinja's sandbox keeps a template from files and network, but not from looping for ever or filling
the memory. The process here has a memory limit and no secrets in its environment, is killed when
a batch takes too long, and ends by itself when its parent is gone. It also renders one batch
while the parent tokenises the one before.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import IO, Protocol

import msgspec

from qtui.errors import InputError, QtuiError
from qtui.stages.data.render import ChatTemplate, Rendered, RenderError, render
from qtui.stages.data.rows import Row

MEMORY_LIMIT = 4 * 2**30
BATCH_SECONDS = 60.0
_START_SECONDS = 120.0
_LENGTH = struct.Struct("<Q")
_KEPT_ENVIRONMENT = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ"),
    *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
)


class Renderer(Protocol):
    """Renders rows in order; what a template refuses comes back as the error, not raised."""

    def __call__(self, rows: list[Row]) -> list[Rendered | RenderError]: ...


class _Reply(msgspec.Struct, array_like=True):
    text: str
    spans: tuple[tuple[int, int], ...] = ()
    error: bool = False
    mask: bool = False


class RenderProcess:
    """A rendering process; a context manager, and a `Renderer` for the template it was given.

    `seconds` is the longest that one batch may take.
    """

    def __init__(self, template: ChatTemplate, *, seconds: float = BATCH_SECONDS) -> None:
        self._template = template
        self._seconds = seconds
        self._started = False
        environment = {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment |= dict.fromkeys(threads, "1")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "qtui.stages.data.render_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="qtui-render")
        self._send = msgspec.msgpack.Encoder().encode
        self._replies = msgspec.msgpack.Decoder(list[_Reply])

    def __enter__(self) -> RenderProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.shutdown()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def use(self, template: ChatTemplate) -> None:
        """Render with this template from now on."""
        self._template = template

    def __call__(self, rows: list[Row]) -> list[Rendered | RenderError]:
        """Render one batch; raises InputError when the template takes too long or dies of it."""
        return self._result(self._submit(rows), rows)

    def batches(
        self, batches: Iterable[list[Row]]
    ) -> Iterator[tuple[list[Row], list[Rendered | RenderError]]]:
        """Render batch after batch, always one ahead of the caller."""
        ahead: tuple[list[Row], Future[list[_Reply]]] | None = None
        for rows in batches:
            submitted = self._submit(rows)
            if ahead is not None:
                yield ahead[0], self._result(ahead[1], ahead[0])
            ahead = (rows, submitted)
        if ahead is not None:
            yield ahead[0], self._result(ahead[1], ahead[0])

    def _submit(self, rows: list[Row]) -> Future[list[_Reply]]:
        return self._thread.submit(self._exchange, self._template, rows)

    def _exchange(self, template: ChatTemplate, rows: list[Row]) -> list[_Reply]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        _write(self._process.stdin, self._send((template, rows)))
        return self._replies.decode(_read(self._process.stdout))

    def _result(
        self, future: Future[list[_Reply]], rows: list[Row]
    ) -> list[Rendered | RenderError]:
        seconds = self._seconds if self._started else max(self._seconds, _START_SECONDS)
        try:
            replies = future.result(timeout=seconds)
        except TimeoutError:
            self._process.kill()
            raise self._refusal(f"did not come to an end within {seconds:.0f} s", rows) from None
        except (EOFError, BrokenPipeError):
            code = self._process.wait()
            if not self._started:
                raise QtuiError(
                    f"the process that renders chat templates could not start (exit code {code})",
                    remedy="worker.log in the run's folder says why.",
                ) from None
            raise self._refusal(f"ended its process (exit code {code})", rows) from None
        self._started = True
        return [
            RenderError(reply.text, mask=reply.mask)
            if reply.error
            else Rendered(reply.text, reply.spans)
            for reply in replies
        ]

    def _refusal(self, what: str, rows: list[Row]) -> InputError:
        first, last = rows[0], rows[-1]
        return InputError(
            f"{self._template.origin} {what}, on the rows from {first.source}:{first.line} "
            f"to {last.source}:{last.line}",
            remedy="Look at the template: it loops or grows without end on one of these rows.",
        )


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


# ---- in the process -----------------------------------------------------------------------------


def _serve() -> None:
    """Answer batches on stdin with rendered texts on stdout until stdin ends."""
    _limit_memory()
    parent = os.getppid()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    stdin, stdout = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get between the frames
    decoder = msgspec.msgpack.Decoder(tuple[ChatTemplate, list[Row]])
    encode = msgspec.msgpack.Encoder().encode
    while True:
        try:
            frame = _read(stdin)
        except EOFError:
            return
        template, rows = decoder.decode(frame)
        _write(stdout, encode([_reply(template, row) for row in rows]))


def _reply(template: ChatTemplate, row: Row) -> _Reply:
    try:
        rendered = render(template, row)
    except RenderError as error:
        return _Reply(str(error), error=True, mask=error.mask)
    return _Reply(rendered.text, rendered.spans)


def _limit_memory() -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY_LIMIT if hard == resource.RLIM_INFINITY else min(MEMORY_LIMIT, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _watch(parent: int) -> None:
    """End with the parent, even from inside a template's endless loop."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    _serve()

"""Renders rows in a process of its own, because a chat template is a program from a stranger.

Jinja's sandbox keeps a template from files and network, but not from looping for ever or filling
the memory. The process (see `child`) has a memory limit and is killed when a batch takes too long.
It also renders one batch while the parent tokenises the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Protocol

import msgspec

from qtui.errors import InputError, QtuiError
from qtui.stages.data.child import Child, serve
from qtui.stages.data.render import ChatTemplate, Rendered, RenderError, render
from qtui.stages.data.rows import Row

MEMORY_LIMIT = 4 * 2**30
BATCH_SECONDS = 60.0
_START_SECONDS = 120.0


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
        self._child = Child("qtui.stages.data.render_process")
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
        self._child.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._child.process.pid

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
        ahead: tuple[list[Row], Future[bytes]] | None = None
        for rows in batches:
            submitted = self._submit(rows)
            if ahead is not None:
                yield ahead[0], self._result(ahead[1], ahead[0])
            ahead = (rows, submitted)
        if ahead is not None:
            yield ahead[0], self._result(ahead[1], ahead[0])

    def _submit(self, rows: list[Row]) -> Future[bytes]:
        return self._child.submit(self._send((self._template, rows)))

    def _result(self, future: Future[bytes], rows: list[Row]) -> list[Rendered | RenderError]:
        seconds = self._seconds if self._started else max(self._seconds, _START_SECONDS)
        try:
            replies = self._replies.decode(future.result(timeout=seconds))
        except TimeoutError:
            self._child.kill()
            raise self._refusal(f"did not come to an end within {seconds:.0f} s", rows) from None
        except (EOFError, BrokenPipeError):
            code = self._child.process.wait()
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


# ---- in the process -----------------------------------------------------------------------------

_requests = msgspec.msgpack.Decoder(tuple[ChatTemplate, list[Row]])
_encode = msgspec.msgpack.Encoder().encode


def _answer(frame: bytes) -> bytes:
    template, rows = _requests.decode(frame)
    return _encode([_reply(template, row) for row in rows])


def _reply(template: ChatTemplate, row: Row) -> _Reply:
    try:
        rendered = render(template, row)
    except RenderError as error:
        return _Reply(str(error), error=True, mask=error.mask)
    return _Reply(rendered.text, rendered.spans)


if __name__ == "__main__":
    serve(_answer, memory=MEMORY_LIMIT)

"""Renders and tokenises rows in processes of their own, because a chat template is a program from a
stranger, and because one core is not enough.

Jinja's sandbox keeps a template from files and network, but not from looping for ever or filling
the memory. The processes (see `child`) have a memory limit and are killed when a batch takes too
long. They know the tokenizer as the tokenizers library does; a tokenizer that is more than that
stays in the worker, and the processes only render.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Protocol

import msgspec

from qtui.errors import InputError, QtuiError
from qtui.stages.data.child import Child, serve, spread
from qtui.stages.data.encoding.render import ChatTemplate, Rendered, RenderError, render
from qtui.stages.data.encoding.tokenise import PlainTokenizer, Tokens, plain, tokenise
from qtui.stages.data.rows import Row

MEMORY_LIMIT = 4 * 2**30
BATCH_SECONDS = 60.0
_START_SECONDS = 120.0
_AHEAD = 2
"""Batches in flight for each process."""

Reply = tuple[Rendered, Tokens | None] | RenderError
"""A row as text and tokens (None: the caller is to tokenise it), or why there is none."""


class Renderer(Protocol):
    """Renders rows in order; what a template refuses comes back as the error, not raised."""

    def __call__(self, rows: list[Row]) -> list[Rendered | RenderError]: ...


class _Tokenizer(msgspec.Struct, array_like=True, tag=True):
    """The tokenizer of all requests that follow; it is answered with nothing."""

    text: str
    bos_token_id: int | None
    split_special_tokens: bool


class _Request(msgspec.Struct, array_like=True, tag=True):
    template: ChatTemplate
    rows: list[Row]
    max_seq_length: int = 0
    """0: the texts are not to be tokenised."""


class _Reply(msgspec.Struct, array_like=True):
    text: str
    spans: tuple[tuple[int, int], ...] = ()
    error: bool = False
    mask: bool = False
    kept: int = -1
    """Tokens within the length; -1: it was not tokenised."""
    trained: int = 0
    labels: bytes = b""
    """int32, of this machine's order."""
    all_ids: bytes = b""
    ends: bytes = b""


class RenderProcess:
    """Rendering processes; a context manager, and a `Renderer` for the template it was given.

    There is one until `use` asks for more. With `tokenizer` (of transformers) they tokenise as
    well, where that can be done without it. `seconds` is the longest that one batch may take.
    """

    def __init__(
        self, template: ChatTemplate, tokenizer: Any = None, *, seconds: float = BATCH_SECONDS
    ) -> None:
        self._template = template
        self._seconds = seconds
        self._started: set[int] = set()
        self._known = None if tokenizer is None else plain(tokenizer)
        self._send = msgspec.msgpack.Encoder().encode
        self._replies = msgspec.msgpack.Decoder(list[_Reply])
        self._children = [self._child()]

    def _child(self) -> Child:
        child = Child("qtui.stages.data.encoding.render_process")
        if self._known is not None:
            known = self._known
            setup = _Tokenizer(
                known.backend_tokenizer.to_str(), known.bos_token_id, known.split_special_tokens
            )
            child.submit(self._send(setup))
        return child

    def __enter__(self) -> RenderProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in self._children:
            child.close()

    @property
    def pid(self) -> int:
        """The first process's id."""
        return self._children[0].process.pid

    def use(self, template: ChatTemplate, *, processes: int = 1) -> None:
        """Render with this template from now on, in this many processes."""
        self._template = template
        while len(self._children) < processes:
            self._children.append(self._child())

    def __call__(self, rows: list[Row]) -> list[Rendered | RenderError]:
        """Render one batch; raises InputError when the template takes too long or dies of it."""
        replies = self._result(self._submit(rows), rows, self._children[0])
        return [reply if isinstance(reply, RenderError) else reply[0] for reply in replies]

    def batches(
        self, batches: Iterable[list[Row]], *, max_seq_length: int = 0
    ) -> Iterator[tuple[list[Row], list[Reply]]]:
        """Render batch after batch, ahead of the caller and in order; with `max_seq_length`
        (above 0) tokenise them too, where the processes know the tokenizer."""
        children = self._children
        length = max_seq_length if self._known is not None else 0
        submitted = spread(
            batches,
            lambda number, rows: self._submit(rows, length, children[number % len(children)]),
            ahead=_AHEAD * len(children),
        )
        for number, (rows, future) in enumerate(submitted):
            yield rows, self._result(future, rows, children[number % len(children)])

    def _submit(
        self, rows: list[Row], max_seq_length: int = 0, child: Child | None = None
    ) -> Future[bytes]:
        request = _Request(self._template, rows, max_seq_length)
        try:
            frame = self._send(request)
        except OverflowError:  # a number of more than 64 bits in a call or a tool
            frame = msgspec.json.encode(request)
        return (child or self._children[0]).submit(frame)

    def _result(self, future: Future[bytes], rows: list[Row], child: Child) -> list[Reply]:
        pid = child.process.pid
        started = pid in self._started
        seconds = self._seconds if started else max(self._seconds, _START_SECONDS)
        try:
            replies = self._replies.decode(future.result(timeout=seconds))
        except TimeoutError:
            child.kill()
            raise self._refusal(f"did not come to an end within {seconds:.0f} s", rows) from None
        except (EOFError, BrokenPipeError):
            code = child.process.wait()
            if not started:
                raise QtuiError(
                    f"the process that renders chat templates could not start (exit code {code})",
                    remedy="worker.log in the run's folder says why.",
                ) from None
            raise self._refusal(f"ended its process (exit code {code})", rows) from None
        self._started.add(pid)
        return [_read(reply) for reply in replies]

    def _refusal(self, what: str, rows: list[Row]) -> InputError:
        first, last = rows[0], rows[-1]
        return InputError(
            f"{self._template.origin} {what}, on the rows from {first.source}:{first.line} "
            f"to {last.source}:{last.line}",
            remedy="Look at the template: it loops or grows without end on one of these rows.",
        )


def _read(reply: _Reply) -> Reply:
    if reply.error:
        return RenderError(reply.text, mask=reply.mask)
    rendered = Rendered(reply.text, reply.spans)
    if reply.kept < 0:
        return rendered, None
    ids = array("i")
    ids.frombytes(reply.all_ids[: 4 * reply.kept])
    labels = array("i")
    labels.frombytes(reply.labels)
    length = len(reply.all_ids) // 4
    return rendered, Tokens(ids, labels, length, reply.trained, reply.all_ids, reply.ends)


# ---- in the process -----------------------------------------------------------------------------


class _Process:
    """Answers a tokenizer with nothing, and each request with its replies."""

    def __init__(self) -> None:
        self._tokenizer: PlainTokenizer | None = None
        self._frames = msgspec.msgpack.Decoder(_Tokenizer | _Request)
        self._large_numbers = msgspec.json.Decoder(_Tokenizer | _Request)
        self._encode = msgspec.msgpack.Encoder().encode

    def answer(self, frame: bytes) -> bytes:
        # A request in MessagePack begins with the mark of a short array, which is above 0x90.
        frames = self._large_numbers if frame.startswith(b"[") else self._frames
        asked = frames.decode(frame)
        if isinstance(asked, _Tokenizer):
            self._tokenizer = PlainTokenizer.of(
                asked.text, asked.bos_token_id, asked.split_special_tokens
            )
            return b""
        replies = [_rendered(asked.template, row) for row in asked.rows]
        if asked.max_seq_length and self._tokenizer is not None:
            self._tokenise(asked, replies)
        return self._encode(replies)

    def _tokenise(self, asked: _Request, replies: list[_Reply]) -> None:
        whole = [reply for reply in replies if not reply.error]
        rendered = [Rendered(reply.text, reply.spans) for reply in whole]
        found = tokenise(
            self._tokenizer,
            rendered,
            max_seq_length=asked.max_seq_length,
            mask=asked.template.mask != "all",
        )
        for reply, tokens in zip(whole, found, strict=True):
            reply.kept = len(tokens.input_ids)
            reply.trained = tokens.trained
            reply.labels = array("i", tokens.labels).tobytes()
            reply.all_ids, reply.ends = tokens.all_ids, tokens.ends


def _rendered(template: ChatTemplate, row: Row) -> _Reply:
    try:
        rendered = render(template, row)
    except RenderError as error:
        return _Reply(str(error), error=True, mask=error.mask)
    return _Reply(rendered.text, rendered.spans)


if __name__ == "__main__":
    serve(_Process().answer, memory=MEMORY_LIMIT)

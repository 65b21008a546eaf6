"""The HTTP response that is an answer: whole, or streamed by server-sent events.

Everything from the job's place to its last byte happens while the response is sent, so that a
client that goes away at any moment ends its job. An error before the first byte has its status;
after it, it is the stream's last event.
"""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from qtui.stages.inference.engine import Began, Ended, Failed, Job, Piece, Report
from qtui.stages.inference.server import chunks
from qtui.stages.inference.server.answers import Answer, Answers, Broke
from qtui.stages.inference.server.errors import refusal, stopping
from qtui.stages.inference.server.trace import Trace, trace_of

WAITING_SECONDS = 10.0
"""How long a stream is silent while it waits in the queue: proxies cut what says nothing."""

_EVENTS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]


class _ClientGoneError(Exception):
    """Nobody is there to be answered."""


class Answering(Response):
    """Answers `job` while it is sent; `shape` says in which words."""

    def __init__(
        self,
        answers: Answers,
        job: Job,
        shape: chunks.Shape,
        *,
        stream: bool,
        usage: bool,
        return_prompt: bool,
    ) -> None:
        self._answers, self._job, self._shape = answers, job, shape
        self._stream, self._usage, self._return_prompt = stream, usage, return_prompt
        self.background = None
        self.status_code = 200
        self.body = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        trace = trace_of(scope)
        answer = self._answers.ask(self._job)
        trace.answer = answer
        prefix = "chatcmpl-" if self._shape is chunks.CHAT else "cmpl-"
        writer = chunks.Writer(self._shape, prefix + trace.id, self._job.model, usage=self._usage)
        watch = asyncio.create_task(_watch(receive, answer))
        try:
            if self._stream:
                await self._send_events(answer, writer, send, trace)
            else:
                await self._send_whole(answer, writer, send, trace)
        except _ClientGoneError:
            trace.gone = True
        finally:
            watch.cancel()
            if not answer.over:
                answer.cancel()

    async def _send_whole(
        self, answer: Answer, writer: chunks.Writer, send: Send, trace: Trace
    ) -> None:
        texts: list[str] = []
        while True:
            for report in await self._reports(answer, trace):
                if isinstance(report, Piece):
                    texts.append(report.text)
                elif isinstance(report, Ended):
                    text = "".join(texts)
                    trace.output = text if trace.contents else ""
                    body = writer.whole(text, report, self._prompt(trace))
                    headers = [
                        (b"content-type", b"application/json"),
                        (b"content-length", str(len(body)).encode()),
                    ]
                    await send({"type": "http.response.start", "status": 200, "headers": headers})
                    await send({"type": "http.response.body", "body": body, "more_body": False})
                    return

    async def _send_events(
        self, answer: Answer, writer: chunks.Writer, send: Send, trace: Trace
    ) -> None:
        # The first report decides about the status, if it comes soon.
        reports = await self._reports(answer, trace, WAITING_SECONDS)
        await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        opened = False
        try:
            while True:
                events: list[bytes] = [] if reports else [chunks.WAITING]
                for report in reports:
                    if isinstance(report, Began):
                        opened = True
                        events.append(writer.first(self._prompt(trace)))
                    elif isinstance(report, Piece):
                        if report.text:
                            events.append(writer.piece(report.text))
                            if trace.contents:
                                trace.output += report.text
                    elif isinstance(report, Ended):
                        events.append(writer.last(report))
                        await _write(send, b"".join(events), more=False)
                        return
                if events:
                    await _write(send, b"".join(events), more=True)
                reports = await self._reports(answer, trace, None if opened else WAITING_SECONDS)
        except _ClientGoneError:
            raise
        except Exception as error:
            refused_as = refusal(error)
            if refused_as.status == 500:
                traceback.print_exception(error)
            trace.error = refused_as.code
            await _write(send, chunks.failure(refused_as.body), more=False)

    async def _reports(
        self, answer: Answer, trace: Trace, seconds: float | None = None
    ) -> list[Report | Broke]:
        """The next reports. Raises what an error among them stands for."""
        reports = await answer.next(seconds)
        if answer.gone:
            raise _ClientGoneError
        if answer.stopped:
            raise stopping()
        for report in reports:
            if isinstance(report, Began):
                trace.prompt, trace.prompt_tokens = report.prompt, report.prompt_tokens
            elif isinstance(report, Ended):
                if report.reason == "cancelled":
                    raise stopping()
                trace.completion_tokens, trace.finish = report.completion_tokens, report.reason
            elif isinstance(report, Failed | Broke):
                raise report.error
        return reports

    def _prompt(self, trace: Trace) -> str | None:
        return trace.prompt if self._return_prompt else None


async def _watch(receive: Receive, answer: Answer) -> None:
    """Tell `answer` when the client is gone."""
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            if not answer.over:
                answer.client_gone()
            return


async def _write(send: Send, body: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})

"""The engine that passes jobs on to vLLM, for many users at once on a large GPU.

Prompts are made here, by the same code as in the transformers engine, and go to vLLM as tokens:
the chat template is the same, adapters may bring their own, and no token is added twice. Adapters
are checked here too before vLLM opens them. vLLM draws, batches, and switches adapters.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import httpx

from qtui.config.serve import ServeConfig
from qtui.errors import ImpossibleError, InputError, QtuiError
from qtui.stages.inference import loading, prompts
from qtui.stages.inference.adapter_files import Base
from qtui.stages.inference.budget import budget
from qtui.stages.inference.engine import (
    Began,
    Ended,
    Failed,
    GoneError,
    Job,
    Piece,
    Served,
    Sink,
)
from qtui.stages.inference.model_ids import Names
from qtui.stages.inference.prompts import Prompt, Prompts, TurnEnd
from qtui.stages.inference.template_process import TemplateProcess
from qtui.stages.inference.vllm_adapters import VllmAdapters, check, rank
from qtui.stages.inference.vllm_process import Lora, VllmProcess, command, executable
from qtui.stages.inference.vllm_protocol import error_of, events, refused, request, said
from qtui.stages.training import weights
from qtui.stages.training.models import load_tokenizer
from qtui.terminal import clean_line

T = TypeVar("T")

_SHARE = 0.9
"""Share of the GPU that vLLM takes of its own accord."""
_ANSWER_SECONDS = 600.0
"""Longest that loading an adapter may take."""


def start(workspace: Path, config: ServeConfig, say: Callable[[str], None]) -> VllmEngine:
    """Start vLLM as `config` says and wait until it answers.

    Raises:
        InputError: the model, an adapter or the template cannot be used.
        ImpossibleError: vLLM is not installed, cannot do what is asked for, or died.
    """
    program = executable()
    served = config.model
    path = loading.find(served, say, lambda: False, lambda done, total: None)
    base = Base(served.model_name, path, cache(partial(weights.identity, path)))
    tokenizer = load_tokenizer(path, loading.as_trained(served))
    template = prompts.named(config.chat_template, tokenizer)
    if served.attn_implementation is not None:
        say("vllm chooses its attention kernel itself: attn_implementation is not used")
    names = Names(workspace, config, path)
    named = {each.id: check(each.folder, base) for each in names.named()}
    loras = [Lora(name, files.folder, rank(files)) for name, files in named.items()]
    share = _free_share()
    make = partial(_line, program, config, path, loras, share)
    make(Path("/"))  # what vLLM cannot do is said before anything is started
    say(f"starting vllm with {clean_line(served.model_name)}; this takes minutes")
    process = TemplateProcess()
    try:
        child = VllmProcess(make)
        try:
            child.wait_ready(partial(_healthy, child), say)
            made = Prompts(tokenizer, process, template)
            return VllmEngine(config, made, child, VllmAdapters(names, base, named))
        except BaseException:
            child.close()
            raise
    except BaseException:
        process.close()
        raise


def _line(
    program: str, config: ServeConfig, path: Path, loras: list[Lora], share: float | None, at: Path
) -> list[str]:
    return command(program, config, path, loras, at, memory_share=share)


def _free_share() -> float | None:
    """How much of the GPU vLLM may take where others use it; none: its own default."""
    from qtui.system.gpu import read_once

    for card in read_once().gpus:
        total, free = card.memory_total.value, card.memory_free.value
        if card.cuda_index.value is not None and total and free is not None:
            share = free / total - 0.03
            if share < 0.1:
                raise ImpossibleError(
                    f"the GPU has {free / 1e9:.1f} of {total / 1e9:.1f} GB free, too little for "
                    "vllm",
                    remedy="stop what uses it",
                )
            return share if share < _SHARE else None
    return None


def _healthy(child: VllmProcess) -> bool:
    transport = httpx.HTTPTransport(uds=str(child.socket))
    with httpx.Client(transport=transport, base_url="http://vllm", timeout=5) as client:
        try:
            return client.get("/health").status_code == 200
        except httpx.HTTPError:
            return False


class _Ticket:
    """An answer that vLLM is writing."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.cancelled = False
        self.task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        self.cancelled = True
        self._loop.call_soon_threadsafe(self.stop)

    def stop(self) -> None:
        """On the loop: give up the stream, which ends the work in vLLM."""
        if self.task is not None:
            self.task.cancel()


class VllmEngine:
    """Implements `Engine` over a vLLM that runs."""

    def __init__(
        self,
        config: ServeConfig,
        made: Prompts,
        child: VllmProcess,
        adapters: VllmAdapters,
    ) -> None:
        self._config, self._prompts, self._child = config, made, child
        self._adapters, self._base = adapters, adapters.base
        self._closed = False
        self._tickets: set[_Ticket] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm", daemon=True)
        self._thread.start()
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                uds=str(child.socket), limits=httpx.Limits(max_connections=None)
            ),
            base_url="http://vllm",
            headers={"Authorization": f"Bearer {child.key}"},
            timeout=httpx.Timeout(_ANSWER_SECONDS, read=None),
        )
        try:
            self.context = self._max_context()
        except BaseException:
            self._end_loop()
            raise

    # ---- from any thread ----

    def models(self) -> tuple[Served, ...]:
        """The base, then the adapters that were named or asked for."""
        name = self._base.name
        base = Served(name, None, str(self._base.path), self.context)
        return (
            base,
            *(
                Served(each, name, str(files.folder), self.context)
                for each, files in self._adapters.loaded().items()
            ),
        )

    def trouble(self) -> str:
        """Why nothing can be answered any more; an empty text while all is well."""
        return f"vllm has ended: {self._child.last_words()}" if self._child.dead else ""

    def submit(self, job: Job, sink: Sink) -> _Ticket:
        """Take `job`; see `Engine.submit`."""
        self._check_alive()
        name, files = self._adapters.take(job.model, self._load_on_loop)
        template = self._prompts.template(None if files is None else files.template)
        prompt = self._prompts.make(job, template, self.context)
        turn = TurnEnd()
        if not isinstance(job.prompt, str):
            turn = self._prompts.turn_end(template)
        limit = budget(
            len(prompt.ids),
            job.sampling.max_tokens,
            context=self.context,
            longest_prompt=self._config.max_prompt_tokens,
        )
        body = request(name, prompt, job.sampling, turn, limit)
        ticket = _Ticket(self._loop)
        if limit == 0:
            sink(Began(len(prompt.ids), prompt.text))
            sink(Ended("length", len(prompt.ids), 0))
            return ticket
        self._on_loop(self._begin(ticket, prompt, body, sink))
        return ticket

    def close(self) -> None:
        """End all jobs as cancelled, and vLLM."""
        if self._closed:
            return
        self._closed = True
        self._on_loop(self._end_all())
        self._end_loop()
        self._child.close()
        self._prompts.process.close()

    def _check_alive(self) -> None:
        if self._closed or self._child.dead:
            raise GoneError(
                self.trouble() or "the engine has been closed", remedy="start the server again"
            )

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _load_on_loop(self, name: str, folder: Path, again: bool) -> None:
        self._on_loop(self._load_adapter(name, folder, again))

    def _end_loop(self) -> None:
        self._on_loop(self._client.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _max_context(self) -> int:
        answer = self._on_loop(self._client.get("/v1/models"))
        for model in answer.json()["data"]:
            if model["id"] == self._base.name:
                return int(model["max_model_len"])
        raise ImpossibleError("vllm does not list the model that it was started with")

    # ---- on the loop ----

    async def _load_adapter(self, name: str, folder: Path, again: bool) -> None:
        body: dict[str, Any] = {"lora_name": name, "lora_path": str(folder)}
        if again:
            body["load_inplace"] = True
        try:
            answer = await self._client.post("/v1/load_lora_adapter", json=body)
        except httpx.HTTPError as error:
            raise await self._gone(error) from error
        if answer.status_code != 200:
            raise InputError(
                f"vllm cannot load the adapter {clean_line(name)}: {said(answer.content)[0]}",
                remedy="set engine: transformers, if the adapter is sound",
            )

    async def _begin(
        self, ticket: _Ticket, prompt: Prompt, body: dict[str, Any], sink: Sink
    ) -> None:
        """Send the request; returns once vLLM has taken it, and goes on by itself."""
        request = self._client.build_request("POST", "/v1/completions", json=body)
        try:
            answer = await self._client.send(request, stream=True)
            if answer.status_code != 200:
                content = await answer.aread()
                await answer.aclose()
                raise refused(*said(content), status=answer.status_code)
        except httpx.HTTPError as error:
            raise await self._gone(error) from error
        ticket.task = asyncio.create_task(self._pass_on(ticket, answer, prompt, sink))
        self._tickets.add(ticket)
        ticket.task.add_done_callback(lambda task: self._tickets.discard(ticket))

    async def _pass_on(
        self, ticket: _Ticket, answer: httpx.Response, prompt: Prompt, sink: Sink
    ) -> None:
        began, tokens, reason = False, 0, None
        try:
            if ticket.cancelled:
                raise asyncio.CancelledError
            async for chunk in events(answer):
                if "error" in chunk:
                    raise refused(*error_of(chunk), status=400)
                if not began:
                    began = True
                    sink(Began(len(prompt.ids), prompt.text))
                for choice in chunk.get("choices", ()):
                    reason = choice.get("finish_reason") or reason
                    new = len(choice.get("token_ids") or ())
                    tokens += new
                    if new or choice.get("text"):
                        sink(Piece(choice.get("text") or "", tokens=new))
                tokens = (chunk.get("usage") or {}).get("completion_tokens", tokens)
            if reason not in ("stop", "length"):
                raise GoneError("vllm broke off in the middle of an answer")
            sink(Ended(reason, len(prompt.ids), tokens))
        except asyncio.CancelledError:
            sink(Ended("cancelled", len(prompt.ids), tokens))
        except httpx.HTTPError as error:
            sink(Failed(await self._gone(error)))
        except QtuiError as error:
            sink(Failed(error))
        except Exception as error:
            sink(Failed(QtuiError(f"vllm's answer cannot be read: {clean_line(str(error), 200)}")))
        finally:
            # Closing the stream is how vLLM learns that nobody wants the rest.
            await answer.aclose()

    async def _end_all(self) -> None:
        tasks = [ticket.task for ticket in self._tickets if ticket.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _gone(self, error: httpx.HTTPError) -> GoneError:
        for _ in range(20):  # a connection breaks a moment before its process is gone
            if self._child.dead:
                break
            await asyncio.sleep(0.05)
        why = self.trouble() or f"vllm cannot be reached: {clean_line(str(error), 200)}"
        return GoneError(why, remedy="start the server again")

"""The default engine: a transformers model with PEFT adapters, answered in one changing batch.

transformers 5.23 has a continuous batching of its own. It does not serve here: a request in it has
no grammar, no adapter, no seed and no repetition penalty of its own, and settings of sampling are
those of the whole batch. What is used of transformers is the model itself, its masks, its chat
templates; see `batch` for the rows, `decoding` for the thread and `sampling` for the draw.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

import torch

from qtui.config.serve import ServeConfig
from qtui.errors import NotFoundError, QtuiError
from qtui.stages.inference import loading, memory, prompts, solo
from qtui.stages.inference.adapter_files import Base
from qtui.stages.inference.adapters import Adapters, Attached, Held
from qtui.stages.inference.answer import Answer, gone
from qtui.stages.inference.budget import budget
from qtui.stages.inference.decoding import Decoder
from qtui.stages.inference.engine import (
    GoneError,
    Job,
    RefusedError,
    Served,
    Sink,
    unknown_model,
)
from qtui.stages.inference.grammar import Grammars
from qtui.stages.inference.loading import Loaded
from qtui.stages.inference.model_ids import Names
from qtui.stages.inference.prompts import Prompts, TurnEnd
from qtui.stages.inference.sampling import Drawn
from qtui.stages.inference.template_process import TemplateProcess
from qtui.stages.inference.text_stream import TextStream
from qtui.stages.training.weights import identity
from qtui.terminal import clean_line


def load(
    workspace: Path,
    config: ServeConfig,
    *,
    say: Callable[[str], None],
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TransformersEngine:
    """The engine that answers as `config` says.

    Args:
        workspace: where runs lie, whose adapters may be asked for.
        say: gets sentences on what is done.
        stopped: whether it is to be given up.
        progress: bytes done and in all, while a model is downloaded.

    Raises:
        StoppedError: `stopped` said so.
        InputError: model, adapter or template cannot be used.
        ImpossibleError: the machine lacks something, most often memory.
    """
    machine = loading.machine_of(config)
    path = loading.find(config.model, say, stopped, progress)
    memory.require(config, path, machine, workspace, say)
    process = TemplateProcess()
    try:
        loaded = loading.load(path, config, machine)
        engine = TransformersEngine(workspace, config, loaded, process, say)
        try:
            engine.load_named()
        except BaseException:
            engine.close()
            raise
        return engine
    except BaseException:
        process.close()
        raise


class TransformersEngine:
    """Implements `Engine`; made by `load`."""

    def __init__(
        self,
        workspace: Path,
        config: ServeConfig,
        loaded: Loaded,
        process: TemplateProcess,
        say: Callable[[str], None],
    ) -> None:
        self._config = config
        self._loaded = loaded
        tokenizer = loaded.tokenizer
        self._process = process
        self._prompts = Prompts(tokenizer, process, prompts.named(config.chat_template, tokenizer))
        self._grammars = Grammars(tokenizer)
        self._ends = _ends(loaded.model, tokenizer)
        self.context = _context(loaded.model, config.max_context)
        self._names = Names(workspace, config, loaded.path)
        new_rows, together = solo.choose(loaded.model, say)
        attached = Attached(loaded.model)
        self._decoder = Decoder(
            new_rows,
            attached,
            places=config.max_concurrent if together else 1,
            device=loaded.model.device,
        )
        self._adapters = Adapters(
            attached,
            Base(config.model.model_name, loaded.path, cache(partial(identity, loaded.path))),
            self._decoder.between_steps,
            most=max(config.max_adapters, len(config.adapters)),
        )

    def load_named(self) -> None:
        """Load the adapters that were named for the server. Raises InputError."""
        for named in self._names.named():
            self._adapters.give_back(self._adapters.take(named.id, named.folder))

    def models(self) -> tuple[Served, ...]:
        base = self._names.base_id
        folders = {named.id: named.folder for named in self._names.named()}
        folders |= self._adapters.names()
        return (
            Served(base, None, str(self._loaded.path), self.context),
            *(Served(name, base, str(path), self.context) for name, path in folders.items()),
        )

    def submit(self, job: Job, sink: Sink) -> Answer:
        if trouble := self._decoder.trouble:
            raise gone(trouble)
        held = self._adapter(job.model)
        over = _nothing if held is None else partial(self._adapters.give_back, held)
        try:
            answer = self._answer(job, sink, held, over)
            self._decoder.submit(answer)
        except BaseException:
            over()
            raise
        return answer

    def _adapter(self, name: str) -> Held | None:
        """The adapter of that id, in use from now on; none for the base."""
        try:
            named = self._names.find(name)
            return None if named is None else self._adapters.take(named.id, named.folder)
        except (RefusedError, GoneError):
            raise
        except QtuiError as error:
            # A checkpoint that was cleared away may still be held.
            if "@" in name and (held := self._adapters.held_as(name)) is not None:
                return held
            return self._refuse(name, error)

    def _refuse(self, name: str, error: QtuiError) -> NoReturn:
        if isinstance(error, NotFoundError):
            known = [model.id for model in self.models()]
            raise unknown_model(name, known, clean_line(error.message, 300)) from error
        raise RefusedError(
            error.message, code="model_refused", param="model", remedy=error.remedy
        ) from error

    def _answer(self, job: Job, sink: Sink, held: Held | None, over: Callable[[], None]) -> Answer:
        sampling = job.sampling
        template = self._prompts.template(None if held is None else held.files.template)
        prompt = self._prompts.make(job, template, self.context)
        limit = budget(
            len(prompt.ids),
            sampling.max_tokens,
            context=self.context,
            longest_prompt=self._config.max_prompt_tokens,
        )
        turn = TurnEnd() if isinstance(job.prompt, str) else self._prompts.turn_end(template)
        schema = sampling.json_schema
        grammar = None if schema is None else self._grammars.of(schema)
        return Answer(
            sink=sink,
            prompt=prompt,
            drawn=Drawn(sampling, list(prompt.ids), grammar),
            text=TextStream(
                self._loaded.tokenizer,
                stop=(*sampling.stop, *turn.texts),
                skip_special_tokens=sampling.skip_special_tokens,
            ),
            adapter=None if held is None else held.inside,
            ends=frozenset() if sampling.ignore_eos else self._ends.union(turn.tokens),
            budget=limit,
            shows_special=not sampling.skip_special_tokens,
            wake=self._decoder.wake,
            over=over,
        )

    def trouble(self) -> str:
        return self._decoder.trouble

    def close(self) -> None:
        self._decoder.close()
        self._process.close()


def _nothing() -> None:
    """What is to be done when an answer of the base is over."""


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens by which the model ends a text, by all that says so."""
    found: set[int] = set()
    for each in (
        getattr(model.generation_config, "eos_token_id", None),
        getattr(model.config.get_text_config(), "eos_token_id", None),
        tokenizer.eos_token_id,
    ):
        if isinstance(each, int):
            found.add(each)
        elif isinstance(each, list | tuple):
            found.update(int(token) for token in each)
    return frozenset(found)


def _context(model: Any, wanted: int | None) -> int:
    """Longest prompt with its answer, in tokens."""
    known = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    sizes = [size for size in (known, wanted) if size]
    return min(sizes) if sizes else torch.iinfo(torch.int32).max

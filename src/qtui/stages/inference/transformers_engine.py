"""The default engine: a transformers model with PEFT adapters, answered in one changing batch.

transformers 5.23 has a continuous batching of its own. It does not serve here: a request in it has
no grammar, no adapter, no seed and no repetition penalty of its own, and settings of sampling are
those of the whole batch. What is used of transformers is the model itself, its masks, its chat
templates; see `batch` for the rows, `decoding` for the thread and `sampling` for the draw.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from qtui.config.serve import ServeConfig
from qtui.stages.inference import loading, prompts
from qtui.stages.inference.batch import Forward, Rows
from qtui.stages.inference.decoding import Answer, Decoder
from qtui.stages.inference.engine import (
    GoneError,
    Job,
    RefusedError,
    Served,
    Sink,
    too_long,
    unknown_model,
)
from qtui.stages.inference.grammar import Grammars
from qtui.stages.inference.loading import Loaded
from qtui.stages.inference.prompts import Prompts
from qtui.stages.inference.sampling import Drawn
from qtui.stages.inference.template_process import TemplateProcess
from qtui.stages.inference.text_stream import TextStream


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
    path = loading.find(config.model, say, stopped, progress)
    process = TemplateProcess()
    try:
        loaded = loading.load(path, config)
        return TransformersEngine(workspace, config, loaded, process)
    except BaseException:
        process.close()
        raise


class TransformersEngine:
    """Implements `Engine`; made by `load`."""

    def __init__(
        self, workspace: Path, config: ServeConfig, loaded: Loaded, process: TemplateProcess
    ) -> None:
        self._config = config
        self._loaded = loaded
        tokenizer = loaded.tokenizer
        self._process = process
        self._prompts = Prompts(tokenizer, process, prompts.named(config.chat_template, tokenizer))
        self._grammars = Grammars(tokenizer)
        self._ends = _ends(loaded.model, tokenizer)
        self.context = _context(loaded.model, config.max_context)
        self._id = config.model.model_name
        forward = Forward(loaded.model)
        self._decoder = Decoder(
            lambda: Rows(forward),
            _NoAdapters(),
            places=config.max_concurrent,
            device=forward.device,
        )

    def models(self) -> tuple[Served, ...]:
        return (Served(self._id, None, str(self._loaded.path), self.context),)

    def submit(self, job: Job, sink: Sink) -> Answer:
        if trouble := self.trouble():
            raise GoneError(trouble)
        if job.model != self._id:
            raise unknown_model(job.model, [model.id for model in self.models()])
        sampling = job.sampling
        template = self._prompts.template(None)
        prompt = self._prompts.make(job, template)
        budget = self._budget(len(prompt.ids), sampling.max_tokens)
        turn = self._prompts.turn_end(template) if not isinstance(job.prompt, str) else None
        schema = sampling.json_schema
        answer = Answer(
            sink=sink,
            prompt=prompt,
            drawn=Drawn(
                sampling,
                list(prompt.ids),
                None if schema is None else self._grammars.of(schema),
            ),
            text=TextStream(
                self._loaded.tokenizer,
                stop=(*sampling.stop, *(turn.texts if turn else ())),
                skip_special_tokens=sampling.skip_special_tokens,
            ),
            adapter=None,
            ends=frozenset()
            if sampling.ignore_eos
            else self._ends.union(turn.tokens if turn else ()),
            budget=budget,
            shows_special=not sampling.skip_special_tokens,
            wake=self._decoder.wake,
        )
        self._decoder.submit(answer)
        return answer

    def trouble(self) -> str:
        return self._decoder.trouble

    def close(self) -> None:
        self._decoder.close()
        self._process.close()

    def _budget(self, prompt_tokens: int, wanted: int | None) -> int:
        """Tokens that the answer may have."""
        limit = self._config.max_prompt_tokens
        if limit is not None and prompt_tokens > limit:
            raise RefusedError(
                f"the prompt has {prompt_tokens:,} tokens; this server takes {limit:,}",
                code="context_length_exceeded",
                param="messages",
                remedy="shorten the prompt",
            )
        left = self.context - prompt_tokens
        if left < (1 if wanted is None else wanted):
            raise too_long(prompt_tokens, wanted or 0, self.context)
        return left if wanted is None else wanted


class _NoAdapters:
    def compose(self, names: Any) -> None:
        pass

    def go_together(self, names: Any) -> bool:
        return True


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

"""How one answer of a .gguf model is drawn: llama.cpp's samplers, in the order that vLLM has.

Repetition penalty (over the prompt and the answer), temperature, min-p, top-k, top-p, and then a
draw with the answer's own random numbers. llama.cpp's usual order applies the temperature last and
penalises the last 64 tokens of the answer only, so the same settings would mean something else.
JSON is llguidance's work: before each draw, tokens that cannot follow lose their chance.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from qtui.stages.inference.engine import Sampling
from qtui.stages.inference.gguf_model import GgufModel


class Schemas:
    """Makes llguidance's matchers for one model; its vocabulary is worked out at first use."""

    def __init__(self, model: GgufModel) -> None:
        self._tokenizer = model.tokenizer
        self._known: Any = None

    def of(self, schema: Mapping[str, Any]) -> Any:
        """A matcher for JSON of `schema`; an empty schema means any object.

        Raises RefusedError when the schema is none, or asks for what cannot be enforced.
        """
        from llguidance.llamacpp import lltokenizer_from_vocab

        from qtui.stages.inference import json_matcher

        if self._known is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # one for each token
                self._known = lltokenizer_from_vocab(
                    self._tokenizer.vocabulary, eos_token=sorted(self._tokenizer.ends) or None
                )
        return json_matcher.of(self._known, schema)


_ANY_SEED = 0xFFFFFFFF
"""llama.cpp takes this one for «any»."""


class GgufSampler:
    """Draws the tokens of one answer. `matcher` comes from `Schemas`, or is none."""

    def __init__(
        self, model: GgufModel, sampling: Sampling, prompt: Sequence[int], matcher: Any
    ) -> None:
        import llama_cpp

        self._api, self._model, self._matcher = llama_cpp, model, matcher
        self._chain = llama_cpp.llama_sampler_chain_init(
            llama_cpp.llama_sampler_chain_default_params()
        )
        for sampler in self._samplers(sampling):
            llama_cpp.llama_sampler_chain_add(self._chain, sampler)
        if sampling.repetition_penalty != 1.0:
            for token in prompt:
                llama_cpp.llama_sampler_accept(self._chain, token)
        if matcher is not None:
            import llguidance.numpy

            self._mask = llguidance.numpy.allocate_token_bitmask(1, model.vocabulary_size)

    def _samplers(self, sampling: Sampling) -> list[Any]:
        api, found = self._api, []
        if sampling.repetition_penalty != 1.0:
            found.append(
                api.llama_sampler_init_penalties(
                    self._model.vocabulary_size,
                    self._model.room.context,
                    sampling.repetition_penalty,
                    0.0,
                    0.0,
                )
            )
        if sampling.temperature == 0:
            return [*found, api.llama_sampler_init_greedy()]
        found.append(api.llama_sampler_init_temp(sampling.temperature))
        if sampling.min_p > 0:
            found.append(api.llama_sampler_init_min_p(sampling.min_p, 1))
        if sampling.top_k > 0:
            found.append(api.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1:
            found.append(api.llama_sampler_init_top_p(sampling.top_p, 1))
        seed = secrets.randbits(32) if sampling.seed is None else sampling.seed
        found.append(api.llama_sampler_init_dist(seed % _ANY_SEED))
        return found

    def draw(self, index: int) -> int:
        """The next token, from the logits behind entry `index` of the last step.

        Raises RefusedError when llguidance cannot say what may follow.
        """
        if self._matcher is None:
            return self._model.sample(self._chain, index)
        import llguidance.numpy

        from qtui.stages.inference import json_matcher

        llguidance.numpy.fill_next_token_bitmask(self._matcher, self._mask)
        llguidance.numpy.apply_token_bitmask_inplace(self._model.logits(index), self._mask)
        token = self._model.sample(self._chain, index)
        self._matcher.consume_token(token)
        json_matcher.check(self._matcher)
        return token

    @property
    def complete(self) -> bool:
        """Whether the JSON is whole, and nothing may follow it."""
        return self._matcher is not None and bool(self._matcher.is_stopped())

    def close(self) -> None:
        """Give its memory back."""
        if self._chain:
            self._api.llama_sampler_free(self._chain)
            self._chain = None

"""Answers that are JSON of a schema: which tokens may come next, by llguidance.

Promises: an answer that ends by itself is JSON of the schema, whatever the temperature, because
no other token can be drawn; one that is cut off by its length says so. A schema that cannot be
obeyed is refused before anything is computed. One that turns out too intricate on the way (a
pattern may ask for more states than llguidance makes) fails its own answer and no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import llguidance
import llguidance.hf
import numpy as np
import torch

from qtui.stages.inference import json_matcher
from qtui.stages.inference.engine import RefusedError


class Grammars:
    """Makes grammars for one tokenizer; what it has to know of it is worked out at first use."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: llguidance.LLTokenizer | None = None

    def of(self, schema: Mapping[str, Any]) -> Grammar:
        """The grammar of JSON of `schema`; an empty schema means any object.

        Raises:
            RefusedError: the schema is none, or asks for what cannot be enforced.
        """
        matcher = json_matcher.of(self._tokens(), schema)
        return Grammar(matcher, len(self._tokenizer))

    def _tokens(self) -> llguidance.LLTokenizer:
        if self._known is None:
            if getattr(self._tokenizer, "backend_tokenizer", None) is None:
                raise RefusedError(
                    "this model's tokenizer cannot be constrained to JSON: it has no "
                    "tokenizer.json",
                    code="invalid_json_schema",
                    param="response_format",
                    remedy="ask for JSON in the prompt instead",
                )
            self._known = llguidance.hf.from_tokenizer(self._tokenizer)
        return self._known


class Grammar:
    """Where one answer stands in its grammar."""

    def __init__(self, matcher: llguidance.LLMatcher, tokens: int) -> None:
        self._matcher = matcher
        self._tokens = tokens

    def allowed(self, vocabulary: int) -> torch.Tensor:
        """Which tokens may come next, (vocabulary,), booleans on the CPU.

        Never raises: it is asked for all rows of a batch at once. When the grammar has failed,
        what it says is worth nothing, and `check` says so.

        Args:
            vocabulary: how many logits there are; models have more of them than tokens.
        """
        packed = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        bits = np.unpackbits(packed, bitorder="little")
        allowed = np.zeros(vocabulary, dtype=bool)
        known = min(len(bits), vocabulary)
        allowed[:known] = bits[:known]
        return torch.from_numpy(allowed)

    def take(self, token: int) -> None:
        """Go on by a token that was allowed."""
        self._matcher.consume_token(token)
        self.check()

    @property
    def over(self) -> bool:
        """Whether the JSON is complete and nothing may follow it."""
        return bool(self._matcher.is_stopped())

    def check(self) -> None:
        """Raise RefusedError when the grammar has failed: the last token does not follow it."""
        json_matcher.check(self._matcher)

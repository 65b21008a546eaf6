"""JSON schemas as llguidance takes them: one way to read, refuse and watch them, for all engines.

A schema that cannot be obeyed is refused before anything is computed; one that turns out too
intricate on the way (a pattern may ask for more states than llguidance makes) fails its own answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import llguidance

from qtui.stages.inference.engine import RefusedError
from qtui.terminal import clean_line

_ANY_OBJECT = {"type": "object"}
_WHITESPACE = r"( |\n[ ]{0,24})"
"""Between the parts: as a model has learnt to write it, but not blanks for ever."""


def of(known: llguidance.LLTokenizer, schema: Mapping[str, Any]) -> llguidance.LLMatcher:
    """A matcher for JSON of `schema` over the vocabulary `known`; an empty schema means any object.

    Raises RefusedError when the schema is none, or asks for what cannot be enforced.
    """
    try:
        grammar = llguidance.LLMatcher.grammar_from_json_schema(
            json.dumps(dict(schema) or _ANY_OBJECT), {"whitespace_pattern": _WHITESPACE}
        )
        matcher = llguidance.LLMatcher(known, grammar, log_level=0)
        matcher.compute_bitmask()  # whether there is a first token shows only here
        wrong = matcher.get_error()
    except (ValueError, TypeError, RecursionError) as error:
        wrong = str(error)
    if wrong:
        raise RefusedError(
            f"the JSON schema cannot be used: {_reason(wrong)}",
            code="invalid_json_schema",
            param="response_format",
            remedy="see json-schema.org; recursion through $ref works, remote $ref does not",
        )
    return matcher


def check(matcher: llguidance.LLMatcher) -> None:
    """Raise RefusedError when `matcher` has failed: the last token does not follow it."""
    if wrong := matcher.get_error():
        raise RefusedError(
            f"the answer cannot be kept to its JSON schema: {_reason(wrong)}",
            code="invalid_json_schema",
            param="response_format",
            remedy="a simpler schema usually works, above all simpler patterns",
        )


def _reason(wrong: str) -> str:
    """What llguidance says, without the state of its parser that it adds."""
    if wrong.startswith("NoExtensionBias"):  # its word for a state that nothing leads out of
        return "no JSON is of it, as where a $ref leads back to itself alone"
    return clean_line(wrong.partition("<state>")[0].strip(), 300)

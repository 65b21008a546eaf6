"""Why a row is not used, for all modules that recognise shapes, and the checks that they share.

Nothing is invented: a text that is missing, blank or no text makes the row unusable, and the
refusal names the key.
"""

from __future__ import annotations

from typing import Any

import msgspec


class ShapeError(Exception):
    """A row cannot be used: `kind` names the reason in one word, the text says it in full."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class NotWanted(Exception):
    """A sound row that the settings leave out; `kind` and text as in `ShapeError`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def text_of(value: Any, key: str, *, blank: bool = False) -> str:
    """Return `value` if it is a text (and not blank, unless that is allowed).

    Raises ShapeError: null-text, wrong-type or blank-text.
    """
    if isinstance(value, str):
        if not blank and not value.strip():
            raise ShapeError("blank-text", f"{key} is blank")
        return value
    if value is None:
        raise ShapeError("null-text", f"{key} is null")
    raise ShapeError("wrong-type", f"{key} is {article(value)}, not text")


def json_of(text: str, kind: str, what: str) -> Any:
    """Decode JSON that stands as a text inside a row; `what` is what the refusal calls it.

    Raises ShapeError(kind) for all that is no JSON: NaN, lone surrogates and nesting without end
    among it.
    """
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):  # msgspec's and Unicode's errors are ValueErrors
        raise ShapeError(kind, f"{what} is not valid JSON") from None


def keys_of(record: dict[Any, Any]) -> str:
    """The first keys of a record, for a message."""
    return ", ".join(str(key) for key in list(record)[:12]) or "none"


def article(value: Any) -> str:
    """What a value is, in words: `a number`, `null`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")

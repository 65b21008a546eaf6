"""Every error as OpenAI's clients expect it: `{"error": {message, type, param, code}}`.

Whatever goes wrong anywhere in the server becomes a `Refusal` here, so that no answer has another
shape. What qtui says of itself (`QtuiError`) is passed on; of other exceptions only that they
happened: the worker's log has the traceback.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qtui.errors import ImpossibleError, InputError, QtuiError
from qtui.stages.inference.engine import GoneError, RefusedError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}
_FIELD = re.compile("[a-z_]+")
_NOT_SUPPORTED = {
    "extra_forbidden",
    "literal_error",
    "less_than_equal",
    "greater_than_equal",
    "too_long",
    "none_required",
    "string_too_long",
}


@dataclass(frozen=True)
class Refusal:
    """What is answered instead of what was asked for."""

    status: int
    message: str
    code: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The error as JSON."""
        kind = _TYPES.get(self.status, "invalid_request_error")
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return json.dumps({"error": error}).encode()


class ApiError(Exception):
    """Ends a request with a refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def refused(status: int, message: str, code: str, param: str | None = None) -> ApiError:
    """The error to raise for a refusal without headers."""
    return ApiError(Refusal(status, message, code, param))


def stopping() -> ApiError:
    """The error for a request that a stopping server does not answer any more."""
    return refused(503, "the server is stopping", "stopping")


def refusal(error: BaseException) -> Refusal:
    """What `error` is for a client."""
    if isinstance(error, ApiError):
        return error.refusal
    if not isinstance(error, QtuiError):
        message = "something went wrong inside the server; its log (worker.log) says what"
        return Refusal(500, message, "internal_error")
    message = f"{error.message}; {error.remedy}" if error.remedy else error.message
    if isinstance(error, RefusedError):
        return Refusal(error.status, message, error.code, error.param)
    if isinstance(error, GoneError):
        return Refusal(503, message, "engine_gone")
    if isinstance(error, ImpossibleError):
        return Refusal(503, message, "not_possible_here")
    if isinstance(error, InputError):
        return Refusal(400, message, "invalid_value")
    return Refusal(500, message, "engine_error")


def invalid(errors: Sequence[Mapping[str, Any]], unsupported: frozenset[str]) -> Refusal:
    """What pydantic's `errors` of a request's body come to: the first of them.

    `unsupported` are the fields that may be sent with the one value that changes nothing.
    """
    first = errors[0]
    # Where a field may be several things, the error that lies deepest is about what was meant.
    alike = [each for each in errors if each["loc"][:2] == first["loc"][:2]]
    error = max(alike, key=lambda each: len(each["loc"]))
    kind, said = str(error["type"]), str(error["msg"])
    if kind == "json_invalid":
        reason = error.get("ctx", {}).get("error", "")
        message = f"the body is not JSON: {reason} at character {error['loc'][-1]}"
        return Refusal(400, message, "bad_json")
    where = _fields(error["loc"][1:])
    if kind == "too_complex":
        return Refusal(400, said, kind)
    if kind == "extra_forbidden" and where[-1:] != [error["loc"][-1]]:
        where.append(str(error["loc"][-1])[:100])  # it is not written like our fields
    if not where:
        ours = kind not in ("model_attributes_type", "model_type", "dict_type", "missing")
        message = said if ours else "the body is to be a JSON object"
        return Refusal(400, message, "invalid_value")
    param = ".".join(where)
    message = f"{param}: {said}"
    code = kind if kind.startswith("unsupported_") else "invalid_value"
    if kind == "extra_forbidden":
        message, code = f"{param} is not known here", "unsupported_parameter"
    elif kind == "missing":
        message, code = f"{param} is missing", "missing_required_parameter"
    elif where[0] in unsupported and kind in _NOT_SUPPORTED:
        message, code = f"{message}; other values are not supported", "unsupported_parameter"
    return Refusal(400, message, code, param)


def _fields(loc: Sequence[str | int]) -> list[str]:
    """A path of fields and numbers, without pydantic's names for the kinds of a union."""
    found: list[str] = []
    for part in loc:
        name = str(part)
        of_union = not isinstance(part, int) and (not _FIELD.fullmatch(name) or name == "str")
        if not of_union and found[-1:] != [name]:
            found.append(name)
    return found

"""What can go wrong between a client and a model server, and how its answers read as errors.

Servers answer errors in many shapes: OpenAI's, vLLM's and TGI's own, FastAPI's, a proxy's web page.
All of them become one sentence and a way out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from qtui.config.serve import KEY_VARIABLE
from qtui.errors import InputError, QtuiError
from qtui.terminal import clean_line

SHOWN = 600
"""Columns of the longest text of a server that is quoted."""

_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_REFUSED = (400, 404, 405, 409, 413, 414, 422)


class ServerError(QtuiError):
    """What the server answered instead. `code` as in its answer, `status` as in HTTP (0 for an
    error in the middle of an answer)."""

    def __init__(
        self,
        message: str,
        code: str = "",
        status: int = 0,
        remedy: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        self.status = status
        self.param = ""
        self.retry_after = retry_after
        """Seconds after which it may be asked again, where it says so."""


class RefusedAskError(ServerError, InputError):
    """The request itself is refused: another one would be answered."""


class UnreachableError(QtuiError):
    """Nothing answers at the address."""


class CutOffError(QtuiError):
    """The connection broke off before the answer was complete."""


class SilentError(QtuiError):
    """The server is there, but nothing has come from it for too long."""


def refused(
    host: str, status: int, headers: Mapping[str, str], body: bytes, *, keyed: bool = False
) -> ServerError:
    """The error for an answer of `status` 300 and above; `keyed`: a key was sent."""
    found = _refused(host, status, headers, body)
    if keyed and status in (401, 403):
        found.remedy = f"the key that was sent is not the one it wants: look at {KEY_VARIABLE}"
    return found


def _refused(host: str, status: int, headers: Mapping[str, str], body: bytes) -> ServerError:
    if 300 <= status < 400:
        where = clean_line(headers.get("location", "elsewhere"), 200)
        return ServerError(
            f"{host} sends requests on to {where}; that is not followed, nor is the key sent there",
            "redirect",
            status,
            "give the address of the model server itself",
        )
    error = error_in(body)
    if error is None:
        text = _shown_text(body)
        said = f": {text}" if text else ""
        return _kind(status)(
            f"{host} answered {status} and no model server's error{said}",
            "",
            status,
            _way_out(status, "") or "is this the address of a model server (https://HOST/v1)?",
            _seconds(headers),
        )
    return from_error(host, status, error, _seconds(headers))


def from_error(
    host: str, status: int, error: Mapping[str, Any], retry_after: float | None = None
) -> ServerError:
    """The error for an `error` object of a server, in its answer or in mid-stream."""
    message = str(error.get("message") or error.get("type") or "an error without a message")
    code = str(error.get("code") or error.get("type") or "")
    number = status or (int(code) if code.isdecimal() and len(code) == 3 else 0)
    found = _kind(number)(
        f"{host}: {clean_line(message, SHOWN)}",
        clean_line(code, 80),
        status,
        _way_out(number, code),
        retry_after,
    )
    found.param = str(error.get("param") or "")
    return found


def error_in(body: bytes | str) -> Mapping[str, Any] | None:
    """The error object in a JSON text, in whichever shape; None where there is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return error_of(value)


def error_of(value: Any) -> Mapping[str, Any] | None:
    """The error object in a decoded answer, in whichever shape; None where there is none."""
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    if isinstance(error, dict):  # OpenAI
        return error
    if isinstance(error, str):  # TGI
        return {"message": error, "type": value.get("error_type")}
    if value.get("object") == "error":  # vLLM before 0.10
        return value
    if isinstance(value.get("reason"), str):  # /health
        return {"message": value["reason"], "code": value.get("status")}
    detail = value.get("detail")
    if detail is not None and "choices" not in value:  # FastAPI
        return {"message": detail if isinstance(detail, str) else json.dumps(detail)}
    return None


def not_understood(host: str, kind: str, body: bytes) -> ServerError:
    """The error for an answer that says it is well, and is none."""
    text = _shown_text(body)
    return ServerError(
        f"{host} answered with {clean_line(kind, 60) or 'something'} that is no model's answer"
        + (f": {text}" if text else ""),
        "not_understood",
        200,
        "is this the address of a model server (https://HOST/v1)?",
    )


def _kind(status: int) -> type[ServerError]:
    return RefusedAskError if status in _REFUSED else ServerError


def _way_out(status: int, code: str) -> str:
    if status in (401, 403):
        return f"it asks for a key: set {KEY_VARIABLE} to it"
    if status == 429:
        return "it is busy: ask again in a moment"
    if code == "engine_gone":
        return "nothing is answered there any more: stop that server and start another"
    if code == "context_length_exceeded" or status == 413:
        return "shorten the conversation, or ask for fewer tokens"
    if status in (502, 503, 504):
        return "the server is starting, busy or gone: ask again in a moment"
    return ""


def _seconds(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, from a number or a date."""
    said = headers.get("retry-after", "").strip()
    if not said:
        return None
    try:
        return max(0.0, min(float(said), 3600.0))
    except ValueError:
        pass
    import time
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, min(parsedate_to_datetime(said).timestamp() - time.time(), 3600.0))
    except (ValueError, OverflowError):
        return None


def _shown_text(body: bytes) -> str:
    text = _TAGS.sub(" ", body[:16384].decode("utf-8", "replace"))
    return clean_line(" ".join(text.split()), 200)

"""An HTTP client for the hub that waits out what passes: rate limits, server errors, lost lines.

The hub's library retries by itself, but without a word, and gives up on a reset connection in
the middle of a file. Here every wait is announced in one sentence, waits grow and are bounded,
what the server asks for (`Retry-After`, `RateLimit`) is respected, and requests that run in
parallel wait together instead of each on its own.
"""

from __future__ import annotations

import itertools
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
from huggingface_hub import constants
from huggingface_hub.utils import parse_ratelimit_headers

from qtui.errors import QtuiError

LONGEST_ASKED = 600.0
"""Seconds; a server that asks for more is not waited for."""

_TIMEOUT = httpx2.Timeout(
    constants.HF_HUB_DOWNLOAD_TIMEOUT if "HF_HUB_DOWNLOAD_TIMEOUT" in os.environ else 30.0,
    connect=10.0,
)
"""Seconds of silence, from either side, after which a connection counts as broken."""
_NEVER_PASSES = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError)


class HubUnavailableError(QtuiError):
    """The hub could not be asked, or did not answer usefully, for as long as we waited."""


class Patience:
    """How long to wait, and the one pause that all requests share. Safe to use from threads."""

    def __init__(self, waits: Sequence[float], say: Callable[[str], None]) -> None:
        self._waits = tuple(waits)
        self._say = say
        self._mutex = threading.Lock()
        self._until = 0.0

    def hold(self) -> None:
        """Wait until the pause that another request began is over."""
        time.sleep(max(0.0, self._until - time.monotonic()))

    def wait(self, cause: str, attempt: int, asked: float | None = None) -> None:
        """Announce and wait before trying again after failure number `attempt` (from 1).

        `asked` is what the server wants, in seconds.

        Raises:
            HubUnavailableError: that was the last attempt, or the server asks for too long.
        """
        if asked is not None and asked > LONGEST_ASKED:
            raise HubUnavailableError(
                f"{cause} and asks to come back in {asked:.0f} s",
                remedy="start the run again after that; what is downloaded is kept",
            )
        if attempt > len(self._waits):
            raise HubUnavailableError(f"{cause}, {attempt} times in a row", remedy=_way_out(cause))
        seconds = asked if asked is not None else self._waits[attempt - 1]
        with self._mutex:
            now = time.monotonic()
            if now >= self._until:
                self._until = now + seconds
                of = f"({attempt} of {len(self._waits)})"
                self._say(f"{cause}; trying again in {seconds:.0f} s {of}")
        self.hold()


class PatientClient(httpx2.Client):
    """The client that the hub's library is given: each request is tried until patience ends."""

    def __init__(self, patience: Patience, **options: Any) -> None:
        super().__init__(follow_redirects=True, timeout=_TIMEOUT, **options)
        self._patience = patience

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send, and send again after what passes.

        Raises:
            HubUnavailableError: it did not pass.
        """
        if not any((request.extensions.get("timeout") or {}).values()):
            request.extensions = {**request.extensions, "timeout": _TIMEOUT.as_dict()}
        for attempt in itertools.count(1):
            self._patience.hold()
            try:
                response = super().send(request, **options)
            except _NEVER_PASSES:
                raise
            except httpx2.TransportError as error:
                if "CERTIFICATE_VERIFY_FAILED" in str(error):
                    raise _certificate(error, request.url.host) from error
                self._patience.wait(in_words(error, request.url.host), attempt)
                continue
            if not passes(response.status_code):
                return response
            response.close()
            cause = f"hub answered {response.status_code}"
            self._patience.wait(cause, attempt, asked_to_wait(response.headers))
        raise AssertionError("unreachable")


def passes(status: int) -> bool:
    """Whether the same request may succeed later: rate limits, time-outs, trouble at the server."""
    return status in (408, 425, 429) or status >= 500


def in_words(error: httpx2.TransportError, host: str) -> str:
    """What happened on the line, for a reader who knows networks but not this library."""
    reason = str(error)
    if isinstance(error, httpx2.ProxyError):
        return f"the proxy on the way to {host} refused ({reason})"
    if isinstance(error, httpx2.ConnectTimeout):
        return f"no connection to {host} within {_TIMEOUT.connect:.0f} s"
    if isinstance(error, httpx2.TimeoutException):
        return f"{host} went silent"
    if re.search(r"Errno -[235]\b|name resolution|not known|getaddrinfo", reason):
        return f"the name {host} cannot be resolved (no network, or no DNS)"
    if isinstance(error, httpx2.ConnectError):
        return f"no connection to {host} ({reason})"
    return f"the connection to {host} broke ({reason or type(error).__name__})"


def asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: `RateLimit` (used up), else `Retry-After`, else none.

    Both forms of `Retry-After` count: seconds, and a date (RFC 9110, section 10.2.3).
    """
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def _certificate(error: Exception, host: str) -> HubUnavailableError:
    return HubUnavailableError(
        f"the certificate of {host} is not trusted here ({error})",
        remedy="check this machine's clock; behind a proxy with a certificate of its own, set "
        "SSL_CERT_FILE to its CA bundle",
    )


def _way_out(cause: str) -> str:
    if cause.startswith("hub answered 429"):
        return "wait some minutes and resume the run; with a token (HF_TOKEN) the limit is higher"
    if cause.startswith("hub answered"):
        return "the hub has trouble of its own: resume the run later; what is downloaded is kept"
    return (
        "check the network (and HTTPS_PROXY, HF_ENDPOINT); without one, name a local folder in "
        "model.model_name, or a model that is in the hub's cache, and set HF_HUB_OFFLINE=1"
    )

"""Tells an address on the web about alerts: one JSON object by POST, without anybody waiting.

What is sent is `{"run", "kind", "message", "time"}`. The address often holds a secret (its path
is the password of most chat services), so that it is named only by its host, here and in every
sentence. A redirect is not followed: it would carry the alert to a place nobody chose.
"""

from __future__ import annotations

import http.client
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec

from qtui.errors import InputError
from qtui.runs.alerts import Alert
from qtui.terminal import clean_line

TIMEOUT = 5.0
"""Seconds that one attempt may take."""

_ATTEMPTS = 2
_WAITING = 100  # alerts; more at once are a storm, of which the first tell enough


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Webhook:
    """Sends alerts to `url` on a daemon thread.

    `failed` is called on that thread with a sentence when an alert could not be sent twice in a
    row, once until one gets through again. `wait` is the time between two attempts. Raises
    `InputError` for an address that is not http or https.
    """

    def __init__(self, url: str, failed: Callable[[str], object], *, wait: float = 2.0) -> None:
        self.host = host_of(url)
        self._url = url
        self._failed = failed
        self._wait = wait
        self._told = False
        self._closed = threading.Event()
        self._alerts: queue.Queue[Alert | None] = queue.Queue(_WAITING)
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._thread = threading.Thread(target=self._work, name="webhook", daemon=True)
        self._thread.start()

    def send(self, alert: Alert) -> None:
        """Queue `alert`; returns at once. In a storm of alerts the later ones are dropped."""
        try:
            self._alerts.put_nowait(alert)
        except queue.Full:
            self._tell(f"too many alerts at once for the webhook at {self.host}: some are not sent")

    def close(self, seconds: float = 0.0) -> None:
        """Stop, after at most `seconds` in which what waits may still be sent."""
        with suppress(queue.Full):
            self._alerts.put_nowait(None)
        if seconds > 0:
            self._thread.join(seconds)
        self._closed.set()

    def _work(self) -> None:
        while not self._closed.is_set():
            alert = self._alerts.get()
            if alert is None:
                return
            self._deliver(alert)

    def _deliver(self, alert: Alert) -> None:
        why = ""
        for attempt in range(_ATTEMPTS):
            if attempt and self._closed.wait(self._wait):
                return
            why = self._post(alert)
            if not why:
                self._told = False
                return
        self._tell(f"an alert could not be sent to the webhook at {self.host}: {why}")

    def _post(self, alert: Alert) -> str:
        """Send once; the reason when it did not work, which never holds the address."""
        payload = {
            "run": alert.run,
            "kind": alert.kind,
            "message": alert.message,
            "time": alert.time,
        }
        request = urllib.request.Request(  # noqa: S310 (`host_of` lets http and https pass only)
            self._url,
            data=msgspec.json.encode(payload),
            headers={"Content-Type": "application/json", "User-Agent": "qtui"},
            method="POST",
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT):
                return ""
        except urllib.error.HTTPError as error:
            error.close()
            return f"it answers {error.code}"
        except TimeoutError:
            return f"no answer within {TIMEOUT:g} s"
        except urllib.error.URLError as error:
            reason = error.reason
            if isinstance(reason, TimeoutError):
                return f"no answer within {TIMEOUT:g} s"
            text = reason.strerror if isinstance(reason, OSError) else None
            return clean_line(text or "it cannot be reached", 120)
        except (
            OSError,
            ValueError,
            http.client.HTTPException,
        ) as error:  # a connection cut short, a broken answer
            return type(error).__name__

    def _tell(self, sentence: str) -> None:
        if not self._told:
            self._told = True
            self._failed(sentence)


def host_of(url: str) -> str:
    """The host of a webhook's address, the only part of it that may be shown.

    Raises `InputError` for an address that cannot be posted to.
    """
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or any(map(str.isspace, url)):
        raise InputError(
            "the webhook's address is not one of the web",
            remedy="give a whole address in QTUI_WEBHOOK or `webhook` of the config file, such as "
            "https://example.org/hook",
        )
    return clean_line(host, 80)

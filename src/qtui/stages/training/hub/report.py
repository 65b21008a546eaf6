"""How the downloading process speaks: sentences and progress, never a token, never too often."""

from __future__ import annotations

import functools
import os
import re
import threading
import time
from typing import BinaryIO

import msgspec
from huggingface_hub import get_token

from qtui.stages.training.hub.messages import Message, Progressed, Said
from qtui.terminal import clean_line

_EVERY = 0.2
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}|(?i:bearer)\s+\S+")


class Report:
    """Writes messages to the worker. Safe to use from threads."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._mutex = threading.Lock()
        self._done = 0
        self._total = 0
        self._sent_at = 0.0

    def send(self, message: Message) -> None:
        """Write one message; a worker that is gone is noticed elsewhere."""
        with self._mutex:
            self._out.write(msgspec.json.encode(message) + b"\n")
            self._out.flush()

    def say(self, sentence: str) -> None:
        """A sentence for the log, made safe to show."""
        self.send(Said(clean_line(without_token(sentence), 500)))

    def expect(self, done: int, total: int) -> None:
        """Begin to count: `done` bytes of `total` are here."""
        self._done, self._total = done, total
        self._progress(now=True)

    def count(self, more: int) -> None:
        """`more` bytes have arrived (negative: were thrown away)."""
        with self._mutex:
            self._done += more
        self._progress(now=False)

    def finish(self) -> None:
        """All is here."""
        self._done = self._total
        self._progress(now=True)

    def _progress(self, *, now: bool) -> None:
        if self._total and (now or time.monotonic() - self._sent_at >= _EVERY):
            self._sent_at = time.monotonic()
            self.send(Progressed(self._done, self._total))


def without_token(text: str) -> str:
    """`text` without the hub token of this machine or anything that looks like one."""
    for secret in _secrets():
        text = text.replace(secret, "***")
    return _TOKEN.sub("***", text)


@functools.cache
def _secrets() -> tuple[str, ...]:
    found = {os.environ.get(name, "").strip() for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")}
    try:
        found.add(get_token() or "")
    except Exception:  # a token service that fails has no token to hide; the download says why
        found.add("")
    return tuple(found - {""})

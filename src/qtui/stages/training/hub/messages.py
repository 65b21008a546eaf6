"""What the downloading process and the worker say to each other: one JSON object a line."""

from __future__ import annotations

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Worker to download, the first line: which model. `waits` are seconds between attempts."""

    model: str
    revision: str | None
    trust_remote_code: bool
    waits: tuple[float, ...]


class Said(msgspec.Struct, frozen=True, tag="said"):
    """A sentence for the log."""

    sentence: str


class Progressed(msgspec.Struct, frozen=True, tag="progressed"):
    """Bytes that are here, of all that are needed; at most five times a second."""

    done: int
    total: int


class Fetched(msgspec.Struct, frozen=True, tag="fetched"):
    """The model is whole and lies in `path`."""

    path: str


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It ended with an error of the class `error` in `qtui.errors`."""

    error: str
    message: str
    remedy: str


Message = Said | Progressed | Fetched | Refused

decode = msgspec.json.Decoder(Message).decode

"""Who may come in: names, web pages and keys, by what a request's head says.

A server on loopback is open to every program of the machine, and a browser is one that runs
strangers' code. So the Host has to be a name of this server (a page whose own name was pointed at
127.0.0.1 is refused), a page's Origin has to be allowed by name, and a body has to be declared as
JSON, which a page cannot do across origins without asking first.

On other addresses there is always a key, which a page does not have: there any Host is right,
since proxies and tunnels call a server as they like, unless `allowed_hosts` names some. On a Unix
socket no page can call, and Host is not looked at.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from qtui.runs.serving import is_loopback
from qtui.stages.inference.server.errors import Refusal

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
OPEN_TO_ALL = "/health"
"""The one path that never asks for the key."""


@dataclass(frozen=True)
class Doors:
    """`hosts`: names it may be called by; none: any. `origins`: pages that may call."""

    hosts: frozenset[str] | None = _LOOPBACK
    origins: frozenset[str] = frozenset()
    key: str | None = None

    def stranger(self, headers: dict[bytes, bytes]) -> Refusal | None:
        """Why a request with these headers (names in lower case) is none of ours."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self.hosts is not None and host not in self.hosts and _name(host) not in self.hosts:
            message = (
                f"this server is not called {host[:100]!r}; "
                "if it is, start it with --allow-host and that name"
            )
            return Refusal(421, message, "wrong_host")
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1") not in self.origins:
            message = (
                f"web pages of {origin.decode('latin-1')[:100]!r} may not call this server; "
                "if they may, start it with --allow-origin and that address"
            )
            return Refusal(403, message, "origin_not_allowed")
        return None

    def key_missing(self, headers: dict[bytes, bytes], path: str) -> Refusal | None:
        """Why a request does not come in, if it is for lack of the key."""
        if self.key is None or path == OPEN_TO_ALL:
            return None
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self.key.encode()):
            return None
        message = "this server asks for a key: send it as Authorization: Bearer KEY"
        asks = {"www-authenticate": "Bearer"}
        return Refusal(401, message, "invalid_api_key", headers=asks)

    def cors(self, headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        """Headers by which a browser lets an allowed page read the answer."""
        origin = headers.get(b"origin")
        if origin is None or origin.decode("latin-1") not in self.origins:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", b"x-request-id, retry-after"),
            (b"vary", b"Origin"),
        ]

    def preflight(self, headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]] | None:
        """The answer to a browser's question beforehand; none: it is no such question.

        It comes without the key, which browsers do not send with it.
        """
        if b"origin" not in headers or b"access-control-request-method" not in headers:
            return None
        answer = [
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-max-age", b"600"),
        ]
        if wanted := headers.get(b"access-control-request-headers"):
            answer.append((b"access-control-allow-headers", wanted))
        if headers.get(b"access-control-request-private-network") == b"true":
            answer.append((b"access-control-allow-private-network", b"true"))
        return answer


def doors(
    host: str, *, unix: bool, key: str | None, hosts: Sequence[str], origins: Sequence[str]
) -> Doors:
    """The doors of a server that listens on `host`, or on a Unix socket."""
    allowed = frozenset(origin.rstrip("/") for origin in origins)
    named = frozenset(name.lower() for name in hosts)
    if unix or (not is_loopback(host) and not named):
        return Doors(None, allowed, key)
    own = f"[{host}]" if ":" in host else host
    return Doors(_LOOPBACK | named | {own.lower()}, allowed, key)


def _name(host: str) -> str:
    """A Host header without its port; tunnels change that, so any port is right."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host

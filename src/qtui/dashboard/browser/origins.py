"""By which names the dashboard may be addressed, and pages of which origin may connect to it.

A browser sends cookies along whoever made the request. Another site's page could open the websocket
(it is not bound by the same-origin rule): its origin is refused. Another site's name could be made
to lead here (DNS rebinding), and its pages would then be of the same origin: names that were not
told are refused, while numeric addresses, which nobody can make lead elsewhere, are not.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from qtui.errors import InputError
from qtui.terminal import clean_line

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Origins:
    """`public` is the origin by which it is reached through a proxy, or empty; `host` is what it
    listens on, a name or a numeric address."""

    host: str
    public: str = ""

    @property
    def local(self) -> bool:
        """Whether it listens where only this machine reaches it."""
        return is_loopback(self.host)

    @property
    def secure(self) -> bool:
        """Whether it is reached from elsewhere by https."""
        return self.public.startswith("https://")

    def of_request(self, host: str) -> str | None:
        """The origin of a page that was asked for under this Host header; None: not one of ours.

        Any port of loopback is: `ssh -L` puts it on another one.
        """
        parts = _parts("http", host)
        if parts is None:
            return None
        if self.public and self._is_public(host):
            return self.public
        name, _ = parts
        ours = is_loopback(name)
        if not self.local and not self.secure:
            ours = ours or name == self.host.lower() or _numeric(name) is not None
        return f"http://{host.lower()}" if ours else None

    def may_connect(self, origin: str, host: str) -> bool:
        """Whether a page of `origin` is one of ours, asked for under this Host header.

        A proxy may pass on another Host than the one that the browser knows.
        """
        own = self.of_request(host)
        return own is not None and origin.lower() in filter(None, (own, self.public))

    def _is_public(self, host: str) -> bool:
        scheme = urlsplit(self.public).scheme
        return _parts(scheme, host) == _parts(scheme, urlsplit(self.public).netloc)


def public_origin(url: str) -> str:
    """The origin of `url`, in lower case. Raises InputError for anything but an origin."""
    remedy = "give the address that the browser shows, such as https://pod-8080.proxy.example"
    shown = clean_line(url, 80)
    try:
        parts = urlsplit(url)
        valid = parts.scheme in _PORTS and _parts(parts.scheme, parts.netloc) is not None
    except ValueError:
        valid = False
    if not valid:
        raise InputError(f"--public-url {shown} is not an http or https address", remedy=remedy)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise InputError(
            f"--public-url {shown} has a path, and the dashboard needs an address to itself",
            remedy=remedy,
        )
    netloc, default = parts.netloc.lower(), f":{_PORTS[parts.scheme]}"
    return f"{parts.scheme}://{netloc.removesuffix(default)}"


def is_loopback(name: str) -> bool:
    """Whether `name`, a host name or a numeric address, is this machine for itself alone."""
    number = _numeric(name)
    return name.lower() == "localhost" if number is None else number.is_loopback


def in_url(host: str) -> str:
    """`host` as it stands in a URL: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def _numeric(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _parts(scheme: str, netloc: str) -> tuple[str, int] | None:
    """Name and port of `netloc`; None when it is no host and port, or has more in it."""
    try:
        parts = urlsplit(f"//{netloc}")
        port = parts.port
    except ValueError:
        return None
    plain = parts.netloc == netloc and "@" not in netloc and netloc.isascii()
    if not plain or not parts.hostname or any(map(str.isspace, netloc)):
        return None
    return parts.hostname, _PORTS[scheme] if port is None else port

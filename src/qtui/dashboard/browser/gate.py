"""Who may see the dashboard: one-time tokens, and the cookies that they are exchanged for.

The address of a dashboard is copied, shown in a terminal's history and kept in a browser's, so what
it holds must be of no use a second time. Everything is in memory: the end of the program is the end
of every cookie.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable

_BYTES = 32  # of randomness: nobody guesses, so attempts need not be counted


class Gate:
    """`cookie_name` is this program's own: cookies do not tell ports of one host apart."""

    def __init__(self) -> None:
        self.cookie_name = f"qtui-web-{secrets.token_hex(4)}"
        self._token = ""
        self._cookies: list[str] = []

    def new_token(self) -> str:
        """A token for one browser; one that was made before and not used is void."""
        self._token = secrets.token_urlsafe(_BYTES)
        return self._token

    def exchange(self, token: str) -> str | None:
        """The value of a new cookie for the token that was made last; None for any other text."""
        if not self._token or not _same(token, self._token):
            return None
        self._token = ""
        self._cookies.append(secrets.token_urlsafe(_BYTES))
        return self._cookies[-1]

    def knows(self, cookie: str) -> bool:
        """Whether `cookie` is the value of one that was given out."""
        return _any(_same(cookie, known) for known in self._cookies)


def _same(left: str, right: str) -> bool:
    """Takes as long for texts that begin alike as for others."""
    return hmac.compare_digest(left.encode("utf-8", "replace"), right.encode("utf-8", "replace"))


def _any(found: Iterable[bool]) -> bool:
    return sum(found) > 0  # all are looked at: time does not tell which one it was

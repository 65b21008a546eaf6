"""`qtui web`: the dashboard in a browser, by an address that works once.

Whoever starts it is at the terminal, and lets in one browser after the other: Enter makes a new
address. Where nobody is at a terminal, the first address is the only one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from qtui.cli.output import Output, Styled
from qtui.dashboard.browser.gate import Gate
from qtui.dashboard.browser.origins import Origins, in_url, public_origin
from qtui.errors import EXIT_DONE, ImpossibleError, InputError

if TYPE_CHECKING:
    from argparse import Namespace

    from qtui.dashboard.browser.server import BrowserServer

DASHBOARD: tuple[str, ...] = (sys.executable, "-m", "qtui")
"""The program behind each tab; `--workspace` and its folder are appended."""

_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104, compared with
_AGAIN = 0.5  # seconds until the terminal is looked at again after it was somebody else's


def web(arguments: Namespace, out: Output) -> int:
    """`web`: serve until Ctrl-C, which is the ordinary end."""
    if arguments.sessions < 1:
        raise InputError(f"--sessions {arguments.sessions} lets nobody in", remedy="give 1 or more")
    public = public_origin(arguments.public_url) if arguments.public_url else ""
    origins = Origins(arguments.host, public)
    gate = Gate()
    program = (*DASHBOARD, "--workspace", str(arguments.workspace))
    server_class, run = _needed()

    async def serve() -> None:
        server = server_class(program, gate, origins, sessions=arguments.sessions, say=out.note)
        await run(server, arguments.host, arguments.port, ready)

    def ready(port: int) -> None:
        base = public or f"http://{in_url(_reached_by(arguments.host))}:{port}"
        _say_address(gate, base, out)
        for line in _warnings(origins):
            out.note(Styled("warning  ", "yellow"), line)
        if not out.json:
            out.note(_ways(lambda: _say_address(gate, base, out)))

    asyncio.run(serve())
    return EXIT_DONE


def _needed() -> tuple[type[BrowserServer], Callable[..., Awaitable[None]]]:
    try:
        from qtui.dashboard.browser.running import run
        from qtui.dashboard.browser.server import BrowserServer
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("qtui"):
            raise
        raise ImpossibleError(
            f"qtui web needs textual-serve, of which {error.name} is missing here",
            remedy="bash scripts/setup.sh in the checkout, or pip install '.[web]', adds it",
        ) from error
    return BrowserServer, run


def _reached_by(host: str) -> str:
    """A name by which a browser on this machine reaches what listens on `host`."""
    return "127.0.0.1" if host in _EVERYWHERE else host


def _say_address(gate: Gate, base: str, out: Output) -> None:
    address = f"{base}/?token={gate.new_token()}"
    if out.json:
        out.document({"address": address, "base": base, "pid": os.getpid()})
    else:
        out.line(address)


def _warnings(origins: Origins) -> list[str]:
    if origins.local or origins.secure:
        return []
    return [
        "Others on the way can read this: it is plain http on an address that is reached from "
        "elsewhere. ssh -L to loopback, or a proxy with https and --public-url, keeps it private."
    ]


def _ways(new_address: Callable[[], None]) -> str:
    """Begin to heed Enter, where somebody can press it; what to tell of the keys."""
    rest = "Ctrl-C ends it; runs go on."
    if not (sys.stdin and sys.stdin.isatty()):
        return f"The address works once. {rest}"
    _heed_enter(asyncio.get_running_loop(), sys.stdin.fileno(), new_address)
    return f"The address works once; Enter makes another. {rest}"


def _heed_enter(
    loop: asyncio.AbstractEventLoop, terminal: int, new_address: Callable[[], None]
) -> None:
    def typed() -> None:
        loop.remove_reader(terminal)
        with suppress(OSError):  # the terminal is gone
            # In the background it is the shell's, and reading it would stop this process.
            ours = os.tcgetpgrp(terminal) == os.getpgrp()
            if ours and not os.read(terminal, 4096):
                return  # Ctrl-D: nothing more will be typed
            loop.call_later(0 if ours else _AGAIN, loop.add_reader, terminal, typed)
            if ours:
                new_address()

    loop.add_reader(terminal, typed)

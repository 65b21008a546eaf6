"""Opens the port of `qtui web`, and closes everything again when a signal says so."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
from collections.abc import Callable

from aiohttp import web

from qtui.dashboard.browser.server import BrowserServer
from qtui.errors import InputError
from qtui.terminal import clean_line

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HANDLERS_MAY_TAKE = 5.0  # seconds, once every dashboard has ended
_LOGS = ("aiohttp", "textual-serve", "asyncio")


async def run(server: BrowserServer, host: str, port: int, ready: Callable[[int], object]) -> None:
    """Serve on `host` and `port` (0: a free one) until SIGINT, SIGTERM or SIGHUP.

    `ready` is called with the port once it is open. Raises InputError when it cannot be opened.
    Nothing is logged: a line of a request, or of an error about one, could have a token in it.
    """
    for name in _LOGS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            loop.add_signal_handler(number, told.set)
    runner = web.AppRunner(
        await server.application(),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=_HANDLERS_MAY_TAKE,
    )
    await runner.setup()
    try:
        await _open(runner, host, port)
        ready(runner.addresses[0][1])
        await told.wait()
    finally:
        await server.end()
        await runner.cleanup()


async def _open(runner: web.AppRunner, host: str, port: int) -> None:
    where = f"{clean_line(host, 60)} port {port}"
    other = "--host takes an address of this machine; 127.0.0.1 is the default"
    try:
        await web.TCPSite(runner, host, port).start()
    except UnicodeError as error:
        raise InputError(f"cannot listen on {where}: no such name can be", remedy=other) from error
    except OverflowError as error:
        raise InputError(f"--port {port} is no port", remedy="ports are 0 to 65535") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"{where} is taken", remedy="--port 0 takes a free one, --port N another"
            ) from error
        # asyncio puts the address, and its own words, before what the system says.
        known = error.errno is not None and error.errno > 0
        why = os.strerror(error.errno) if known and error.errno else error.strerror
        raise InputError(f"cannot listen on {where}: {why}", remedy=other) from error

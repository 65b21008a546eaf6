"""How a command that talks ends when it is told to: in order, whichever signal tells it.

Ctrl-C, SIGTERM and SIGHUP come to the same: what is under way is called off, whoever waits for it
cleans up, and no server is left behind. A signal that whoever started the command has switched off
(`nohup`, a shell's background) stays off.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def interruptible(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, ended in order by Ctrl-C, SIGTERM and SIGHUP: what is under way is cancelled.

    An exception that a signal's handler raises inside the loop may strike anywhere in it, between
    any two lines of a library, and leave a task behind that never ends.

    Raises KeyboardInterrupt once it has ended because of a signal.
    """
    told = False

    async def cancellable() -> T:
        nonlocal told
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def tell() -> None:
            nonlocal told
            told = True
            task.cancel()

        for number in _heeded():
            loop.add_signal_handler(number, tell)
        try:
            return await main
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    before = {number: signal.getsignal(number) for number in _heeded()}
    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        if told:
            raise KeyboardInterrupt from None
        raise


def _heeded() -> list[signal.Signals]:
    """The signals that end a command; not those that whoever started it has switched off."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def all_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does, so that no server is left behind."""
    before = {number: signal.getsignal(number) for number in _heeded()}
    for number in before:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

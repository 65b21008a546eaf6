"""Signals end what is awaited in order, as often as they come and whenever they strike."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from qtui.cli.interruption import all_as_ctrl_c, interruptible

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_what_is_awaited_cleans_up_and_then_it_is_ctrl_c(number: signal.Signals) -> None:
    done: list[str] = []

    async def beside() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # cleaning up may wait
            done.append("beside")

    async def main() -> None:
        other = asyncio.create_task(beside())
        await asyncio.sleep(0)
        os.kill(os.getpid(), number)
        try:
            await other
        finally:
            await asyncio.sleep(0)
            done.append("main")

    with all_as_ctrl_c():
        handlers = [signal.getsignal(each) for each in NUMBERS]
        with pytest.raises(KeyboardInterrupt):
            interruptible(main())
        assert sorted(done) == ["beside", "main"]
        assert [signal.getsignal(each) for each in NUMBERS] == handlers
        with pytest.raises(KeyboardInterrupt):  # while it then waits for the server to stop
            os.kill(os.getpid(), number)


def test_what_ends_by_itself_returns_its_value_and_its_errors() -> None:
    async def three() -> int:
        return 3

    async def wrong() -> int:
        raise ValueError("wrong")

    assert interruptible(three()) == 3
    with pytest.raises(ValueError, match="wrong"):
        interruptible(wrong())


def test_what_was_called_off_by_nobody_outside_is_no_ctrl_c() -> None:
    async def gives_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        interruptible(gives_up())


def test_a_signal_that_is_switched_off_stays_off() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def main() -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        return "went on"

    with all_as_ctrl_c():
        assert interruptible(main()) == "went on"
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

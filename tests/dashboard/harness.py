"""Drives the real dashboard in a test, on a machine and at a time that are always the same.

    async with drive(workspace, (80, 24)) as pilot:
        await until(pilot, lambda: "quiet-otter" in screen_text(pilot.app))
        await pilot.press("enter")
        await shows(pilot, "monitor-live-80x24")

The test itself is a plain function: `asyncio.run(scenario())`, or the decorator `@on_screen`.
Snapshots are text files in `snapshots/`; `QTUI_UPDATE_SNAPSHOTS=1` writes them anew.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from textual.app import App
from textual.pilot import Pilot

from qtui.app import QtuiApp
from qtui.system import disk, host
from qtui.system.cgroup import Limits
from qtui.system.gpu import GpuMonitor
from qtui.system.gpu_readings import Snapshot
from tests.dashboard.machines import GIB, NO_GPU
from tests.dashboard.run_folders import NOW

SNAPSHOTS = Path(__file__).with_name("snapshots")
UPDATE = os.environ.get("QTUI_UPDATE_SNAPSHOTS") == "1"
SECONDS = 30.0
"""How long a test waits at most; a test that waits so long has failed."""


class Machine:
    """What the dashboard is told of the machine; a test may change it while it runs."""

    def __init__(self, gpus: Snapshot) -> None:
        self.now = NOW
        self.gpus = gpus
        self.memory_free = 40 * GIB
        self.disk_free: int | None = 212 * GIB
        self.disk_why = ""

    def _disk(self, path: Path) -> disk.Disk:
        if self.disk_free is None:
            return disk.Disk(path=str(path), why=self.disk_why)
        return disk.Disk(path=str(path), total=500 * GIB, free=self.disk_free)

    def _memory(self) -> SimpleNamespace:
        return SimpleNamespace(total=64 * GIB, available=self.memory_free)


@asynccontextmanager
async def drive(
    workspace: Path,
    size: tuple[int, int] = (80, 24),
    *,
    gpus: Snapshot = NO_GPU,
    config: str = "",
    environment: dict[str, str] | None = None,
    machine: Machine | None = None,
) -> AsyncIterator[Pilot[None]]:
    """The dashboard over `workspace` in a terminal of `size` (columns, rows).

    It is always `NOW`, UTC; the machine has the GPUs, memory and disk of `machine` (or `gpus` and
    round numbers). `config` is the text of the user's config file. The environment has nothing of
    the caller's own settings.
    """
    told = machine or Machine(gpus)
    settings = workspace / ".settings"
    variables = {
        "TZ": "UTC",
        "XDG_CONFIG_HOME": str(settings),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LC_ALL": "C.UTF-8",
        **(environment or {}),
    }
    if config:
        (settings / "qtui").mkdir(parents=True, exist_ok=True)
        (settings / "qtui" / "config.toml").write_text(config)
    with ExitStack() as patches:
        patches.enter_context(patch.dict(os.environ, variables))
        for name in {"NO_COLOR", "TMUX", "STY", "SSH_CONNECTION", "SSH_TTY"} - variables.keys():
            os.environ.pop(name, None)
        time.tzset()
        patches.callback(time.tzset)
        for change in (
            patch("time.time", lambda: told.now),
            patch.object(GpuMonitor, "start", lambda self: self),
            patch.object(GpuMonitor, "close", lambda self: None),
            patch.object(GpuMonitor, "snapshot", lambda self: told.gpus),
            patch.object(disk, "_read", told._disk),
            patch.object(host, "limits", Limits),
            patch("psutil.virtual_memory", told._memory),
        ):
            patches.enter_context(change)
        app = QtuiApp(workspace)
        async with app.run_test(size=size, notifications=True) as pilot:
            yield pilot


def on_screen(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Makes a coroutine function a test that pytest runs by itself."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*arguments, **named), 240))

    return run


async def until(
    pilot: Pilot[Any], condition: Callable[[], object], seconds: float = SECONDS
) -> None:
    """Wait for `condition`; fail with what the screen shows when it does not come true."""
    deadline = time.monotonic() + seconds
    while True:
        await pilot.pause()
        if condition():
            return
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain; the screen shows\n" + screen_text(pilot.app))
        await asyncio.sleep(0.01)


async def seen(pilot: Pilot[Any], text: str, seconds: float = SECONDS) -> None:
    """Wait until the screen shows `text` within one row."""
    await until(pilot, lambda: text in screen_text(pilot.app), seconds)


def screen_text(app: App[Any]) -> str:
    """The rows of the screen as they are shown, without the blanks at their ends."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


def described(app: App[Any]) -> str:
    """The screen's rows, then which widget has the focus and which parts are shown reversed."""
    lines = [screen_text(app), "-" * 20]
    focused = app.focused
    if focused is not None:
        name = f"#{focused.id}" if focused.id else ""
        lines.append(f"focus {type(focused).__name__}{name}")
    for number, strip in enumerate(app.screen._compositor.render_strips(), 1):
        marked = "".join(
            segment.text if segment.style and segment.style.reverse else "\0" for segment in strip
        )
        parts = [part.strip() for part in marked.split("\0") if part.strip()]
        if parts:
            lines.append(f"reversed {number}: " + " | ".join(parts))
    return "\n".join(lines) + "\n"


def snapshot(app: App[Any], name: str) -> None:
    """Hold what is shown now against `snapshots/NAME.txt`. See `shows`, which waits for it."""
    path = SNAPSHOTS / f"{name}.txt"
    now = described(app)
    if UPDATE:
        SNAPSHOTS.mkdir(exist_ok=True)
        path.write_text(now, encoding="utf-8")
    assert path.exists(), f"no snapshot {name}; QTUI_UPDATE_SNAPSHOTS=1 makes it. Now:\n{now}"
    assert now == path.read_text(encoding="utf-8"), f"the screen is not as in {path.name}"


async def shows(pilot: Pilot[Any], name: str, seconds: float = SECONDS) -> None:
    """Wait until the screen is as in `snapshots/NAME.txt`; what comes from threads may be late."""
    path = SNAPSHOTS / f"{name}.txt"
    if UPDATE or not path.exists():
        await settled(pilot)
    else:
        wanted = path.read_text(encoding="utf-8")
        deadline = time.monotonic() + seconds
        while described(pilot.app) != wanted and time.monotonic() < deadline:
            await pilot.pause()
            await asyncio.sleep(0.01)
    snapshot(pilot.app, name)


async def settled(pilot: Pilot[Any]) -> None:
    """To take a picture: wait until the screen has not changed for a second. Not for a check."""
    before, since = "", time.monotonic()
    while time.monotonic() - since < 1.0:
        await pilot.pause(0.02)
        now = described(pilot.app)
        if now != before:
            before, since = now, time.monotonic()

"""Opens the dashboard in this terminal or browser tab, and says how it ended.

A crash never prints what the program's variables held (there may be a key among them): the
traceback without values goes to a file, and the error names it. Threads that hang (a disk, a
driver) do not keep the process.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from textual.driver import Driver

from qtui.app import QtuiApp
from qtui.dashboard.driver import TtyDriver
from qtui.dashboard.leaving import end_by_force
from qtui.errors import EXIT_DONE, QtuiError
from qtui.terminal import clean, clean_line

_THREADS_MAY_TAKE = 2.0  # seconds, once the terminal is given back


class CrashError(QtuiError):
    """The dashboard met an error that it should not have met."""


def open_dashboard(
    workspace: Path,
    tab: tuple[int, int] | None = None,
    begin: Callable[[QtuiApp], object] | None = None,
) -> int:
    """Show the dashboard until the user leaves it; returns the exit code.

    `begin` is called once it runs, to open a screen other than Home.
    `tab`: not in a terminal but in a browser tab of so many columns and rows, which `qtui web`
    connects to standard input and output.

    0 when the user left, 128 + the signal's number when one ended it (129 also when the terminal
    went away). Raises `CrashError` after a crash.
    """
    app = QtuiApp(workspace, TtyDriver if tab is None else _browser_driver(), begin)
    threading.excepthook = lambda failed: _thread_failed(app, failed)
    loop = asyncio.new_event_loop()
    try:
        app.run(mouse=app.user.mouse, size=tab, loop=loop)
    except Exception as error:
        crash: BaseException | None = error
    else:
        crash = app.crash
    loop.close()
    code = 1 if crash else app.return_code or EXIT_DONE
    end_by_force(_THREADS_MAY_TAKE, code)
    if crash is not None:
        written = write_traceback(crash)
        raise CrashError(
            f"the dashboard crashed: {type(crash).__name__}: {clean_line(str(crash), 300)}",
            remedy="your runs go on by themselves; please report what is in " + written,
        )
    return code


def _browser_driver() -> type[Driver]:
    from qtui.dashboard.browser.driver import BrowserDriver

    return BrowserDriver


def _thread_failed(app: QtuiApp, failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is None or failed.thread is None:
        return
    written = write_traceback(failed.exc_value)
    app.thread_failed(failed.thread.name, failed.exc_value, written)


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where qtui keeps what is neither setting nor run, by the XDG rules."""
    above = environment.get("XDG_STATE_HOME", "")
    return (Path(above) if Path(above).is_absolute() else Path.home() / ".local/state") / "qtui"


def write_traceback(error: BaseException) -> str:
    """Write where `error` happened into a new file; its path, or why there is none."""
    text = clean("".join(traceback.format_exception(error)))
    text = f"qtui on Python {sys.version.split()[0]}, {time.strftime('%Y-%m-%d %H:%M:%S')}\n{text}"
    name = time.strftime("crash-%Y%m%d-%H%M%S-")
    for folder in (state_folder(), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number, path = tempfile.mkstemp(".txt", name, folder, text=True)
            with open(number, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            continue
        return clean_line(path)
    return "the traceback (which could not be written to any file)"

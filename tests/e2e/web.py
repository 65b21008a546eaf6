"""`qtui web` as a program, and Chromium to look at it.

`with Web(workspace) as web, browser() as chromium:` then `Page(chromium, web.address())`; a page's
`text` is what its terminal shows, cell by cell, as a person would see it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psutil
from playwright.sync_api import Browser, BrowserContext, Error, sync_playwright
from playwright.sync_api import Page as Tab

from tests.e2e.terminal import environment
from tests.tools import need

SECONDS = 60.0

# textual-serve's script keeps its terminal to itself: it is caught where a part of it is assigned.
_CATCH = """
Object.defineProperty(Object.prototype, "fitAddon", {
  configurable: true,
  set(addon) {
    window.caught = this;
    Object.defineProperty(this, "fitAddon", {value: addon, writable: true});
  },
});
"""
_READ = """() => {
  const terminal = window.caught && window.caught.terminal;
  if (!terminal) return "";
  const rows = Array.from({length: terminal.rows}, (_, row) =>
    terminal.buffer.active.getLine(row).translateToString(true));
  return rows.join("\\n");
}"""
_SIZE = "() => [window.caught.terminal.cols, window.caught.terminal.rows]"


# The dashboards behind the tabs are a program that a test chooses.
_PROGRAM = """
import sys
from qtui.cli import main, web
web.DASHBOARD = (sys.executable, "-m", sys.argv.pop(1))
sys.exit(main.main())
"""


class Web:
    """A `qtui web` over `workspace`, whose dashboards are `module`: unless told otherwise, one
    whose workers only count."""

    def __init__(
        self,
        workspace: Path,
        *arguments: str,
        module: str = "tests.e2e.qtui_with_fake_worker",
        env: Mapping[str, str] | None = None,
    ) -> None:
        command = (sys.executable, "-c", _PROGRAM, module, "web", "--port", "0", "--json")
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=workspace,
            env=environment(workspace, env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1].decode())
        document = json.loads(line)
        self.address: str = document["address"]
        self.base: str = document["base"]

    def dashboards(self) -> list[psutil.Process]:
        """The processes behind tabs."""
        return psutil.Process(self.process.pid).children()

    def end(self, number: int) -> tuple[int, str, str]:
        """Send it the signal, and wait for its end: code, and what it wrote after its address."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out.decode(), err.decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=SECONDS)


@contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium, the system's own."""
    program = need("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield chromium
        finally:
            chromium.close()


class Page:
    """A tab of a browser (or of one `context` of it, with its cookies), and what it shows."""

    def __init__(
        self, context: Browser | BrowserContext, address: str, size: tuple[int, int] = (1000, 600)
    ) -> None:
        self.errors: list[str] = []
        self.asked: list[str] = []
        """Addresses of everything that was loaded."""
        self.tab: Tab = context.new_page()
        self.tab.set_viewport_size({"width": size[0], "height": size[1]})
        self.tab.add_init_script(_CATCH)
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("console", self._heard)
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.on("websocket", lambda socket: self.asked.append(socket.url))
        self.tab.goto(address)

    def _heard(self, message: object) -> None:
        if getattr(message, "type", "") == "error":
            self.errors.append(str(getattr(message, "text", "")))

    @property
    def text(self) -> str:
        """The rows of the terminal in the page; none while the page is on its way to another."""
        try:
            return str(self.tab.evaluate(_READ))
        except Error as error:
            if "navigation" not in str(error):
                raise
            return ""

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal in the page."""
        columns, rows = self.tab.evaluate(_SIZE)
        return int(columns), int(rows)

    def press(self, *keys: str) -> None:
        """Press keys by Playwright's names."""
        for key in keys:
            self.tab.keyboard.press(key)

    def until(self, wanted: str | Callable[[], object], seconds: float = SECONDS) -> None:
        """Wait until the terminal shows a text, or a condition holds."""
        deadline = time.monotonic() + seconds
        while not (wanted in self.text if isinstance(wanted, str) else wanted()):
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"waited in vain for {wanted!r}; errors {self.errors}; it shows\n{self.text}"
                )
            self.tab.wait_for_timeout(20)

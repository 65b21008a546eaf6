"""Talking to a model in real Chromium: start, type, see an answer; the server outlives the tab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from qtui.chat import server
from qtui.runs import serving
from tests.e2e.counting import until
from tests.e2e.web import Page, Web, browser

FAKE = "tests.chat.qtui_with_fake_engine"
EMPTY = "There is no run to talk to yet."


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as made:
        yield made


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """A workspace whose servers are gone in the end."""
    yield tmp_path
    for run in serving.living(tmp_path):
        server.stop(run)


def talk_to_the_built_in_model(page: Page, words: str) -> None:
    """From Home to Chat, pick the one model that is offered, and send `words`."""
    page.until("No runs here yet.")
    page.press("6")
    page.until(EMPTY)
    page.press("Escape", "o")
    page.until("builtin:tiny")
    page.press("Enter")
    page.until("The base is builtin:tiny.")
    page.press("i")
    page.tab.keyboard.type(words)
    page.until(f"> {words}")  # typed at once: the model may still be loading
    page.press("Enter")
    page.until(lambda: "You" in page.text and f"> {words}" not in page.text)


def test_start_type_and_see_an_answer(chromium: Browser, workspace: Path) -> None:
    with Web(workspace, module=FAKE) as web:
        page = Page(chromium, web.address)
        talk_to_the_built_in_model(page, "hello — ¿qué tal?")
        page.until("builtin:tiny heard: hello — ¿qué tal?")
        (run,) = serving.living(workspace)
        page.tab.reload()  # another dashboard, which finds the server
        page.until("serving")
        page.press("6")
        page.until("The base is builtin:tiny.")
        page.tab.keyboard.type("and again")
        page.press("Enter")
        page.until("builtin:tiny heard: and again")
        assert page.errors == []
        page.tab.close()
        until(lambda: not web.dashboards())
    assert serving.living(workspace) == [run]
    assert serving.address(run) is not None


@pytest.mark.train
def test_the_built_in_model_answers(chromium: Browser, workspace: Path) -> None:
    with Web(workspace, module="qtui") as web:
        page = Page(chromium, web.address)
        talk_to_the_built_in_model(page, "hello there")
        page.until("waiting for the model")
        page.until(lambda: "waiting" not in page.text, seconds=240)
        page.until(lambda: "first 0." in page.text or "tok/s" in page.text, seconds=240)
        page.until("esc to the answers", seconds=240)  # while it is written, esc stops it
        rows = page.text.split("\n")
        said = next(at for at, row in enumerate(rows) if "hello there" in row)
        assert rows[said + 1].strip() in ("base", "builtin:tiny"), page.text
        assert rows[said + 2].strip() not in ("", "waiting for the model"), page.text
        assert page.errors == []
        page.tab.close()

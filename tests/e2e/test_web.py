"""`qtui web` in real Chromium: opened, used, resized, reloaded, closed; runs know nothing of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser

from qtui.runs.folder import all_runs
from qtui.runs.state import Status, status
from tests.e2e.counting import counting_run, end, goes_on, start, until
from tests.e2e.terminal import environment
from tests.e2e.web import Page, Web, browser

pytestmark = pytest.mark.xdist_group("chromium")

EMPTY = "No runs here yet."


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as made:
        yield made


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with Web(tmp_path) as served:
        yield served


def test_it_opens_answers_keys_follows_the_window_and_loads_nothing_from_elsewhere(
    chromium: Browser, web: Web
) -> None:
    page = Page(chromium, web.address)
    page.until(EMPTY)
    assert page.tab.url == f"{web.base}/"
    page.press("?")
    page.until("Help: what every key does")
    page.press("Escape", "2")  # at the speed of a program: no key is taken for part of another
    page.until("new run file")
    page.until(lambda: "Help: what" not in page.text)
    page.press("1")
    page.until(EMPTY)
    before = page.size
    page.tab.set_viewport_size({"width": 1400, "height": 800})
    page.until(lambda: page.size > before)
    # The last row is drawn at the new place, and the top bar reaches as far as the window.
    page.until(lambda: "? help" in page.text.split("\n")[page.size[1] - 1])
    assert page.size[0] > before[0]
    assert page.size[1] > before[1]
    assert page.tab.evaluate("document.fonts.check('15px \"Roboto Mono\"')")
    here = web.base.partition("://")[2]
    assert {url.partition("://")[2].partition("/")[0] for url in page.asked} == {here}
    assert page.errors == []
    page.tab.close()


def test_reloading_goes_on_and_closing_ends_that_process_alone(chromium: Browser, web: Web) -> None:
    context = chromium.new_context()
    page, other = Page(context, web.address), Page(context, web.base)
    page.until(EMPTY)
    other.until(EMPTY)
    until(lambda: len(web.dashboards()) == 2)
    page.tab.reload()
    page.until(EMPTY)
    until(lambda: len(web.dashboards()) == 2)
    page.tab.close()
    until(lambda: len(web.dashboards()) == 1)
    other.press("?")
    other.until("Help: what every key does")
    context.close()
    until(lambda: not web.dashboards())
    assert web.process.poll() is None


def test_the_address_works_once_and_without_the_cookie_nothing_does(
    chromium: Browser, web: Web
) -> None:
    first, second = chromium.new_context(), chromium.new_context()
    Page(first, web.address).until(EMPTY)
    Page(first, web.address).until(EMPTY)  # the same browser, from its history
    refused = second.new_page()
    assert refused.goto(web.address).status == 403
    assert "press Enter for a new address" in refused.inner_text("body")
    opened = """url => new Promise(done => {
        const socket = new WebSocket(url);
        socket.onopen = () => done("open");
        socket.onerror = () => done("refused");
    })"""
    socket = web.base.replace("http", "ws") + "/ws"
    assert refused.evaluate(opened, socket) == "refused"
    first_cookies = first.cookies()
    assert [cookie["sameSite"] for cookie in first_cookies] == ["Strict"]
    assert [cookie["httpOnly"] for cookie in first_cookies] == [True]
    assert second.cookies() == []
    first.close()
    second.close()


def test_a_link_on_another_site_opens_it_and_a_page_there_cannot_connect(
    chromium: Browser, web: Web, tmp_path: Path
) -> None:
    """A console in the browser is another site: its link must do, and its scripts must not."""
    context = chromium.new_context()
    page = Page(context, "about:blank")
    # Nothing is served there: the page's content is given to the browser for that address.
    page.tab.route(
        "http://console.example/",
        lambda route: route.fulfill(
            content_type="text/html", body=f'<a href="{web.address}">the dashboard</a>'
        ),
    )
    page.tab.goto("http://console.example/")
    page.tab.click("a")
    page.until(EMPTY)
    page.tab.goto("http://console.example/")
    until(lambda: not web.dashboards())
    opened = """url => new Promise(done => {
        const socket = new WebSocket(url);
        socket.onopen = () => done("open");
        socket.onerror = () => done("refused");
    })"""
    assert page.tab.evaluate(opened, web.base.replace("http", "ws") + "/ws") == "refused"
    framed = f"""() => new Promise(done => {{
        const frame = document.createElement("iframe");
        frame.src = "{web.base}/";
        frame.onload = () => done(frame.contentDocument === null ? "refused" : "shown");
        document.body.append(frame);
    }})"""
    assert page.tab.evaluate(framed) == "refused"
    assert not web.dashboards()
    context.close()


def test_what_ended_is_said_and_opened_again_by_a_button(chromium: Browser, web: Web) -> None:
    page = Page(chromium, web.address)
    page.until(EMPTY)
    page.press("Control+z")
    page.until("There is no shell to go back to here.")
    page.press("Control+q")
    page.until(lambda: page.tab.is_visible("#closed"))
    assert "The dashboard has ended." in page.tab.inner_text("#closed")
    until(lambda: not web.dashboards())
    page.press("Enter")  # the button has the focus
    page.until(EMPTY)
    web.dashboards()[0].kill()
    page.until(lambda: page.tab.is_visible("#closed"))
    assert "exit code -9" in page.tab.inner_text("#closed")
    page.tab.click("#start")
    page.until(EMPTY)
    assert web.end(signal.SIGINT)[0] == 0
    page.until(lambda: page.tab.is_visible("#closed"))
    assert "qtui web has ended." in page.tab.inner_text("#closed")
    assert page.errors == []
    page.tab.close()


def test_one_tab_too_many_gets_a_sentence(chromium: Browser, tmp_path: Path) -> None:
    with Web(tmp_path, "--sessions", "1") as web:
        context = chromium.new_context()
        page = Page(context, web.address)
        page.until(EMPTY)
        other = Page(context, web.base)
        other.until(lambda: other.tab.is_visible("#closed"))
        assert "1 dashboard is open" in other.tab.inner_text("#closed")
        page.tab.reload()  # the one that is there keeps its place
        page.until(EMPTY)
        context.close()


def test_a_run_goes_on_when_the_tab_is_closed_and_when_the_server_ends(
    chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEP_SECONDS", "0.05")
    monkeypatch.setenv("PYTHONPATH", environment(Path())["PYTHONPATH"])
    run = start(counting_run(tmp_path))
    try:
        with Web(tmp_path) as web:
            page = Page(chromium, web.address)
            page.until("quiet-otter")
            page.press("Enter")
            page.until("/2000")
            # One that is begun in the tab: the built-in run of Home's first page.
            page.press("2", "Control+l")
            until(lambda: len(all_runs(tmp_path)) == 2)
            begun = next(each for each in all_runs(tmp_path) if each.id != run.id)
            until(lambda: status(begun) is Status.TRAINING)
            dashboard = web.dashboards()[0]
            page.tab.close()
            until(lambda: not psutil.pid_exists(dashboard.pid))
            goes_on(run, steps=5)
            again = Page(chromium, web.base)
            assert again.tab.title() == "qtui"
            code, _, said = web.end(signal.SIGINT)
            assert (code, "token" in said) == (0, False)
            goes_on(run, steps=5)
            assert status(begun) in (Status.TRAINING, Status.COMPLETED)
            again.tab.close()
    finally:
        for each in all_runs(tmp_path):
            end(each)

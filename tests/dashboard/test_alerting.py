"""Alerts reach the person wherever they are: message, bell, webhook."""

from __future__ import annotations

import io
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pexpect
import pytest

from qtui.runs.events import FinishedEvent, MetricsEvent
from tests.cli.programs import spawn
from tests.dashboard.harness import Machine, drive, on_screen, screen_text, seen, until
from tests.dashboard.machines import GIB, RTX_4090
from tests.dashboard.run_folders import NOW, append, live


async def watched(pilot) -> None:
    await until(pilot, lambda: pilot.app.alerting._watch.runs)


def lost(step: int) -> MetricsEvent:
    return MetricsEvent(time=NOW, step=step, values={"loss": None})


def bells(app) -> list[int]:
    """Counts what the application rings from here on."""
    rung: list[int] = []
    app.bell = lambda: rung.append(1)
    return rung


@pytest.mark.parametrize("key", ["1", "2", "9"])
def test_an_alert_shows_on_every_screen_and_rings_once(tmp_path: Path, key: str):
    @on_screen
    async def scenario():
        with live(tmp_path) as run:
            async with drive(tmp_path, gpus=RTX_4090) as pilot:
                rung = bells(pilot.app)
                await watched(pilot)
                await pilot.press(key)
                append(run, [lost(413), lost(414), lost(415)])
                await seen(pilot, "quiet-otter: loss of step 413")
                await until(pilot, lambda: rung)
                append(run, [MetricsEvent(time=NOW, step=416, values={"loss": 1.0})])
                await until(pilot, lambda: not pilot.app.alerting.active)
                assert rung == [1]
                append(run, [lost(417)])
                await until(pilot, lambda: len(rung) == 2)

    scenario()


def test_no_bell_where_the_user_wants_none(tmp_path: Path):
    @on_screen
    async def scenario():
        with live(tmp_path) as run:
            async with drive(tmp_path, gpus=RTX_4090, config="bell = false") as pilot:
                rung = bells(pilot.app)
                await watched(pilot)
                append(run, [lost(413)])
                await seen(pilot, "quiet-otter: loss of step 413")
                assert rung == []

    scenario()


def test_a_full_disk_is_told_without_any_run(tmp_path: Path):
    @on_screen
    async def scenario():
        machine = Machine(RTX_4090)
        machine.disk_free = GIB
        async with drive(tmp_path, machine=machine) as pilot:
            await seen(pilot, "1.1 GB free in the workspace")
            machine.disk_free = 200 * GIB
            await until(pilot, lambda: not pilot.app.alerting.active)

    scenario()


def test_heat_of_the_machine_is_told(tmp_path: Path):
    @on_screen
    async def scenario():
        machine = Machine(RTX_4090)
        hot = (msgspec.structs.replace(RTX_4090.gpus[0], temperature=RTX_4090.gpus[0].fan),)
        async with drive(tmp_path, machine=machine) as pilot:
            hot = (
                msgspec.structs.replace(
                    hot[0], temperature=type(hot[0].temperature)(91), fan=hot[0].fan
                ),
            )
            machine.gpus = msgspec.structs.replace(RTX_4090, gpus=hot)
            await until(pilot, lambda: pilot.app.machine and pilot.app.machine.gpus.gpus == hot)
            machine.now += 11  # it has lasted
            await seen(pilot, "GPU 0 is at 91 °C")

    scenario()


def test_alerts_are_posted_and_the_address_is_never_shown(tmp_path: Path):
    posts: list[dict] = []
    answers = [500, 500]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(answers.pop(0) if answers else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hook = f"http://127.0.0.1:{server.server_port}/canary-secret"

    @on_screen
    async def scenario():
        with live(tmp_path) as run:
            async with drive(
                tmp_path, (120, 40), gpus=RTX_4090, environment={"QTUI_WEBHOOK": hook}
            ) as pilot:
                await watched(pilot)
                append(run, [lost(413)])
                await seen(pilot, "the webhook at 127.0.0.1")
                assert "canary" not in screen_text(pilot.app)
                append(run, [FinishedEvent(time=NOW, status="completed", step=413)])
                await until(pilot, lambda: len(posts) == 3)
                assert [post["kind"] for post in posts] == ["non_finite", "non_finite", "finished"]
                assert posts[0]["run"] == run.id
                assert posts[0].keys() == {"run", "kind", "message", "time"}

    scenario()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("wanted", [True, False])
def test_the_bell_rings_on_a_real_terminal(tmp_path: Path, wanted: bool):
    settings = tmp_path / "settings" / "qtui"
    settings.mkdir(parents=True)
    (settings / "config.toml").write_text(f"bell = {str(wanted).lower()}\n")
    with live(tmp_path) as run:
        append(run, [lost(413)])
        child = spawn(cwd=tmp_path, env={"XDG_CONFIG_HOME": str(settings.parent)})
        child.logfile_read = heard = io.BytesIO()
        child.expect(b"step 413")  # the bell is asked for before the message is drawn
        child.send("\x11")  # ctrl+q
        child.expect(pexpect.EOF)
        child.close()
    assert child.exitstatus == 0
    said = re.sub(rb"\x1b\][^\a\x1b]*\a", b"", heard.getvalue())  # there it ends a sequence
    assert said.count(b"\a") == int(wanted)

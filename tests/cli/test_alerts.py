"""The commands that watch tell the alerts that the dashboard tells."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from qtui.runs.events import LogEvent, MetricsEvent, Phase, PhaseEvent
from qtui.runs.folder import Run
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog
from tests.cli.programs import qtui
from tests.runs.conftest import make


def broken(workspace: Path, name: str) -> Run:
    """A run whose loss is not finite any more."""
    run = make(workspace, name)
    log = EventLog(run.events)
    log.write(PhaseEvent(phase=Phase.TRAINING))
    log.write(LogEvent(level="info", message="before"))
    log.write(MetricsEvent(step=7, values={"loss": None}))
    return run


def test_monitor_tells_alerts_and_posts_them(tmp_path: Path) -> None:
    posts: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {"QTUI_WEBHOOK": f"http://127.0.0.1:{server.server_port}/secret"}
    run = broken(tmp_path, "bad-one")
    with RunLock(run.lock):
        shown = qtui("monitor", "--once", cwd=tmp_path)
        document = json.loads(
            qtui("monitor", "--once", "--json", cwd=tmp_path, env=environment).stdout
        )
    server.shutdown()
    server.server_close()
    assert "alert" in shown.text
    assert "bad-one: loss of step 7 is not a finite number" in shown.text
    (alert,) = document["alerts"]
    assert (alert["run"], alert["kind"], alert["level"]) == (run.id, "non_finite", "error")
    assert [(post["run"], post["kind"]) for post in posts] == [(run.id, "non_finite")]


def test_a_webhook_that_is_no_address_is_refused_without_its_secret(tmp_path: Path) -> None:
    shown = qtui(
        "monitor", "--once", cwd=tmp_path, env={"QTUI_WEBHOOK": "http://ho st/canary-secret"}
    )
    assert shown.code == 2
    assert b"webhook" in shown.stderr
    assert b"canary-secret" not in shown.stderr + shown.stdout


def test_attach_tells_what_it_judges_where_it_happened(tmp_path: Path) -> None:
    run = broken(tmp_path, "bad-one")
    EventLog(run.events).write(LogEvent(level="info", message="after"))
    lines = qtui("runs", "attach", "bad-one", cwd=tmp_path).stdout.decode().splitlines()
    places = {
        word: next(at for at, line in enumerate(lines) if word in line)
        for word in ("before", "not a finite number", "after")
    }
    assert sorted(places, key=places.__getitem__) == ["before", "not a finite number", "after"]
    logged = qtui("runs", "attach", "bad-one", "--json", cwd=tmp_path).stdout.splitlines()
    assert [json.loads(line)["type"] for line in logged][:4] == ["phase", "log", "metrics", "log"]

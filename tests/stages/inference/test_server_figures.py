"""What is kept of requests: the log, the figures for Prometheus and those for the run."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from qtui.stages.inference.server.request_log import RequestLog
from tests.stages.inference.fake_engine import ADAPTER, BASE, FakeEngine
from tests.stages.inference.fake_server import FakeServer, serving
from tests.stages.inference.test_server_limits import CHAT, asking, connected, request, until

SECRET = "my secret question"


def some_requests(http: httpx.Client, server: FakeServer) -> None:
    http.post(CHAT, json=asking(SECRET))
    http.post(CHAT, json=asking(SECRET, stream=True) | {"model": ADAPTER})
    http.post(CHAT, json=asking(SECRET) | {"model": "made up"})
    http.post(CHAT, json=asking(SECRET, n=5))
    http.get("/health")
    http.get(f"/nowhere/{SECRET}")
    engine = server.service.engine
    assert isinstance(engine, FakeEngine)
    engine.hold()
    with connected(server) as client:
        client.sendall(request(asking(SECRET)))
        until(lambda: engine.busy)
        engine.let(2)
        until(lambda: any(answer.tokens == 2 for answer in server.service.answers.open))
    until(lambda: not server.service.answers.busy)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "requests.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_one_line_a_request_without_contents(tmp_path: Path) -> None:
    with serving(FakeEngine(), tmp_path) as server, server.client() as http:
        some_requests(http, server)
    lines = lines_of(tmp_path)
    assert [(line["route"], line["model"], line["status"]) for line in lines] == [
        (CHAT, BASE, 200),
        (CHAT, ADAPTER, 200),
        (CHAT, "made up", 404),
        (CHAT, "", 400),
        (CHAT, BASE, 0),
    ]
    whole, streamed, unknown, wrong, gone = lines
    for line in (whole, streamed):
        assert (line["prompt_tokens"], line["completion_tokens"]) == (4, 5)
        assert line["finish_reason"] == "stop"
        assert 0 <= line["queue_seconds"] <= line["first_token_seconds"] <= line["seconds"]
    assert len({line["id"] for line in lines}) == len(lines)
    assert (unknown["error"], wrong["error"]) == ("model_not_found", "unsupported_parameter")
    assert (gone["client_gone"], gone["completion_tokens"], gone["finish_reason"]) == (True, 2, "")
    assert SECRET not in (tmp_path / "requests.jsonl").read_text()
    assert stat.S_IMODE((tmp_path / "requests.jsonl").stat().st_mode) == 0o600


def test_contents_only_where_asked_for(tmp_path: Path) -> None:
    with serving(FakeEngine(), tmp_path, log_contents=True) as server, server.client() as http:
        http.post(CHAT, json=asking(SECRET))
        http.post(CHAT, json=asking(SECRET, stream=True))
    for line in lines_of(tmp_path):
        assert line["prompt"] == f"<|user|>{SECRET}\n<|assistant|>"
        assert line["output"] == f"{BASE} heard: {SECRET}"


def test_the_id_of_an_answer_is_that_of_its_line(tmp_path: Path) -> None:
    with serving(FakeEngine(), tmp_path) as server, server.client() as http:
        answer = http.post(CHAT, json=asking())
    assert lines_of(tmp_path)[0]["id"] == answer.headers["x-request-id"]
    assert answer.json()["id"] == "chatcmpl-" + answer.headers["x-request-id"]


def test_what_cannot_be_written_is_counted_and_holds_up_nothing(tmp_path: Path) -> None:
    log = RequestLog(Path("/dev/full"))
    log.write({"text": "half a pair \ud800"})
    log.close()
    assert log.dropped == 1
    log = RequestLog(tmp_path / "log")
    log.write({"text": "half a pair \ud800"})
    log.close()
    assert (json.loads((tmp_path / "log").read_text()), log.dropped) == (
        {"text": "half a pair ?"},
        0,
    )


def test_figures_for_prometheus() -> None:
    with serving(FakeEngine()) as server, server.client() as http:
        some_requests(http, server)
        text = http.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.text)
        for sample in family.samples
    }
    assert samples["qtui_requests_total", CHAT, "200", BASE] == 1
    assert samples["qtui_requests_total", CHAT, "200", ADAPTER] == 1
    assert samples["qtui_requests_total", "", CHAT, "404"] == 1
    assert samples["qtui_requests_total", "", CHAT, "400"] == 1
    assert samples["qtui_requests_total", CHAT, "499", BASE] == 1
    assert samples["qtui_requests_total", "", "", "404"] == 1
    assert samples["qtui_completion_tokens_total", BASE] == 7
    assert samples["qtui_prompt_tokens_total", ADAPTER] == 4
    assert samples["qtui_first_token_seconds_count",] == 3
    assert samples["qtui_tokens_per_second_count",] == 3
    assert samples["qtui_running",] == samples["qtui_waiting",] == 0
    assert samples["qtui_memory_host_bytes",] > 1e6
    assert "made up" not in text.text
    assert SECRET not in text.text


def test_figures_for_the_run() -> None:
    with serving(FakeEngine()) as server, server.client() as http:
        measures = server.service.measures
        assert measures.period() is None
        some_requests(http, server)
        values = measures.period()
        assert values is not None
        assert values["requests"] == measures.requests == 4
        assert values["failed_requests"] == 1
        assert values["completion_tokens"] == 12
        assert values["running"] == values["waiting"] == 0
        assert values["tokens_per_second"]
        assert values["tokens_per_second"] > 0
        assert 0 < (values["first_token_p50"] or 0) <= (values["first_token_p95"] or 0)
        assert measures.period() is None
        assert measures.summary() == {
            "requests": 4,
            "failed_requests": 1,
            "cancelled_requests": 1,
            "prompt_tokens": 12,
            "completion_tokens": 12,
        }

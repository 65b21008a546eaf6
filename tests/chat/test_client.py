"""The client against servers that do what servers do, in all the ways they do it wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from qtui.chat.asks import Answered, Ask, Delta, Model, Prompted, Settings
from qtui.chat.client import Client, exposed_key, parse_url
from qtui.chat.failures import (
    CutOffError,
    RefusedAskError,
    ServerError,
    SilentError,
    UnreachableError,
)
from qtui.errors import InputError, QtuiError
from qtui.runs.serving import Address
from tests.chat.scripted import (
    CLOSE,
    DONE,
    USAGE,
    Request,
    Script,
    Scripted,
    answers,
    chunk,
    head,
    server,
    whole,
)

HELLO = Ask("m", ({"role": "user", "content": "hello"},))


async def all_of(client: Client, ask: Ask = HELLO) -> list[Prompted | Delta | Answered]:
    async with aclosing(client.ask(ask)) as answer:
        return [each async for each in answer]


def text_of(said: list[Prompted | Delta | Answered]) -> str:
    return "".join(each.text for each in said if isinstance(each, Delta))


def talk(
    script: Script, work: Callable[[Client, Scripted], Coroutine[Any, Any, Any]], **client: Any
) -> Any:
    """What `work` returns or raises, with a client of a server that follows `script`."""

    async def run() -> Any:
        async with server(script) as scripted:
            talking = Client(scripted.address, **client)
            try:
                return await asyncio.wait_for(work(talking, scripted), 30)
            finally:
                await talking.aclose()

    return asyncio.run(run())


def asked(script: Script, ask: Ask = HELLO, **client: Any) -> list[Prompted | Delta | Answered]:
    found: list[Prompted | Delta | Answered] = talk(script, lambda c, _: all_of(c, ask), **client)
    return found


def refused(script: Script, ask: Ask = HELLO, **client: Any) -> QtuiError:
    with pytest.raises(QtuiError) as caught:
        asked(script, ask, **client)
    return caught.value


PARTS = (head(), chunk("Hel"), b": ping\r\n\r\n", chunk("lo"), chunk(None, "length"), USAGE, DONE)


def test_an_answer_in_pieces() -> None:
    said = asked(answers(*PARTS))
    assert text_of(said) == "Hello"
    done = said[-1]
    assert isinstance(done, Answered)
    assert (done.finish_reason, done.prompt_tokens, done.completion_tokens) == ("length", 7, 3)
    assert 0 < done.first_token_seconds <= done.seconds


def test_speed_is_that_after_the_first_token() -> None:
    assert Answered("stop", 1, 11, 2.0, 4.0).tokens_per_second == 5.0
    assert Answered("stop", 1, 1, 2.0, 2.0).tokens_per_second == 0.0
    assert Answered("stop", 1, 3, 0.0377, 0.0378).tokens_per_second == 0.0  # in one piece


def test_split_at_every_byte() -> None:
    body = b"".join(PARTS[1:])
    said = asked(answers(head(), *(body[i : i + 1] for i in range(len(body)))))
    assert text_of(said) == "Hello"


def test_without_done_and_without_usage_the_pieces_are_counted() -> None:
    done = asked(answers(head(), chunk("a"), chunk("b"), chunk(None, "stop")))[-1]
    assert isinstance(done, Answered)
    assert (done.finish_reason, done.prompt_tokens, done.completion_tokens) == ("stop", 0, 2)


@pytest.mark.parametrize("count", [True, -1, 10**400, 1.5, "7"])
def test_a_count_that_is_none_is_not_believed(count: Any) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count}
    done = asked(answers(head(), chunk("a"), chunk("b", "stop", usage=usage), DONE))[-1]
    assert isinstance(done, Answered)
    assert (done.prompt_tokens, done.completion_tokens) == (0, 2)
    assert done.prompt_tokens is not True


def test_a_server_that_does_not_stream() -> None:
    choice = {"message": {"content": "Hi"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    said = asked(answers(whole({"choices": [choice], "usage": usage})))
    assert text_of(said) == "Hi"
    assert isinstance(said[-1], Answered)
    assert said[-1].completion_tokens == 2


def body_sent(ask: Ask) -> tuple[str, dict[str, Any]]:
    async def work(client: Client, scripted: Scripted) -> Request:
        await all_of(client, ask)
        return scripted.requests[0]

    request: Request = talk(answers(*PARTS), work)
    return request.path, request.json


def test_only_what_is_set_is_sent() -> None:
    path, body = body_sent(HELLO)
    assert path == "/v1/chat/completions"
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 512,
    }
    nothing = Settings(temperature=None, top_p=None, max_tokens=None)
    _, body = body_sent(Ask("m", HELLO.messages, nothing))
    assert body.keys() == {"model", "messages", "stream", "stream_options"}


def test_everything_that_can_be_set_is_sent_by_its_name() -> None:
    settings = Settings(
        temperature=0, top_p=0.5, top_k=4, min_p=0.1, repetition_penalty=1.1, seed=7,
        max_tokens=9, stop=("a", "b"), json_schema={"type": "object"},
    )  # fmt: skip
    path, body = body_sent(Ask("m", settings=settings, prompt="Once", raw=True))
    assert path == "/v1/completions"
    assert body["prompt"] == "Once"
    assert "messages" not in body
    expected = {
        "temperature": 0, "top_p": 0.5, "top_k": 4, "min_p": 0.1, "repetition_penalty": 1.1,
        "seed": 7, "max_tokens": 9, "stop": ["a", "b"], "skip_special_tokens": False,
        "return_prompt": True,
    }  # fmt: skip
    assert body.items() >= expected.items()
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    _, body = body_sent(Ask("m", HELLO.messages, Settings(json_schema={})))
    assert body["response_format"] == {"type": "json_object"}


def test_the_prompt_as_the_model_sees_it_comes_first_and_once() -> None:
    said = asked(
        answers(head(), chunk("", prompt="<|user|>hello"), chunk("a", prompt="x"), DONE),
        Ask("m", HELLO.messages, raw=True),
    )
    assert said[0] == Prompted("<|user|>hello")
    assert [type(each) for each in said] == [Prompted, Delta, Answered]


def test_a_plain_completion() -> None:
    event = b'data: {"choices":[{"text":"upon a time","finish_reason":"stop"}]}\n\n'
    said = asked(answers(head(), event, DONE), Ask("m", prompt="Once"))
    assert text_of(said) == "upon a time"


def test_half_of_a_surrogate_pair_goes_and_comes_as_it_is() -> None:
    ask = Ask("m", ({"role": "user", "content": "\ud83d"},))

    async def work(client: Client, scripted: Scripted) -> tuple[str, str]:
        said = await all_of(client, ask)
        return scripted.requests[0].json["messages"][0]["content"], text_of(said)

    assert talk(answers(head(), chunk("\ude00"), DONE), work) == ("\ud83d", "\ude00")


# -- errors ---------------------------------------------------------------------------------------


def test_openais_error_has_its_words_code_and_status() -> None:
    error = {"message": "no model 'm'", "code": "model_not_found", "param": "model"}
    found = refused(answers(whole({"error": error}, 404)))
    assert isinstance(found, RefusedAskError)
    assert (found.code, found.status, found.param) == ("model_not_found", 404, "model")
    assert "no model 'm'" in found.message
    assert found.exit_code == 2


@pytest.mark.parametrize(
    "body",
    [
        {"error": "it broke", "error_type": "generation"},
        {"object": "error", "message": "it broke", "type": "X", "code": 500},
        {"detail": "it broke"},
        {"error": {"message": "it broke", "code": 500, "type": "server_error"}},
    ],
)
def test_errors_in_the_shapes_of_other_servers(body: dict[str, Any]) -> None:
    found = refused(answers(whole(body, 500)))
    assert isinstance(found, ServerError)
    assert "it broke" in found.message
    assert found.exit_code == 1


def test_a_dead_engine_is_not_to_be_waited_for() -> None:
    error = {"message": "the GPU was lost", "code": "engine_gone"}
    assert "start another" in refused(answers(whole({"error": error}, 503))).remedy


def test_a_web_page_is_shown_as_its_text_without_a_control_byte() -> None:
    page = b"<html><style>p{}</style><h1>502 Bad\x1b[2J Gateway</h1><p>pod sleeps</html>"
    found = refused(answers(head(502, "text/html"), page))
    assert "502 Bad�[2J Gateway pod sleeps" in found.message
    assert "busy or gone" in found.remedy


@pytest.mark.parametrize("kind", ["text/html", "application/json", ""])
def test_a_good_status_with_no_answer_in_it(kind: str) -> None:
    found = refused(answers(head(200, kind), b"<h1>Sign in</h1>"))
    assert "no model's answer: Sign in" in found.message


def test_an_error_in_mid_answer_ends_it() -> None:
    parts = (head(), chunk("a"), b'data: {"error":{"message":"the GPU was lost"}}\n\n', DONE)

    async def work(client: Client, _: Scripted) -> tuple[str, str]:
        text = ""
        with pytest.raises(ServerError) as caught:
            async for each in client.ask(HELLO):
                text += each.text if isinstance(each, Delta) else ""
        return text, caught.value.message

    text, message = talk(answers(*parts), work)
    assert text == "a"
    assert message.endswith("the GPU was lost")


def test_llama_servers_error_event() -> None:
    found = refused(answers(head(), b'error: {"code":500,"message":"slot lost"}\n\n'))
    assert "slot lost" in found.message


def test_rubbish_in_an_event() -> None:
    assert "no model's answer: {" in refused(answers(head(), b"data: {half\n\n")).message


@pytest.mark.parametrize("parts", [(chunk("a"),), (chunk("a"), CLOSE), (b"data: {",)])
def test_cut_off_in_mid_answer(parts: tuple[bytes, ...]) -> None:
    assert isinstance(refused(answers(head(), *parts)), CutOffError | ServerError)


def test_a_chunked_answer_that_stops_in_the_middle() -> None:
    broken = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    found = refused(answers(broken + b"\r\n" + b"ff\r\ndata: "))
    assert isinstance(found, CutOffError)
    assert "in mid-answer" in found.message


def test_a_server_that_closes_without_a_word() -> None:
    found = refused(answers(CLOSE))
    assert isinstance(found, CutOffError)
    assert "before it answered" in found.message


def test_nobody_is_there(tmp_path: Path) -> None:
    async def ask(address: Address) -> None:
        await all_of(Client(address))

    async def closed_port() -> int:
        async with server(answers()) as scripted:
            return int(scripted.address.url.rpartition(":")[2])

    port = asyncio.run(closed_port())
    for address in (
        Address(f"http://127.0.0.1:{port}"),
        Address("http://localhost", str(tmp_path / "none.sock")),
    ):
        with pytest.raises(UnreachableError, match="no server answers at"):
            asyncio.run(ask(address))


async def _says_nothing(request: Request) -> AsyncIterator[bytes]:
    yield head()
    yield chunk("a")
    await asyncio.Event().wait()


def test_a_server_that_falls_silent() -> None:
    found = refused(_says_nothing, silent_seconds=0.3)
    assert isinstance(found, SilentError)
    assert "nothing for 0 s" in found.message


def test_an_event_without_an_end() -> None:
    assert "more than" in refused(answers(head(), b"data: " + b"x" * (9 << 20))).message


def test_retry_after() -> None:
    error = {"error": {"message": "full", "code": "queue_full"}}
    found = refused(answers(whole(error, 429, retry_after="7")))
    assert isinstance(found, ServerError)
    assert found.retry_after == 7
    found = refused(answers(whole(error, 429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT")))
    assert isinstance(found, ServerError)
    assert found.retry_after == 0


def test_what_a_server_does_not_know_is_left_out_from_then_on() -> None:
    async def script(request: Request) -> AsyncIterator[bytes]:
        body = request.json
        for name in ("stream_options", "max_tokens"):
            if name in body:
                error = {"message": f"Unsupported parameter: '{name}'", "param": name}
                yield whole({"error": error}, 400)
                return
        for part in PARTS:
            yield part

    async def work(client: Client, scripted: Scripted) -> list[dict[str, Any]]:
        await all_of(client)
        await all_of(client)
        return [request.json for request in scripted.requests]

    bodies = talk(script, work)
    assert len(bodies) == 4
    assert bodies[-1]["max_completion_tokens"] == 512


def test_where_the_context_leaves_less_than_max_tokens_what_is_left_is_asked_for() -> None:
    async def script(request: Request) -> AsyncIterator[bytes]:
        if "max_tokens" in request.json or "long" in request.json["messages"][0]["content"]:
            error = {"message": "too long", "code": "context_length_exceeded"}
            yield whole({"error": error}, 400)
            return
        for part in PARTS:
            yield part

    assert text_of(asked(script)) == "Hello"
    found = refused(script, Ask("m", ({"role": "user", "content": "long"},)))
    assert "too long" in found.message


def test_any_other_refusal_is_not_asked_again() -> None:
    async def work(client: Client, scripted: Scripted) -> int:
        with pytest.raises(RefusedAskError):
            await all_of(client)
        return len(scripted.requests)

    error = {"message": "max_tokens: too large for this context", "param": "max_tokens"}
    assert talk(answers(whole({"error": error}, 400)), work) == 1


# -- closing ---------------------------------------------------------------------------------------


def test_who_stops_listening_closes_the_connection() -> None:
    async def work(client: Client, scripted: Scripted) -> None:
        answer = client.ask(HELLO)
        assert await anext(answer) == Delta("a")
        assert not scripted.gone.is_set()
        await answer.aclose()
        await asyncio.wait_for(scripted.gone.wait(), 10)

    talk(_says_nothing, work)


def test_a_cancelled_task_closes_the_connection() -> None:
    async def work(client: Client, scripted: Scripted) -> None:
        came = asyncio.Event()

        async def listen() -> None:
            async for _ in client.ask(HELLO):
                came.set()

        task = asyncio.create_task(listen())
        await came.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(scripted.gone.wait(), 10)

    talk(_says_nothing, work)


# -- addresses and keys ---------------------------------------------------------------------------


def test_over_a_unix_socket(tmp_path: Path) -> None:
    async def run() -> str:
        async with server(answers(*PARTS), tmp_path / "s.sock") as scripted:
            client = Client(scripted.address)
            try:
                return text_of(await all_of(client))
            finally:
                await client.aclose()

    assert asyncio.run(run()) == "Hello"


@pytest.mark.parametrize(
    ("text", "url", "socket"),
    [
        ("https://pod.example/v1", "https://pod.example", None),
        ("https://pod.example/v1/", "https://pod.example", None),
        ("https://a.example:8443/proxy/8000", "https://a.example:8443/proxy/8000", None),
        ("127.0.0.1:8000", "http://127.0.0.1:8000", None),
        ("http://[::1]:8000/v1", "http://[::1]:8000", None),
        ("unix:/run/x.sock", "http://localhost", "/run/x.sock"),
        ("unix:///run/x.sock", "http://localhost", "/run/x.sock"),
    ],
)
def test_addresses(text: str, url: str, socket: str | None) -> None:
    assert parse_url(text) == Address(url, socket)


@pytest.mark.parametrize(
    "text",
    [
        *("", "ftp://x", "http://", "http://x:abc", "http://a b", "http://me:key@x"),
        *("http://x?k=1", "unix:", "unix://", "unix:/a\0b"),
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InputError):
        parse_url(text)


def sent_key(monkeypatch: pytest.MonkeyPatch, key: str | None, env: str = "") -> str | None:
    monkeypatch.setenv("QTUI_API_KEY", env)

    async def work(client: Client, scripted: Scripted) -> str | None:
        await client.models()
        return scripted.requests[0].headers.get("authorization")

    found: str | None = talk(answers(whole({"data": []})), work, key=key)
    return found


def test_the_key_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sent_key(monkeypatch, None) is None
    assert sent_key(monkeypatch, None, "abc") == "bearer abc"
    assert sent_key(monkeypatch, "mine", "abc") == "bearer mine"


def test_a_key_that_breaks_the_line_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be sent"):
        Client(Address("http://127.0.0.1:1"), "a\r\nx: y")


@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        ("http://10.0.0.7:8000", True),
        ("http://pod.example", True),
        ("https://pod.example", False),
        ("http://127.0.0.1:8000", False),
        ("http://[::1]:8000", False),
        ("http://localhost:8000", False),
    ],
)
def test_a_key_in_the_clear_is_said(url: str, exposed: bool) -> None:
    assert bool(exposed_key(Address(url), "key")) is exposed
    assert exposed_key(Address(url), None) == ""


def test_a_redirect_is_refused_and_the_key_does_not_follow_it() -> None:
    async def run() -> tuple[QtuiError, int]:
        async with server(answers(whole({"data": []}))) as elsewhere:
            there = elsewhere.address.url
            async with server(answers(whole({}, 307, location=f"{there}/v1/models"))) as first:
                client = Client(first.address, "secret")
                with pytest.raises(ServerError) as caught:
                    await client.models()
                await client.aclose()
            return caught.value, len(elsewhere.requests)

    error, requests = asyncio.run(run())
    assert "sends requests on to" in error.message
    assert requests == 0


def test_no_proxy_stands_between_this_machine_and_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert text_of(asked(answers(*PARTS))) == "Hello"


# -- models and health ----------------------------------------------------------------------------


def test_models() -> None:
    listed = [
        {"id": "base", "parent": None, "max_model_len": 512},
        {"id": "otter", "parent": "base"},
        "rubbish",
    ]
    found = talk(answers(whole({"data": listed})), lambda client, _: client.models())
    assert found == [Model("base", None, 512), Model("otter", "base", None)]
    with pytest.raises(ServerError, match="no model's answer"):
        talk(answers(whole({"models": []})), lambda client, _: client.models())


def test_health_says_why_not() -> None:
    reason = {"status": "dead", "reason": "the GPU was lost"}
    with pytest.raises(ServerError, match="the GPU was lost"):
        talk(answers(whole(reason, 503)), lambda client, _: client.health())
    talk(answers(whole({"status": "ok"})), lambda client, _: client.health())


def test_a_server_without_health_is_asked_for_its_models() -> None:
    async def script(request: Request) -> AsyncIterator[bytes]:
        yield whole({"data": []}) if request.path == "/v1/models" else whole({}, 404)

    talk(script, lambda client, _: client.health())

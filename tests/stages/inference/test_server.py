"""The server as the official `openai` client sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import ValidationError

from qtui.stages.inference.engine import Job
from qtui.stages.inference.server.request_models import ChatRequest
from qtui.stages.inference.server.response_models import (
    ChatChunk,
    ChatCompletion,
    Completion,
    ErrorAnswer,
    Models,
)
from tests.stages.inference.fake_engine import ADAPTER, BASE, SPECIAL, FakeEngine
from tests.stages.inference.fake_server import FakeServer, serving

HELLO = [{"role": "user", "content": "hello you"}]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with serving(FakeEngine()) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: FakeServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def engine_of(server: FakeServer) -> FakeEngine:
    engine = server.service.engine
    assert isinstance(engine, FakeEngine)
    return engine


def last_job(server: FakeServer) -> Job:
    return engine_of(server).jobs[-1]


def test_models_are_listed_with_their_base(server: FakeServer, client: openai.OpenAI) -> None:
    listed = client.models.list().data
    assert [model.id for model in listed] == [BASE, ADAPTER]
    one = client.models.retrieve(ADAPTER)
    assert one.model_extra is not None
    assert (one.model_extra["parent"], one.model_extra["max_model_len"]) == (BASE, 512)
    with server.client() as http:
        Models.model_validate(http.get("/v1/models").json())
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_a_whole_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=ADAPTER, messages=HELLO)
    choice = answer.choices[0]
    assert (choice.message.content, choice.finish_reason) == (
        "quiet-otter heard: hello you",
        "stop",
    )
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 4)
    assert answer.model == ADAPTER


def test_a_streamed_answer_comes_word_by_word(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=BASE, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert texts == ["", f"{BASE} ", "heard: ", "hello ", "you", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.total_tokens, chunks[-1].choices) == (7, [])


def test_every_shape_is_as_documented(server: FakeServer) -> None:
    asked: dict[str, Any] = {"model": BASE, "messages": HELLO, "return_prompt": True}
    text = {"model": BASE, "prompt": "to be", "return_prompt": True}
    with server.client() as http:
        whole = http.post("/v1/chat/completions", json=asked)
        assert ChatCompletion.model_validate(whole.json()).prompt == (
            "<|user|>hello you\n<|assistant|>"
        )
        assert Completion.model_validate(http.post("/v1/completions", json=text).json()).usage
        for path, body, shape in (
            ("/v1/chat/completions", asked, ChatChunk),
            ("/v1/completions", text, Completion),
        ):
            options = {"stream": True, "stream_options": {"include_usage": True}}
            answer = http.post(path, json=body | options)
            assert answer.headers["content-type"].startswith("text/event-stream")
            events = [event for event in answer.text.split("\n\n") if event]
            assert events.pop() == "data: [DONE]"
            chunks = [shape.model_validate_json(event.removeprefix("data: ")) for event in events]
            assert chunks[0].prompt
            assert all(chunk.prompt is None for chunk in chunks[1:])
            assert chunks[-1].usage
            assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)


def test_a_plain_completion(server: FakeServer, client: openai.OpenAI) -> None:
    answer = client.completions.create(model=BASE, prompt=["to be or"], stop=["be"], seed=3)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == (
        f"{BASE} heard: to ",
        "stop",
    )
    assert last_job(server).prompt == "to be or"
    assert last_job(server).sampling.max_tokens == 16
    stream = client.completions.create(model=BASE, prompt="to be", max_tokens=3, stream=True)
    chunks = [chunk.choices[0] for chunk in stream]
    assert "".join(chunk.text for chunk in chunks) == f"{BASE} heard: to "
    assert chunks[-1].finish_reason == "length"


def test_every_setting_reaches_the_engine(server: FakeServer, client: openai.OpenAI) -> None:
    client.chat.completions.create(
        model=BASE,
        messages=[*HELLO, {"role": "assistant", "content": "I "}],
        temperature=0.25,
        top_p=0.5,
        seed=7,
        max_completion_tokens=9,
        max_tokens=5,
        stop=["x", "y", "z", "w", "v"],
        user="somebody",
        n=1,
        presence_penalty=0,
        logprobs=False,
        extra_body={
            "top_k": 4,
            "min_p": 0.1,
            "repetition_penalty": 1.2,
            "ignore_eos": True,
            "skip_special_tokens": False,
            "continue_final_message": True,
        },
    )
    job = last_job(server)
    assert job.continue_final_message
    sampling = job.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (
        0.25,
        0.5,
        4,
        0.1,
    )
    assert (sampling.repetition_penalty, sampling.seed, sampling.max_tokens) == (1.2, 7, 9)
    assert sampling.stop == ("x", "y", "z", "w", "v")
    assert sampling.ignore_eos
    assert not sampling.skip_special_tokens


def test_defaults_are_the_engines_own(server: FakeServer, client: openai.OpenAI) -> None:
    client.chat.completions.create(model=BASE, messages=HELLO, stop="none of it")
    assert last_job(server).sampling == type(last_job(server).sampling)(stop=("none of it",))


def test_special_tokens_and_all_tokens_of_top_k(server: FakeServer, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=BASE, messages=HELLO, extra_body={"skip_special_tokens": False, "top_k": -1}
    )
    assert (answer.choices[0].message.content or "").endswith(SPECIAL)
    assert last_job(server).sampling.top_k == 0


def test_json_of_a_schema(server: FakeServer, client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"said": {"type": "string"}}}
    answer = client.chat.completions.create(
        model=BASE,
        messages=HELLO,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "said", "schema": schema, "strict": True},
        },
    )
    assert json.loads(answer.choices[0].message.content or "") == {"said": "hello you"}
    assert last_job(server).sampling.json_schema == schema
    client.chat.completions.create(
        model=BASE, messages=HELLO, response_format={"type": "json_object"}
    )
    assert last_job(server).sampling.json_schema == {}
    client.chat.completions.create(model=BASE, messages=HELLO, response_format={"type": "text"})
    assert last_job(server).sampling.json_schema is None


def test_messages_come_to_the_template_as_it_expects_them(
    server: FakeServer, client: openai.OpenAI
) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    tool: Any = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    messages: Any = [
        {"role": "developer", "content": "be brief"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}],
        },
        {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None},
        {"role": "tool", "content": "3", "tool_call_id": "1"},
    ]
    client.chat.completions.create(model=BASE, messages=messages, tools=[tool])
    job = last_job(server)
    assert list(job.prompt) == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "one two"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "3", "tool_call_id": "1"},
    ]
    assert list(job.tools) == [tool]
    client.chat.completions.create(model=BASE, messages=messages, tools=[tool], tool_choice="none")
    assert list(last_job(server).tools) == []


def test_errors_are_the_clients_own_exceptions(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nobody", messages=HELLO)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(
            model=BASE, messages=[{"role": "user", "content": "x " * 600}], stream=True
        )
    assert long.value.code == "context_length_exceeded"
    assert "512" in long.value.message


IMAGE = [{"type": "image_url", "image_url": {"url": "data:"}}]


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"n": 2}, "unsupported_parameter", "n"),
        ({"logprobs": True}, "unsupported_parameter", "logprobs"),
        ({"presence_penalty": 0.5}, "unsupported_parameter", "presence_penalty"),
        ({"logit_bias": {"5": 1}}, "unsupported_parameter", "logit_bias"),
        ({"tool_choice": "required"}, "unsupported_parameter", "tool_choice"),
        ({"guided_regex": "a*"}, "unsupported_parameter", "guided_regex"),
        ({"temperature": 3}, "invalid_value", "temperature"),
        ({"temperature": "0.5"}, "invalid_value", "temperature"),
        ({"temperature": True}, "invalid_value", "temperature"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"stop": ["a"] * 17}, "invalid_value", "stop"),
        ({"stop": [""]}, "invalid_value", "stop.0"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": [{"role": "user"}]}, "invalid_value", "messages.0"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "invalid_value", "messages.0.role"),
        ({"messages": [{"role": "user", "content": IMAGE}]}, "unsupported_content", "messages.0"),
        ({"model": None}, "invalid_value", "model"),
        ({"stream_options": {"include_usage": True}}, "invalid_value", None),
        ({"response_format": {"type": "json_schema"}}, "missing_required_parameter",
         "response_format.json_schema"),
        ({"response_format": {"type": "yaml"}}, "invalid_value", "response_format"),
        ({"messages": [{"role": "user", "content": "half \ud800"}]}, "invalid_value", None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    server: FakeServer, change: dict[str, Any], code: str, param: str | None
) -> None:
    body = json.dumps({"model": BASE, "messages": HELLO} | change)
    before = len(engine_of(server).jobs)
    with server.client() as http:
        answer = http.post(
            "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
        )
    error = ErrorAnswer.model_validate(answer.json()).error
    assert (answer.status_code, error.code, error.param) == (400, code, param), error.message
    assert len(engine_of(server).jobs) == before


@pytest.mark.parametrize("prompt", [[1, 2], [[1, 2]], ["a", "b"], [], 5, {"a": 1}])
def test_token_ids_and_several_prompts_are_refused(server: FakeServer, prompt: Any) -> None:
    with server.client() as http:
        answer = http.post("/v1/completions", json={"model": BASE, "prompt": prompt})
    error = ErrorAnswer.model_validate(answer.json()).error
    assert answer.status_code == 400
    assert (error.param or "").startswith("prompt")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "bad_json"),
        (b"", "invalid_value"),
        (b"[]", "invalid_value"),
        (b'"text"', "invalid_value"),
        (b"\xff\xfe", "bad_json"),
        (b'{"seed":' + b"9" * 5000 + b"}", "bad_json"),
        (b'{"temperature": NaN, "model": "m", "messages": []}', "invalid_value"),
        (b"[" * 100_000, "bad_json"),
        (b'{"metadata":[' + b"[]," * 100_000 + b"1]}", "too_complex"),
        (b'{"metadata":{"a":[' + b"1," * 100_000 + b"1]}}", "too_complex"),
        (b"{" + b",".join(b'"k%d":1' % at for at in range(201)) + b"}", "too_complex"),
        (b'{"metadata":' * 900 + b"1" + b"}" * 900, "invalid_value"),
    ],
    ids=[
        "torn",
        "empty",
        "list",
        "text",
        "bytes",
        "number",
        "nan",
        "deep",
        "many",
        "values",
        "fields",
        "deep whole",
    ],
)
def test_malformed_bodies(server: FakeServer, content: bytes, code: str) -> None:
    with server.client() as http:
        answer = http.post(
            "/v1/chat/completions", content=content, headers={"content-type": "application/json"}
        )
    error = ErrorAnswer.model_validate(answer.json()).error
    assert (answer.status_code, error.code) == (400, code), error.message


@pytest.mark.parametrize("name", ["maxTokens", "top k", "k2", "Ünï"])
def test_a_field_that_is_not_known_is_named_however_it_is_written(
    server: FakeServer, name: str
) -> None:
    with server.client() as http:
        body = {"model": BASE, "messages": HELLO, name: 1}
        answer = http.post("/v1/chat/completions", json=body)
    error = ErrorAnswer.model_validate(answer.json()).error
    assert (error.code, error.param) == ("unsupported_parameter", name)
    assert error.message == f"{name} is not known here"


def test_of_a_list_full_of_faults_the_first_is_said(server: FakeServer) -> None:
    """And only that one is looked for: all of them took seconds, in which nobody was answered."""
    body = {"model": BASE, "messages": [{"q": 1}] * 9_000}
    with pytest.raises(ValidationError) as faults:
        ChatRequest.model_validate(body)
    assert faults.value.error_count() < 10
    parts = [{"role": "user", "content": [{"q": 1}] * 9_000}]
    with pytest.raises(ValidationError) as faults:
        ChatRequest.model_validate({"model": BASE, "messages": parts})
    assert faults.value.error_count() < 10
    with server.client() as http:
        answer = http.post("/v1/chat/completions", json=body)
    assert ErrorAnswer.model_validate(answer.json()).error.param == "messages.0.role"


def test_wrong_places_and_methods(server: FakeServer) -> None:
    with server.client() as http:
        for method, path, status in (
            ("GET", "/v2/models", 404),
            ("GET", "/v1/chat/completions", 405),
            ("DELETE", "/v1/models", 405),
            ("POST", "/nowhere", 404),
            ("GET", "/docs/../../etc/passwd", 404),
        ):
            answer = http.request(method, path)
            ErrorAnswer.model_validate(answer.json())
            assert answer.status_code == status, (method, path)


def test_the_async_client_and_many_at_once(server: FakeServer) -> None:
    async def ask(client: openai.AsyncOpenAI, number: int) -> str:
        stream = await client.chat.completions.create(
            model=BASE, messages=[{"role": "user", "content": f"number {number}"}], stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="none", max_retries=0
        ) as client:
            return list(await asyncio.gather(*(ask(client, number) for number in range(20))))

    assert asyncio.run(all_of_them()) == [f"{BASE} heard: number {n}" for n in range(20)]


def test_over_a_unix_socket(tmp_path: Path) -> None:
    with serving(FakeEngine(), tmp_path, socket=True) as server:
        assert server.socket == str(tmp_path / "serve.sock")
        with server.client() as http:
            client = openai.OpenAI(
                base_url=f"{server.url}/v1", api_key="none", http_client=http, max_retries=0
            )
            answer = client.chat.completions.create(model=BASE, messages=HELLO)
    assert answer.choices[0].message.content == f"{BASE} heard: hello you"
    assert not (tmp_path / "serve.sock").exists()


def test_the_pages_need_nothing_from_elsewhere(server: FakeServer) -> None:
    with server.client() as http:
        page = http.get("/docs")
        document = http.get("/openapi.json").json()
    assert "/v1/chat/completions" in page.text
    assert "<script" not in page.text
    assert "http:" not in page.text
    assert "https:" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert set(document["paths"]) == {
        "/v1/models", "/v1/models/{id}", "/v1/chat/completions", "/v1/completions", "/health",
        "/metrics",
    }  # fmt: skip
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "422" not in operation["responses"]
    chat = document["components"]["schemas"]["ChatRequest"]
    assert chat["additionalProperties"] is False
    assert "description" in chat["properties"]["return_prompt"]

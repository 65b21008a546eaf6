"""The routes: OpenAI's models, chat completions and completions; health, figures, documentation.

FastAPI checks bodies against `request_models` and writes the OpenAPI document; `gate` stands
before it, `answering` makes the answers. FastAPI's own documentation pages would load scripts from
somebody else's server, so `/docs` is a plain page of ours.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from qtui.config.serve import ServeConfig
from qtui.errors import QtuiError
from qtui.stages.inference.engine import Engine, Job, Served, unknown_model
from qtui.stages.inference.server import chunks, openapi
from qtui.stages.inference.server import response_models as answers_as
from qtui.stages.inference.server.answering import Answering
from qtui.stages.inference.server.answers import Answers
from qtui.stages.inference.server.docs_page import docs_page
from qtui.stages.inference.server.doors import Doors
from qtui.stages.inference.server.errors import ApiError, Refusal, invalid, refusal
from qtui.stages.inference.server.gate import BODY_SECONDS, Gate
from qtui.stages.inference.server.measures import Measures
from qtui.stages.inference.server.request_log import RequestLog
from qtui.stages.inference.server.request_models import (
    UNSUPPORTED,
    ChatRequest,
    CompletionRequest,
)
from qtui.stages.inference.server.trace import Trace, trace_of


@dataclass
class Service:
    """A server's parts: `asgi` is what is run, the rest is for whoever runs it."""

    engine: Engine
    config: ServeConfig
    doors: Doors = field(default_factory=Doors)
    log: RequestLog | None = None
    body_seconds: float = BODY_SECONDS

    def __post_init__(self) -> None:
        self.created = int(time.time())
        self.answers = Answers(
            self.engine,
            max_concurrent=self.config.max_concurrent,
            max_queue=self.config.max_queue,
        )
        self.measures = Measures(self.answers)
        self.api = _api(self)
        self.asgi = Gate(
            self.api,
            doors=self.doors,
            max_body_bytes=self.config.max_body_bytes,
            route_of=_route_of,
            noted=self._noted,
            contents=self.config.log_contents,
            body_seconds=self.body_seconds,
        )

    def _noted(self, trace: Trace) -> None:
        self.measures.note(trace, frozenset(model.id for model in self.engine.models()))
        if self.log is not None and trace.route.startswith("/v1/"):
            self.log.write(trace.line())


def _route_of(path: str) -> str:
    if path.startswith("/v1/models/"):
        return "/v1/models/{id}"
    known = path in _PATHS
    return path if known else ""


_PATHS = frozenset(
    {
        "/v1/models",
        "/v1/chat/completions",
        "/v1/completions",
        "/health",
        "/metrics",
        "/openapi.json",
        "/docs",
    }
)


def _api(service: Service) -> FastAPI:
    api = FastAPI(
        title="qtui",
        description="An OpenAI-compatible server of one base model and its adapters.",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    api.openapi_version = openapi.VERSION
    _handle_errors(api)
    _add_routes(api, service)
    return api


def _add_routes(api: FastAPI, service: Service) -> None:
    answers = service.answers

    @api.get(
        "/v1/models",
        response_model=answers_as.Models,
        responses=openapi.errors(*openapi.AT_THE_DOOR),
    )
    async def models() -> Response:
        """The models that requests may name."""
        data = [_described(model, service.created) for model in service.engine.models()]
        return JSONResponse({"object": "list", "data": data})

    @api.get(
        "/v1/models/{id:path}",
        response_model=answers_as.Model,
        responses=openapi.errors(*openapi.AT_THE_DOOR, 404),
    )
    async def model(id: str) -> Response:
        """One of them."""
        served = service.engine.models()
        for each in served:
            if each.id == id:
                return JSONResponse(_described(each, service.created))
        raise unknown_model(id, [each.id for each in served])

    @api.post(
        "/v1/chat/completions",
        response_model=answers_as.ChatCompletion,
        responses=openapi.errors(*openapi.OF_BODIES) | openapi.streamed(answers_as.ChatChunk),
    )
    async def chat(body: ChatRequest, request: Request) -> Response:
        """Go on with a conversation."""
        trace_of(request.scope).model = body.model
        tools = body.tools if body.tool_choice != "none" else None
        job = Job(
            model=body.model,
            prompt=[message.for_template() for message in body.messages],
            sampling=body.sampling(body.answer_tokens),
            tools=[tool.model_dump(exclude_none=True) for tool in tools or ()],
            continue_final_message=bool(body.continue_final_message),
        )
        return _answering(body, job, chunks.CHAT)

    @api.post(
        "/v1/completions",
        response_model=answers_as.Completion,
        responses=openapi.errors(*openapi.OF_BODIES) | openapi.streamed(answers_as.Completion),
    )
    async def complete(body: CompletionRequest, request: Request) -> Response:
        """Go on with a text."""
        trace_of(request.scope).model = body.model
        job = Job(body.model, body.text, body.sampling(body.answer_tokens))
        return _answering(body, job, chunks.TEXT)

    def _answering(
        body: ChatRequest | CompletionRequest, job: Job, shape: chunks.Shape
    ) -> Answering:
        options = body.stream_options
        return Answering(
            answers,
            job,
            shape,
            stream=bool(body.stream),
            usage=bool(options and options.include_usage),
            return_prompt=bool(body.return_prompt),
        )

    @api.get(
        "/health",
        response_model=answers_as.Health,
        responses=openapi.errors(403, 421) | openapi.unhealthy(),
    )
    async def health() -> Response:
        """Whether requests are answered; the one route that never asks for the key."""
        if trouble := service.engine.trouble():
            return JSONResponse({"status": "gone", "reason": trouble}, 503)
        if answers.stopping:
            return JSONResponse({"status": "stopping", "reason": "the server is stopping"}, 503)
        return JSONResponse({"status": "ok"})

    @api.get(
        "/metrics",
        response_class=Response,
        responses=openapi.errors(*openapi.AT_THE_DOOR)
        | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(service.measures.text(), media_type="text/plain; version=0.0.4")

    @api.get("/openapi.json", include_in_schema=False)
    async def description() -> Response:
        return JSONResponse(openapi.document(api))

    @api.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        rules = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(docs_page(openapi.document(api)), headers=rules)


def _described(model: Served, created: int) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": created,
        "owned_by": "qtui",
        "parent": model.base,
        "root": model.root,
        "max_model_len": model.max_context,
    }


def _handle_errors(api: FastAPI) -> None:
    @api.exception_handler(RequestValidationError)
    async def bad_request(request: Request, error: RequestValidationError) -> Response:
        return _noted(request, invalid(error.errors(), UNSUPPORTED))

    @api.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        codes = {404: "not_found", 405: "method_not_allowed", 400: "bad_json"}
        code = codes.get(error.status_code, "invalid_request")
        message = {
            404: f"there is no {request.url.path[:100]} here; /docs has what there is",
            405: f"{request.method} is not possible there",
            400: "the body is not JSON that can be read",
        }.get(error.status_code, str(error.detail))
        headers = dict(error.headers or {})
        return _noted(request, Refusal(error.status_code, message, code, headers=headers))

    @api.exception_handler(ApiError)
    @api.exception_handler(QtuiError)
    @api.exception_handler(Exception)
    async def refused(request: Request, error: Exception) -> Response:
        return _noted(request, refusal(error))


def _noted(request: Request, answer: Refusal) -> Response:
    trace_of(request.scope).error = answer.code
    return _response(answer)


def _response(answer: Refusal) -> Response:
    return Response(
        answer.body, answer.status, headers=dict(answer.headers), media_type="application/json"
    )

"""What the OpenAPI document says beyond what FastAPI finds out itself: errors, streams, the key."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from qtui.stages.inference.server import response_models as answers_as

VERSION = "3.2.0"
"""The first version that can describe the events of a stream."""

_MEANINGS = {
    400: "Something in the request is wrong, unknown or not supported",
    401: "The key is missing or wrong",
    403: "The web page that asks is not allowed to",
    404: "No such model",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "The body is not declared as JSON",
    421: "The server is not called that",
    429: "All places are taken; `Retry-After` says for how long",
    500: "The engine failed",
    503: "The engine has died, or the server stops",
}
AT_THE_DOOR = (401, 403, 421)
OF_BODIES = (400, *AT_THE_DOOR, 404, 408, 413, 415, 429, 500, 503)

_OF_FASTAPI = ("HTTPValidationError", "ValidationError")
_SCHEMAS = "#/components/schemas/{model}"
_EVENTS = (answers_as.ChatChunk, answers_as.Completion)

Responses = dict[int | str, dict[str, Any]]


def errors(*statuses: int) -> Responses:
    """The errors of a route."""
    return {
        status: {"model": answers_as.ErrorAnswer, "description": _MEANINGS[status]}
        for status in statuses
    }


def unhealthy() -> Responses:
    """What `/health` says of a server that answers nothing."""
    return {503: {"model": answers_as.Health, "description": _MEANINGS[503]}}


def streamed(event: type[answers_as.ChatChunk] | type[answers_as.Completion]) -> Responses:
    """The events of an answer with `stream`."""
    shapes = [event.__name__, answers_as.ErrorAnswer.__name__]
    schema = {"anyOf": [{"$ref": _SCHEMAS.format(model=shape)} for shape in shapes]}
    data = {
        "type": "string",
        "description": f"A {shapes[0]}; where an error ends the stream, an {shapes[1]}; at the end "
        "`[DONE]`.",
        "anyOf": [
            {"const": "[DONE]"},
            {"contentMediaType": "application/json", "contentSchema": schema},
        ],
    }
    item = {"type": "object", "required": ["data"], "properties": {"data": data}}
    return {200: {"content": {"text/event-stream": {"itemSchema": item}}}}


def document(api: FastAPI) -> dict[str, Any]:
    """The document. Bad bodies are answered with 400, as OpenAI does, never with FastAPI's 422."""
    made = api.openapi()
    schemas = made["components"]["schemas"]
    for path in made["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    for name in _OF_FASTAPI:
        schemas.pop(name, None)
    events = [(event, "serialization") for event in _EVENTS]
    _, found = models_json_schema(events, ref_template=_SCHEMAS)  # type: ignore[arg-type]
    schemas |= {name: schema for name, schema in found["$defs"].items() if name not in schemas}
    made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    made["security"] = [{"key": []}, {}]
    made["paths"]["/health"]["get"]["security"] = []
    return made

"""`/docs`: the OpenAPI document as one page without scripts and without anything from elsewhere."""

from __future__ import annotations

import json
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #8884;padding:.3rem;"
    "text-align:left;vertical-align:top}code{font-family:ui-monospace,monospace}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}}"
)


def docs_page(document: dict[str, Any]) -> str:
    """The page for an OpenAPI `document`."""
    schemas = document["components"]["schemas"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{escape(document['info']['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{escape(document['info']['title'])}</h1>",
        f"<p>{escape(document['info']['description'])} <code>/openapi.json</code> is the same for "
        "programs.</p>",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(operation.get('description', ''))}</p>")
            if body := operation.get("requestBody"):
                schema = body["content"]["application/json"]["schema"]
                parts.append(_fields(_followed(schema, schemas), schemas))
            parts.append(_responses(operation["responses"]))
    return "".join(parts)


def _fields(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        f"<tr><td><code>{escape(name)}</code>{' *' if name in required else ''}"
        f"<td><code>{escape(_kind(field, schemas))}</code>"
        f"<td>{escape(field.get('description', ''))}"
        for name, field in schema["properties"].items()
    ]
    return f"<table><tr><th>field<th>values<th>meaning{''.join(rows)}</table><p>* required</p>"


def _responses(responses: dict[str, Any]) -> str:
    rows = [
        f"<tr><td>{escape(str(status))}<td>{escape(answer.get('description', ''))}"
        for status, answer in responses.items()
    ]
    return f"<table><tr><th>status<th>meaning{''.join(rows)}</table>"


def _followed(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    return schema


def _kind(field: dict[str, Any], schemas: dict[str, Any]) -> str:
    """What a field may be, in few words."""
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2])
    if choices := field.get("anyOf") or field.get("oneOf"):
        kinds = [_kind(choice, schemas) for choice in choices if choice.get("type") != "null"]
        return " or ".join(kinds)
    if "enum" in field or "const" in field:
        values = field.get("enum", [field.get("const")])
        return " | ".join(json.dumps(value) for value in values)
    kind = str(field.get("type", "any"))
    if kind == "array":
        return f"list of {_kind(field.get('items', {}), schemas)}"
    signs = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
    return " ".join([kind, *(f"{sign} {field[key]}" for key, sign in signs if key in field)])

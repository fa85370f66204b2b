"""GET /api/v1/openapi.json: the table of routes and the fields of its messages as OpenAPI 3.1, and nothing by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import orjson

from protocol.errors import ERRORS, Code
from protocol.fields import Field, Schema
from protocol.hive import HTTP_STATUSES, IDEMPOTENCY_KEY_LENGTH_MAX, KEY_PREFIX
from protocol.hive_fields import ListOf, One, OrNull, Several
from protocol.records import FieldSpec, Record, Records
from vault_server.web.hive.examples import error_example, request_example, response_example
from vault_server.web.hive.reading import HEADER
from vault_server.web.hive.routes import BASE, GROUPS, ROUTES, Route
from vault_server.web.hive.shapes import described, shown, taken

TITLE = "The hive"
ABOUT = (
    "Agents look for tasks, bid for them, deliver, and are paid when the poster accepts. Every response has the same"
    " envelope: `ok`, `data` or `error`, and `meta`. The socket /hive takes the same operations under the same names."
)
META: Mapping[str, Schema] = {
    "timestamp": {"type": "string", "format": "date-time"},
    "request_id": {"type": "string", "pattern": "^req_[0-9a-f]{24}$"},
}
PAGE_META: Mapping[str, Schema] = {
    "cursor": {"type": ["string", "null"], "description": "send it to get the next page; null: this was the last"},
    "has_more": {"type": "boolean"},
    "count": {"type": "integer", "minimum": 0, "description": "entries in this response"},
}
_HEADERS: Mapping[str, Schema] = {
    "X-RateLimit-Limit": {
        "description": "requests that fit the window",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "X-RateLimit-Remaining": {
        "description": "requests that are left",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-RateLimit-Reset": {
        "description": "when the oldest request leaves the window, in unix seconds",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
}
_MORE_HEADERS: Mapping[str, Schema] = {
    "WWW-Authenticate": {"required": True, "schema": {"type": "string"}},
    "Retry-After": {"description": "seconds", "required": True, "schema": {"type": "integer", "minimum": 0}},
    "X-Idempotency-Replayed": {
        "description": "`true` when this is the reply that the idempotency key got before",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
_LIMITS = tuple(_HEADERS)
_SPECIAL: Mapping[HTTPStatus, tuple[str, ...]] = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate",),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After",),
}
"""Headers that come with a status, beside those of the limit."""


@cache
def text() -> bytes:
    """The document as it is served."""
    return orjson.dumps(document())


def document() -> dict[str, Any]:
    """The document."""
    paths: dict[str, dict[str, Any]] = {}
    for group, routes in GROUPS.items():
        for route in routes:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, group)
    refusals = [each for route in ROUTES for each in _by_status(route.codes()).items()]
    records = {kind.__name__: kind for route in ROUTES for kind in _records_of(route)}
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": version("vault-server"), "description": ABOUT},
        "servers": [{"url": BASE}],
        "security": [{"key": []}],
        "tags": [{"name": group} for group in GROUPS],
        "paths": paths,
        "components": {
            "schemas": {
                **{name: _record(kind) for name, kind in sorted(records.items())},
                "Meta": _object(META),
                "PageMeta": _object({**META, **PAGE_META}),
            },
            "headers": {**_HEADERS, **_MORE_HEADERS},
            "responses": {_named(codes): _refusal(status, codes) for status, codes in refusals},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": f"an agent's API key: {KEY_PREFIX} and 64 hex digits, told once to its operator",
                }
            },
        },
    }


def _object(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


def _record(kind: type[Record]) -> Schema:
    """Only what a request's list of records holds is sent by others."""
    is_taken = any(isinstance(s.field, Records) and s.field.kind is kind for r in ROUTES for s in r.given())
    schema = (taken if is_taken else shown)(kind.FIELDS)
    return {**schema, "description": (kind.__doc__ or "").strip()}


def _records_of(route: Route) -> Iterator[type[Record]]:
    for spec in (*route.order.SHAPE.fields, *route.reply.SHAPE.fields):
        yield from _inside(spec.field)


def _inside(field: Field) -> Iterator[type[Record]]:
    if isinstance(field, One | Several | Records):
        yield field.kind
        for spec in field.kind.FIELDS:
            yield from _inside(spec.field)
    elif isinstance(field, ListOf | OrNull):
        yield from _inside(field.kind)


def _operation(route: Route, group: str) -> dict[str, Any]:
    purpose = (route.order.__doc__ or "").strip()
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [group],
        "summary": purpose.partition("\n")[0],
        "description": purpose,
        "parameters": [*_parameters(route)],
        "responses": {str(int(status)): response for status, response in _responses(route)},
    }
    if route.method in ("POST", "PATCH"):
        operation["requestBody"] = _body(route)
    return operation


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    for spec in route.order.SHAPE.fields:
        if spec.name in route.in_path:
            yield {"name": spec.name, "in": "path", "required": True, "schema": spec.field.schema()}
    if route.method == "GET":
        for spec in route.given():
            yield _query(spec)
    if route.takes_key:
        yield {
            "name": HEADER,
            "in": "header",
            "required": False,
            "description": "the same request again gets the same reply for a day, and nothing is done twice",
            "schema": {"type": "string", "pattern": f"^[!-~](?:[ -~]{{0,{IDEMPOTENCY_KEY_LENGTH_MAX - 2}}}[!-~])?$"},
        }


def _query(spec: FieldSpec) -> dict[str, Any]:
    schema = described(FieldSpec(spec.name, spec.field, optional=False))  # a URL has no null
    return {
        "name": spec.name,
        "in": "query",
        "required": not spec.optional,
        "description": schema.pop("description", ""),
        "schema": schema,
    }


def _body(route: Route) -> dict[str, Any]:
    given = route.given()
    content: dict[str, Any] = {"schema": taken(given)}
    if given:
        content["example"] = request_example(route)
    return {"required": any(not spec.optional for spec in given), "content": {"application/json": content}}


def _responses(route: Route) -> Iterator[tuple[HTTPStatus, dict[str, Any]]]:
    meta = "PageMeta" if route.shape.lines else "Meta"
    success = _object(
        {
            "ok": {"const": True},
            "data": route.shape.schema(route.reply),
            "meta": {"$ref": f"#/components/schemas/{meta}"},
        }
    )
    headers = (*_LIMITS, "X-Idempotency-Replayed") if route.takes_key else _LIMITS
    yield route.status, _response((route.reply.__doc__ or "").strip(), success, headers, response_example(route))
    for status, codes in sorted(_by_status(route.codes()).items()):
        yield status, {"$ref": f"#/components/responses/{_named(codes)}"}


def _named(codes: Sequence[Code]) -> str:
    """A refusal's name among the components: many routes share it."""
    return ".".join(code.value for code in codes)


def _by_status(codes: Iterable[Code]) -> dict[HTTPStatus, list[Code]]:
    statuses = {HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: [Code.TOO_LARGE]}
    for code in codes:
        statuses.setdefault(HTTPStatus(HTTP_STATUSES[code]), []).append(code)
    return statuses


def _refusal(status: HTTPStatus, codes: Sequence[Code]) -> dict[str, Any]:
    error = _object(
        {
            "code": {"type": "string", "enum": [code.value for code in codes]},
            "message": {"type": "string"},
            "suggestion": {"type": "string"},
            "retryable": {"type": "boolean"},
        }
    )
    error["properties"]["retry_after_ms"] = {"type": "integer", "minimum": 0}
    schema = _object({"ok": {"const": False}, "error": error, "meta": {"$ref": "#/components/schemas/Meta"}})
    meanings = "\n".join(f"* `{code}`: {ERRORS[code].meaning}" for code in codes)
    return _response(meanings, schema, (*_LIMITS, *_SPECIAL.get(status, ())), error_example(codes[0]))


def _response(description: str, schema: Schema, headers: Iterable[str], example: Any) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": {"application/json": {"schema": schema, "example": example}},
    }

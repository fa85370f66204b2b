"""Refusals over HTTP: code, message and suggestion as on every other door, and the status that goes with them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from protocol.errors import ERRORS, Code, MessageError

logger = structlog.get_logger()

PATH_SHOWN = 100
"""Characters of a stranger's path that are worth showing."""

NEVER_STORE = {"Cache-Control": "no-store"}


def body(refusal: MessageError, **more: Any) -> dict[str, Any]:
    """What a refusal looks like; `more` names what only this door has to say."""
    shown: dict[str, Any] = {
        "code": refusal.code.value,
        "message": refusal.message,
        "suggestion": refusal.suggestion,
        "retryable": ERRORS[refusal.code].retryable,
    }
    if refusal.retry_after_ms is not None:
        shown["retry_after_ms"] = refusal.retry_after_ms
    return shown | more


def refuse(
    status: HTTPStatus, refusal: MessageError, headers: Mapping[str, str] = NEVER_STORE, **more: Any
) -> Response:
    """A refusal as a response."""
    later = {}
    if refusal.retry_after_ms is not None:
        later["Retry-After"] = str(math.ceil(refusal.retry_after_ms / 1000))
    return JSONResponse(body(refusal, **more), status, {**NEVER_STORE, **headers, **later})


def raw(status: HTTPStatus, refusal: MessageError) -> bytes:
    """The same for a peer that has not managed to send a request; the connection ends with it."""
    content = json.dumps(body(refusal)).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content


async def on_http_exception(request: Request, error: Exception) -> Response:
    """What the router refuses: a path or a method that is not there."""
    assert isinstance(error, HTTPException), "registered for these alone"
    path = request.url.path[:PATH_SHOWN]
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "")
        return refuse(
            HTTPStatus.METHOD_NOT_ALLOWED,
            MessageError(
                Code.METHOD_NOT_ALLOWED, f"{request.method[:PATH_SHOWN]} is not for {path}.", f"Use {allowed}."
            ),
            error.headers or {},
        )
    return refuse(
        HTTPStatus.NOT_FOUND,
        MessageError(
            Code.PATH_NOT_FOUND,
            f"There is nothing at {path}.",
            "Look at /healthz, /readyz or /metrics; clients and solvers connect to the WebSocket port.",
        ),
    )


async def on_defect(request: Request, error: Exception) -> Response:
    """What a route should not have raised. The operator is told, the caller learns nothing of it."""
    logger.error("http.failed", path=request.url.path[:PATH_SHOWN], exc_info=error)
    return refuse(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        MessageError(Code.INTERNAL, "The server has a defect.", "Try again; if it stays, tell the operator the time."),
    )

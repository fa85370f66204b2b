"""What wraps every response of /api/v1 (specs §6): `ok`, `data` or `error`, and `meta`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from protocol.errors import MessageError
from protocol.hive import HTTP_STATUSES
from protocol.hive_fields import instant_text
from vault_server.clock import Clock
from vault_server.web import refusals

MEDIA_TYPE = "application/json"
REQUEST_ID_BYTES = 12
CHALLENGE = 'Bearer realm="hive"'


class Envelopes:
    """Makes them, each with the time and an id of its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def success(self, status: HTTPStatus, data: Any, page: Mapping[str, Any]) -> Response:
        """What was asked for; `page`: what a list adds to `meta`."""
        return _response(status, {"ok": True, "data": data, "meta": {**self._meta(), **page}}, {})

    def failure(
        self, refusal: MessageError, headers: Mapping[str, str] | None = None, status: HTTPStatus | None = None
    ) -> Response:
        """Why not. Without `status` it is that of the refusal's code."""
        status = status or HTTPStatus(HTTP_STATUSES.get(refusal.code, HTTPStatus.INTERNAL_SERVER_ERROR))
        more = dict(headers or {})
        if refusal.retry_after_ms is not None:
            more["Retry-After"] = str(math.ceil(refusal.retry_after_ms / 1000))
        if status is HTTPStatus.UNAUTHORIZED:
            more["WWW-Authenticate"] = CHALLENGE
        return _response(status, {"ok": False, "error": refusals.body(refusal), "meta": self._meta()}, more)

    def _meta(self) -> dict[str, str]:
        request_id = f"req_{self._clock.random_bytes(REQUEST_ID_BYTES).hex()}"
        return {"timestamp": instant_text(self._clock.now_ms()), "request_id": request_id}


def _response(status: HTTPStatus, body: dict[str, Any], headers: Mapping[str, str]) -> Response:
    return Response(orjson.dumps(body), status, {**refusals.NEVER_STORE, **headers}, MEDIA_TYPE)

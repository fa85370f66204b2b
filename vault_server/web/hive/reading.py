"""A request to /api/v1 as the message it stands for. What does not fit is refused by its name; nothing is guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from starlette.requests import Request

from protocol.envelope import Message
from protocol.errors import Code, MessageError
from protocol.fields import INTEGER_MAX, Integer
from protocol.hive import IDEMPOTENCY_KEY_LENGTH_MAX, told_as
from protocol.hive_json import from_json
from protocol.records import FieldSpec
from vault_server.web.hive.routes import IDEMPOTENCY_KEY, Route

HEADER = "Idempotency-Key"
NAME_SHOWN = 40
"""Characters of a stranger's name that are worth showing."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})")
_NO_BODY = frozenset({"GET", "HEAD", "DELETE"})


async def order_of(request: Request, route: Route, body_bytes_max: int) -> Message:
    """The message. Raises MessageError under the codes that the hive has for it."""
    held: dict[str, Any] = {**_of_path(request, route)}
    query = _of_query(request, route)
    body = await _of_body(request, route, body_bytes_max)
    if route.takes_key and (key := _idempotency_key(request)) is not None:
        held[IDEMPOTENCY_KEY] = key
    try:
        return from_json(route.order, {**query, **body, **held})
    except MessageError as error:
        raise told_as(error, asks=route.is_question) from None


def _of_path(request: Request, route: Route) -> dict[str, int]:
    held = {}
    for spec in route.order.SHAPE.fields:
        if spec.name in route.in_path:
            try:
                held[spec.name] = spec.field.parse(spec.name, _read(spec, request.path_params[spec.name]), False)
            except MessageError as error:
                raise _unusable(f"The {spec.name} in the path is no id.", error.suggestion) from None
    return held


def _of_query(request: Request, route: Route) -> dict[str, Any]:
    """Parameters by their names; each may be given once."""
    given = {spec.name: spec for spec in route.given()} if route.method == "GET" else {}
    held: dict[str, Any] = {}
    for name, text in _pairs(request.scope["query_string"]):
        if name not in given:
            raise _unusable(
                f"There is no query parameter {name[:NAME_SHOWN]!a}.", f"The parameters are {_listed(given)}."
            )
        if name in held:
            raise _unusable(f"The query parameter {name!r} is given twice.", "Give it once.")
        held[name] = _read(given[name], text)
    return held


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict")
    except ValueError:
        raise _unusable("The query is not UTF-8, percent-encoded.", "Encode it as RFC 3986 says.") from None


def _read(spec: FieldSpec, text: str) -> str | int:
    """Text of a URL as the field's kind of value; what is no number is left for the field to refuse."""
    return int(text) if isinstance(spec.field, Integer) and _NUMBER.fullmatch(text) else text


async def _of_body(request: Request, route: Route, bytes_max: int) -> Mapping[str, Any]:
    content = await _content(request, bytes_max)
    if not content:
        return {}
    if route.method in _NO_BODY:
        raise MessageError(
            Code.INVALID_PARAMETER if route.is_question else Code.VALIDATION_ERROR,
            f"{route.method} {route.path} takes no body.",
            "Send none." if not route.is_question else "Send parameters in the query.",
        )
    _check_media_type(request)
    body = _object(content)
    given = {spec.name: spec for spec in route.given()}
    if unknown := body.keys() - given.keys():
        name = min(unknown)
        beside = f" An idempotency key is the header {HEADER}." if name == IDEMPOTENCY_KEY else ""
        raise _invalid(f"There is no field {name[:NAME_SHOWN]!a}.", f"The fields are {_listed(given)}.{beside}")
    return body


async def _content(request: Request, bytes_max: int) -> bytes:
    """The body. One that is too large is read a little further, so that its sender gets to read the refusal."""
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > 2 * bytes_max:
        raise _too_large(bytes_max)
    content = bytearray()
    read = 0
    async for part in request.stream():
        read += len(part)
        if read <= bytes_max:
            content += part
        elif read > 2 * bytes_max:
            raise _too_large(bytes_max)
    if read > bytes_max:
        raise _too_large(bytes_max)
    return bytes(content)


def _check_media_type(request: Request) -> None:
    given = request.headers.get("content-type", "")
    kind, _, parameters = given.partition(";")
    charset = parameters.replace(" ", "").lower()
    if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8", 'charset="utf-8"'):
        raise _invalid(f"The Content-Type is {given[:NAME_SHOWN]!a}.", "Send JSON with Content-Type: application/json.")


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(
            content.decode(), object_pairs_hook=_each_once, parse_float=_number, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        raise _invalid("The body is not UTF-8.", "Send JSON in UTF-8.") from None
    except RecursionError:
        raise _invalid("The body nests too deep.", "Send a JSON object of plain fields.") from None
    except ValueError:
        raise _invalid("The body is no JSON.", "Send a JSON object.") from None
    if not isinstance(body, dict):
        raise _invalid(f"The body is a JSON {type(body).__name__}, not an object.", "Send a JSON object.")
    return body


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        seen: set[str] = set()  # a set: there may be as many names as fit into a body
        for name, _ in pairs:
            if name in seen:
                raise _invalid(f"The field {name[:NAME_SHOWN]!a} is given twice.", "Give it once.")
            seen.add(name)
    return held


def _number(text: str) -> int | float:
    """10.0 is the integer 10, as JSON Schema has it and some languages write it."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) <= INTEGER_MAX else number


def _no_constant(constant: str) -> NoReturn:
    raise _invalid(f"{constant} is no JSON.", "Send a number, or null.")


def _idempotency_key(request: Request) -> str | None:
    keys = request.headers.getlist(HEADER)
    if not keys:
        return None
    if len(keys) > 1:
        raise _unusable(f"The header {HEADER} is given twice.", "Give it once.")
    key = keys[0]
    if not (1 <= len(key) <= IDEMPOTENCY_KEY_LENGTH_MAX and key.isascii() and key.isprintable()):
        raise MessageError(
            Code.IDEMPOTENCY_KEY_TOO_LONG,
            f"The header {HEADER} has {len(key)} characters, or some that ASCII cannot print.",
            f"Send 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} printable ASCII characters, such as a UUID.",
        )
    return key


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _unusable(message: str, suggestion: str) -> MessageError:
    return MessageError(Code.INVALID_PARAMETER, message, suggestion)


def _invalid(message: str, suggestion: str) -> MessageError:
    return MessageError(Code.VALIDATION_ERROR, message, suggestion)


def _too_large(bytes_max: int) -> MessageError:
    return MessageError(
        Code.TOO_LARGE, f"The body has more than {bytes_max} bytes.", "Send less (hive_body_bytes_max)."
    )

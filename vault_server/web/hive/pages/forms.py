"""Forms as browsers send them, turned into the messages that every other door has too."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs

from starlette.requests import Request

from protocol.envelope import Message
from protocol.errors import Code, MessageError
from protocol.fields import Choice, Field, Integer
from protocol.hive import QUESTIONS, told_as
from protocol.hive_fields import Instant, Link, ListOf, OrNull, Prose
from protocol.hive_json import from_json
from protocol.records import FieldSpec
from vault_server.web.hive.pages import advice
from vault_server.web.hive.pages.visit import Typed

M = TypeVar("M", bound=Message)

MEDIA_TYPE = "application/x-www-form-urlencoded"
FIELDS_MAX = 100
BINDING_FIELD = "form_token"
SECRET_FIELDS = frozenset({"password"})
"""Never shown again."""

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(\.\d{1,3})?")


class BadForm(Exception):
    """What was typed is no message: the refusal, and what is wrong with which field."""

    def __init__(self, refusal: MessageError, wrong: Mapping[str, str]) -> None:
        super().__init__(refusal)
        self.refusal = refusal
        self.wrong = wrong


async def read(request: Request, bytes_max: int) -> Typed:
    """A form's fields. Raises MessageError(TOO_LARGE, VALIDATION_ERROR)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise MessageError(Code.VALIDATION_ERROR, "This is no form.", f"Send {MEDIA_TYPE}, as a page's form does.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise MessageError(
                Code.TOO_LARGE, f"The form has more than {bytes_max} bytes.", "Write less (hive_body_bytes_max)."
            )
    try:
        text = body.decode("ascii")
        return parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise MessageError(
            Code.VALIDATION_ERROR, "This form cannot be read.", "Send it from its page, in UTF-8."
        ) from None


def shown_again(typed: Typed) -> Typed:
    """What may be shown to whoever typed it."""
    return {name: values for name, values in typed.items() if name not in SECRET_FIELDS | {BINDING_FIELD}}


def order_of(cls: type[M], typed: Typed, path: Mapping[str, int], needed: Collection[str] = ()) -> M:
    """The message that a form stands for; `path`: its fields that the address holds; `needed`: those that the message
    may lack, but not the form. Raises BadForm.
    """
    body: dict[str, Any] = {name: values[0] for name, values in typed.items() if name not in cls.SHAPE.names}
    body |= path
    wrong: dict[str, str] = {}
    first: MessageError | None = None
    for spec in cls.SHAPE.fields:
        if spec.name in path:
            continue
        try:
            body |= _given(spec, typed)
            _try(spec, body, may_lack=spec.optional and spec.name not in needed)
        except MessageError as refusal:
            wrong[spec.name] = _needs(spec, may_lack=spec.optional and spec.name not in needed)
            first = first or refusal
    if first is not None:
        whole = MessageError(first.code, advice.not_yet_right(*wrong), advice.EACH_FIELD)
        raise BadForm(told_as(whole, asks=cls in QUESTIONS), wrong)
    try:
        return from_json(cls, body)
    except MessageError as refusal:
        raise BadForm(told_as(refusal, asks=cls in QUESTIONS), {}) from None


def _given(spec: FieldSpec, typed: Typed) -> dict[str, Any]:
    """A field's value as JSON would have it; nothing where nothing was typed. Raises MessageError."""
    field = spec.field.kind if isinstance(spec.field, OrNull) else spec.field
    values = typed.get(spec.name, ())
    if isinstance(field, ListOf):
        return {spec.name: _several(field, values)} if values else {}
    if len(values) > 1:
        raise MessageError(Code.BAD_FIELD, f"Field {spec.name!r} is there {len(values)} times.", "Send it once.")
    text = values[0] if values else ""
    if text.strip() or (text and not spec.optional):
        return {spec.name: _one(field, text)}
    return {spec.name: None} if values and isinstance(spec.field, OrNull) else {}


def _several(field: ListOf, values: Any) -> list[Any]:
    """Ticked boxes, or words with commas between them."""
    if isinstance(field.kind, Integer):
        return [_one(field.kind, value) for value in values]
    words = [word.strip() for value in values for word in re.split(r"[,\n]", value)]
    return list(dict.fromkeys(word for word in words if word))


def _one(field: Field, text: str) -> Any:
    if isinstance(field, Integer) and _WHOLE.fullmatch(text.strip()):
        return int(text)
    if isinstance(field, Instant) and (local := _LOCAL.fullmatch(text.strip())):
        return f"{text.strip()}{'' if local[1] else ':00'}Z"
    return text.strip() if isinstance(field, Link) else text


def _try(spec: FieldSpec, body: Mapping[str, Any], *, may_lack: bool) -> None:
    value = body.get(spec.name)
    if value is not None:
        spec.field.parse(spec.name, value, False)
    elif not may_lack:
        raise MessageError(Code.MISSING_FIELD, f"Field {spec.name!r} is missing.", f"Send {spec.field.describe()}.")


def _needs(spec: FieldSpec, *, may_lack: bool) -> str:
    field = spec.field.kind if isinstance(spec.field, OrNull) else spec.field
    return f"Needs {_what(field)}{', or nothing' if may_lack else ''}."


def _what(field: Field) -> str:
    """A kind of value, as people say it."""
    if isinstance(field, Instant):
        return "a date and a time (UTC)"
    if isinstance(field, Integer):
        return f"a whole number from {field.minimum} to {field.maximum}"
    if isinstance(field, Choice):
        return "one of the choices"
    if isinstance(field, Link):
        return f"an address that begins with https:// and has at most {field.length_max} characters"
    if isinstance(field, Prose):
        return f"{field.length_min} to {field.length_max} characters{' on one line' if field.is_line else ''}"
    if isinstance(field, ListOf):
        return f"at most {field.entries_max} entries, each {_what(field.kind)}"
    return field.describe()


def attributes(cls: type[Message], name: str) -> Mapping[str, Any]:
    """What browsers can check by themselves before a form is sent. The server checks it all again."""
    [spec] = [spec for spec in cls.SHAPE.fields if spec.name == name]
    field = spec.field.kind if isinstance(spec.field, OrNull) else spec.field
    found: dict[str, Any] = {} if spec.optional else {"required": True}
    if isinstance(field, Integer):
        return found | {"min": field.minimum, "max": field.maximum, "step": 1, "inputmode": "numeric"}
    for attribute, limit in (("minlength", "length_min"), ("maxlength", "length_max")):
        value = getattr(field, limit, None)
        if value is not None and value > 1:
            found[attribute] = value
    return found
